"""The OpenAI client, chat completions, a tool loop by hand."""

import json

import harness

harness.set_up()

from importlib import import_module  # noqa: E402

OpenAI = import_module(harness.openai_module).OpenAI
client = harness.wrap_client(OpenAI(base_url=harness.OPENAI_URL, api_key="sk-test", max_retries=2))


@harness.as_tool
def look_up(city: str) -> str:
    return harness.weather_or_error(city)


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Current weather of a city.",
            "parameters": harness.WEATHER_SCHEMA,
        },
    }
]


def opening(prompt):
    return [{"role": "system", "content": harness.SYSTEM}, {"role": "user", "content": prompt}]


def one(prompt):
    answer = client.chat.completions.create(model=harness.OPENAI_MODEL, messages=opening(prompt))
    return answer.choices[0].message.content


def streamed(prompt):
    more = {"stream_options": {"include_usage": True}} if harness.STREAM_USAGE else {}
    pieces = client.chat.completions.create(model=harness.OPENAI_MODEL, messages=opening(prompt), stream=True, **more)
    return "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)


@harness.as_agent
def loop(prompt):
    messages = opening(prompt)
    while True:
        answer = client.chat.completions.create(model=harness.OPENAI_MODEL, messages=messages, tools=TOOLS)
        said = answer.choices[0].message
        if not said.tool_calls:
            return said.content
        messages.append(said.model_dump(exclude_none=True))
        for call in said.tool_calls:
            result = look_up(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def guarded(prompt):
    """Only where Traceloop's guardrails are."""
    import asyncio

    from traceloop.sdk.guardrail import Condition, Guardrails

    async def ask() -> str:
        return one(prompt)

    async def polite(said) -> bool:
        return True

    del Condition
    return asyncio.run(Guardrails(polite, name="politeness").run(ask))


def rag(prompt):
    client.embeddings.create(model=harness.EMBEDDING_MODEL, input=[prompt, *harness.DOCUMENTS])
    return one(f"{prompt}\n\n{harness.DOCUMENTS[0]}")


harness.main(globals())
