"""Mistral's client."""

import json

import harness

harness.set_up()

try:
    from mistralai import Mistral
except ImportError:
    from mistralai.client import Mistral

client = Mistral(api_key="test", server_url=harness.MODEL_URL)
MODEL = "mistral-small-latest"
TOOLS = [
    {
        "type": "function",
        "function": {"name": "get_weather", "description": "Weather.", "parameters": harness.WEATHER_SCHEMA},
    }
]


def opening(prompt):
    return [{"role": "system", "content": harness.SYSTEM}, {"role": "user", "content": prompt}]


def one(prompt):
    return client.chat.complete(model=MODEL, messages=opening(prompt)).choices[0].message.content


def streamed(prompt):
    pieces = client.chat.stream(model=MODEL, messages=opening(prompt))
    return "".join(str(piece.data.choices[0].delta.content or "") for piece in pieces if piece.data.choices)


def loop(prompt):
    messages = opening(prompt)
    while True:
        said = client.chat.complete(model=MODEL, messages=messages, tools=TOOLS).choices[0].message
        if not said.tool_calls:
            return said.content
        messages.append(said)
        for call in said.tool_calls:
            arguments = call.function.arguments
            result = harness.weather_or_error(**(json.loads(arguments) if isinstance(arguments, str) else arguments))
            messages.append({"role": "tool", "name": "get_weather", "tool_call_id": call.id, "content": result})


harness.main(globals())
