"""LlamaIndex over OpenAI: chat, FunctionAgent, a vector index."""

import harness

harness.set_up()

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent  # noqa: E402
from llama_index.core.llms import ChatMessage  # noqa: E402
from llama_index.llms.openai import OpenAI  # noqa: E402

more = {"additional_kwargs": {"stream_options": {"include_usage": True}}} if harness.SCENARIO == "S2" else {}
llm = OpenAI(model=harness.OPENAI_MODEL, api_base=harness.OPENAI_URL, api_key="sk-test", max_retries=2, **more)


def opening(prompt):
    return [ChatMessage(role="system", content=harness.SYSTEM), ChatMessage(role="user", content=prompt)]


def one(prompt):
    return llm.chat(opening(prompt)).message.content


def streamed(prompt):
    return "".join(piece.delta or "" for piece in llm.stream_chat(opening(prompt)))


def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.get_weather(city)


def agent(name="travel_assistant", tools=(), **more):
    return FunctionAgent(
        name=name,
        description=f"The {name}.",
        tools=list(tools),
        llm=llm,
        system_prompt=harness.SYSTEM,
        streaming=False,
        **more,
    )


async def loop(prompt):
    return str(await agent(tools=[get_weather]).run(user_msg=prompt))


async def handover(prompt):
    def plan() -> str:
        """Plan a day."""
        return "museum"

    first = agent(tools=[plan], can_handoff_to=["weather_expert"])
    flow = AgentWorkflow(agents=[first, agent("weather_expert", tools=[get_weather])], root_agent="travel_assistant")
    return str(await flow.run(user_msg=prompt))


def rag(prompt):
    from llama_index.core import Document, VectorStoreIndex
    from llama_index.embeddings.openai import OpenAIEmbedding

    embed = OpenAIEmbedding(model=harness.EMBEDDING_MODEL, api_base=harness.OPENAI_URL, api_key="sk-test")
    index = VectorStoreIndex.from_documents([Document(text=text) for text in harness.DOCUMENTS], embed_model=embed)
    return str(index.as_query_engine(llm=llm, similarity_top_k=1).query(prompt))


harness.main(globals())
