"""Bedrock's Converse API through boto3."""

import os

os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

import harness

harness.set_up()

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402

client = boto3.client(
    "bedrock-runtime",
    endpoint_url=harness.MODEL_URL,
    config=Config(retries={"mode": "standard", "total_max_attempts": 3}),
)
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


def ask(messages, **more):
    return client.converse(modelId=MODEL, system=[{"text": harness.SYSTEM}], messages=messages, **more)


def one(prompt):
    return ask([{"role": "user", "content": [{"text": prompt}]}])["output"]["message"]["content"][0]["text"]


def streamed(prompt):
    answer = client.converse_stream(
        modelId=MODEL, system=[{"text": harness.SYSTEM}], messages=[{"role": "user", "content": [{"text": prompt}]}]
    )
    return "".join(e["contentBlockDelta"]["delta"]["text"] for e in answer["stream"] if "contentBlockDelta" in e)


def loop(prompt):
    messages = [{"role": "user", "content": [{"text": prompt}]}]
    while True:
        said = ask(messages, toolConfig=TOOLS)["output"]["message"]
        messages.append(said)
        calls = [block["toolUse"] for block in said["content"] if "toolUse" in block]
        if not calls:
            return said["content"][0]["text"]
        results = [
            {"toolResult": {"toolUseId": c["toolUseId"], "content": [{"text": harness.weather_or_error(**c["input"])}]}}
            for c in calls
        ]
        messages.append({"role": "user", "content": results})


harness.main(globals())
