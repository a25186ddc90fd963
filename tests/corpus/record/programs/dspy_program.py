"""A predictor of DSPy over OpenAI."""

import harness

harness.set_up()

import dspy  # noqa: E402

lm = dspy.LM(
    f"openai/{harness.OPENAI_MODEL}", api_base=harness.OPENAI_URL, api_key="sk-test", cache=False,
    num_retries=2 if harness.SCENARIO == "S6" else 0, temperature=None, max_tokens=None,
)  # fmt: skip
dspy.configure(lm=lm)


def one(prompt):
    return dspy.Predict("question -> answer")(question=prompt).answer


def rag(prompt):
    embedder = dspy.Embedder(
        f"openai/{harness.EMBEDDING_MODEL}", api_base=harness.OPENAI_URL, api_key="sk-test", caching=False
    )
    found = embedder(harness.DOCUMENTS)
    del found
    return dspy.Predict("context, question -> answer")(context=harness.DOCUMENTS[0], question=prompt).answer


harness.main(globals())
