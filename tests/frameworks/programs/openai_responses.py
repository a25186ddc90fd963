"""The OpenAI client, the responses API, a tool loop by hand."""

import clew.auto  # noqa: F401, I001

import json

import harness
import scripted
from openai import AsyncOpenAI, OpenAI

client = OpenAI(base_url=harness.OPENAI_URL, api_key="sk-test", max_retries=2)
TOOLS = [
    {"type": "function", "name": "get_weather", "description": "Current weather.", "parameters": harness.WEATHER_SCHEMA}
]


def asked(prompt, **more):
    items = [{"role": "user", "content": prompt}]
    return {"model": harness.OPENAI_MODEL, "instructions": harness.SYSTEM, "input": items, **more}


def text(event):
    return event.delta if event.type == "response.output_text.delta" else ""


def answered(items, answer):
    """The final text; None where tools were called, their results then stand in the items."""
    calls = [item for item in answer.output if item.type == "function_call"]
    if not calls:
        return answer.output_text
    for call in calls:
        items.append(call.model_dump(exclude_none=True))
        result = scripted.look_up(**json.loads(call.arguments))
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": result})
    return None


def one(prompt):
    return client.responses.create(**asked(prompt)).output_text


def streamed(prompt):
    return "".join(text(event) for event in client.responses.create(**asked(prompt, stream=True)))


def left(prompt):
    return next(text(event) for event in client.responses.create(**asked(prompt, stream=True)) if text(event))


def loop(prompt):
    request = asked(prompt, tools=TOOLS)
    while (said := answered(request["input"], client.responses.create(**request))) is None:
        pass
    return said


def fresh():
    return AsyncOpenAI(base_url=harness.OPENAI_URL, api_key="sk-test", max_retries=2)


async def one_async(prompt):
    async with fresh() as client:
        return (await client.responses.create(**asked(prompt))).output_text


async def streamed_async(prompt):
    async with fresh() as client:
        return "".join([text(event) async for event in await client.responses.create(**asked(prompt, stream=True))])


async def left_async(prompt):
    async with fresh() as client, await client.responses.create(**asked(prompt, stream=True)) as events:
        async for event in events:
            if text(event):
                return text(event)
    return None


async def loop_async(prompt):
    request = asked(prompt, tools=TOOLS)
    async with fresh() as client:
        while (said := answered(request["input"], await client.responses.create(**request))) is None:
            pass
        return said


scripted.main(globals())
