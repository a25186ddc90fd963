"""The Anthropic client, a tool loop by hand."""

import clew.auto  # noqa: F401, I001

import harness
import scripted
from anthropic import Anthropic, AsyncAnthropic

client = Anthropic(base_url=harness.MODEL_URL, api_key="sk-test", max_retries=2)
TOOLS = [{"name": "get_weather", "description": "Current weather.", "input_schema": harness.WEATHER_SCHEMA}]


def asked(prompt, **more):
    messages = [{"role": "user", "content": prompt}]
    fixed = {"model": harness.ANTHROPIC_MODEL, "max_tokens": 4096, "system": harness.SYSTEM}
    if harness.SCENARIO == "S5":
        fixed["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    return {**fixed, "messages": messages, **more}


def text(event):
    return event.delta.text if event.type == "content_block_delta" else ""


def answered(messages, answer):
    """The final text; None where tools were called, their results then stand in the messages."""
    calls = [block for block in answer.content if block.type == "tool_use"]
    if not calls:
        return answer.content[-1].text
    said = [block.model_dump(exclude_none=True) for block in answer.content]
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": scripted.look_up(**call.input)} for call in calls
    ]
    messages += [{"role": "assistant", "content": said}, {"role": "user", "content": results}]
    return None


def one(prompt):
    return client.messages.create(**asked(prompt)).content[-1].text


def streamed(prompt):
    return "".join(text(event) for event in client.messages.create(**asked(prompt, stream=True)))


def helped(prompt):
    """The helper that gathers the message."""
    with client.messages.stream(**asked(prompt)) as stream:
        return "".join(stream.text_stream)


def left(prompt):
    return next(text(event) for event in client.messages.create(**asked(prompt, stream=True)) if text(event))


def loop(prompt):
    request = asked(prompt, tools=TOOLS)
    while (said := answered(request["messages"], client.messages.create(**request))) is None:
        pass
    return said


def fresh():
    return AsyncAnthropic(base_url=harness.MODEL_URL, api_key="sk-test", max_retries=2)


async def one_async(prompt):
    async with fresh() as client:
        return (await client.messages.create(**asked(prompt))).content[-1].text


async def streamed_async(prompt):
    async with fresh() as client:
        return "".join([text(event) async for event in await client.messages.create(**asked(prompt, stream=True))])


async def helped_async(prompt):
    async with fresh() as client, client.messages.stream(**asked(prompt)) as stream:
        return "".join([piece async for piece in stream.text_stream])


async def left_async(prompt):
    async with fresh() as client, await client.messages.create(**asked(prompt, stream=True)) as events:
        async for event in events:
            if text(event):
                return text(event)
    return None


async def loop_async(prompt):
    request = asked(prompt, tools=TOOLS)
    async with fresh() as client:
        while (said := answered(request["messages"], await client.messages.create(**request))) is None:
            pass
        return said


scripted.main(globals())
