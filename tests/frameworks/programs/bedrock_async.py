"""Bedrock's Converse API through aiobotocore."""

import clew.auto  # noqa: F401, I001

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
import harness
import scripted

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
SCHEMA = {"json": harness.WEATHER_SCHEMA}
TOOLS = {"tools": [{"toolSpec": {"name": "get_weather", "description": "Current weather.", "inputSchema": SCHEMA}}]}


def fresh():
    retries = {"mode": "legacy", "total_max_attempts": 3}  # of aiobotocore the mode that knows a 429
    return get_session().create_client("bedrock-runtime", config=AioConfig(retries=retries))


def asked(prompt, **more):
    messages = [{"role": "user", "content": [{"text": prompt}]}]
    return {"modelId": MODEL, "system": [{"text": harness.SYSTEM}], "messages": messages, **more}


async def texts(answer):
    async for event in answer["stream"]:
        if "contentBlockDelta" in event:
            yield event["contentBlockDelta"]["delta"]["text"]


async def one_async(prompt):
    async with fresh() as client:
        return (await client.converse(**asked(prompt)))["output"]["message"]["content"][0]["text"]


async def streamed_async(prompt):
    async with fresh() as client:
        return "".join([text async for text in texts(await client.converse_stream(**asked(prompt)))])


async def left_async(prompt):
    async with fresh() as client:
        answer = await client.converse_stream(**asked(prompt))
        said = await anext(texts(answer))
        answer["stream"].close()
        return said


async def loop_async(prompt):
    request = asked(prompt, toolConfig=TOOLS)
    async with fresh() as client:
        while True:
            said = (await client.converse(**request))["output"]["message"]
            calls = [block["toolUse"] for block in said["content"] if "toolUse" in block]
            if not calls:
                return said["content"][0]["text"]
            results = [
                {"toolResult": {"toolUseId": c["toolUseId"], "content": [{"text": scripted.look_up(**c["input"])}]}}
                for c in calls
            ]
            request["messages"] += [said, {"role": "user", "content": results}]


scripted.main(globals())
