"""The OpenAI client, chat completions, a tool loop by hand."""

import clew.auto  # noqa: F401, I001

import json

import harness
import scripted
from openai import AsyncOpenAI, OpenAI

client = OpenAI(base_url=harness.OPENAI_URL, api_key="sk-test", max_retries=2)
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


def asked(prompt, **more):
    messages = [{"role": "system", "content": harness.SYSTEM}, {"role": "user", "content": prompt}]
    return {"model": harness.OPENAI_MODEL, "messages": messages, **more}


def streaming(prompt):
    more = {"stream_options": {"include_usage": True}} if harness.STREAM_USAGE else {}
    return asked(prompt, stream=True, **more)


def text(piece):
    return (piece.choices[0].delta.content or "") if piece.choices else ""


def answered(messages, answer):
    """The final text; None where tools were called, their results then stand in the messages."""
    said = answer.choices[0].message
    if not said.tool_calls:
        return said.content
    messages.append(said.model_dump(exclude_none=True))
    for call in said.tool_calls:
        result = scripted.look_up(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return None


def one(prompt):
    return client.chat.completions.create(**asked(prompt)).choices[0].message.content


def streamed(prompt):
    return "".join(text(piece) for piece in client.chat.completions.create(**streaming(prompt)))


def left(prompt):
    for piece in client.chat.completions.create(**streaming(prompt)):
        if text(piece):
            return text(piece)
    return None


def loop(prompt):
    request = asked(prompt, tools=TOOLS)
    while (said := answered(request["messages"], client.chat.completions.create(**request))) is None:
        pass
    return said


def fresh():
    return AsyncOpenAI(base_url=harness.OPENAI_URL, api_key="sk-test", max_retries=2)


async def one_async(prompt):
    async with fresh() as client:
        return (await client.chat.completions.create(**asked(prompt))).choices[0].message.content


async def streamed_async(prompt):
    async with fresh() as client:
        return "".join([text(piece) async for piece in await client.chat.completions.create(**streaming(prompt))])


async def left_async(prompt):
    async with fresh() as client, await client.chat.completions.create(**streaming(prompt)) as pieces:
        async for piece in pieces:
            if text(piece):
                return text(piece)
    return None


async def loop_async(prompt):
    request = asked(prompt, tools=TOOLS)
    async with fresh() as client:
        while (said := answered(request["messages"], await client.chat.completions.create(**request))) is None:
            pass
        return said


scripted.main(globals())
