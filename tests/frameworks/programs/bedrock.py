"""Bedrock's Converse API through boto3."""

import clew.auto  # noqa: F401, I001

import boto3
import harness
import scripted
from botocore.config import Config

client = boto3.client("bedrock-runtime", config=Config(retries={"mode": "standard", "total_max_attempts": 3}))
MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TOOLS = {
    "tools": [
        {
            "toolSpec": {
                "name": "get_weather",
                "description": "Current weather.",
                "inputSchema": {"json": harness.WEATHER_SCHEMA},
            }
        }
    ]
}


def asked(prompt, **more):
    messages = [{"role": "user", "content": [{"text": prompt}]}]
    return {"modelId": MODEL, "system": [{"text": harness.SYSTEM}], "messages": messages, **more}


def texts(answer):
    return (e["contentBlockDelta"]["delta"]["text"] for e in answer["stream"] if "contentBlockDelta" in e)


def one(prompt):
    return client.converse(**asked(prompt))["output"]["message"]["content"][0]["text"]


def streamed(prompt):
    return "".join(texts(client.converse_stream(**asked(prompt))))


def left(prompt):
    answer = client.converse_stream(**asked(prompt))
    said = next(texts(answer))
    answer["stream"].close()
    return said


def loop(prompt):
    request = asked(prompt, toolConfig=TOOLS)
    while True:
        said = client.converse(**request)["output"]["message"]
        calls = [block["toolUse"] for block in said["content"] if "toolUse" in block]
        if not calls:
            return said["content"][0]["text"]
        results = [
            {"toolResult": {"toolUseId": c["toolUseId"], "content": [{"text": scripted.look_up(**c["input"])}]}}
            for c in calls
        ]
        request["messages"] += [said, {"role": "user", "content": results}]


scripted.main(globals())
