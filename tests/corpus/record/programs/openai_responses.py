"""The OpenAI client, the responses API, a tool loop by hand."""

import json

import harness

harness.set_up()

from openai import OpenAI  # noqa: E402

client = OpenAI(base_url=harness.OPENAI_URL, api_key="sk-test", max_retries=2)
TOOLS = [
    {"type": "function", "name": "get_weather", "description": "Current weather.", "parameters": harness.WEATHER_SCHEMA}
]


def one(prompt):
    return client.responses.create(model=harness.OPENAI_MODEL, instructions=harness.SYSTEM, input=prompt).output_text


def streamed(prompt):
    said = ""
    for event in client.responses.create(
        model=harness.OPENAI_MODEL, instructions=harness.SYSTEM, input=prompt, stream=True
    ):
        if event.type == "response.output_text.delta":
            said += event.delta
    return said


def loop(prompt):
    items = [{"role": "user", "content": prompt}]
    while True:
        answer = client.responses.create(
            model=harness.OPENAI_MODEL, instructions=harness.SYSTEM, input=items, tools=TOOLS
        )
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            return answer.output_text
        for call in calls:
            items.append(call.model_dump(exclude_none=True))
            result = harness.weather_or_error(**json.loads(call.arguments))
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": result})


harness.main(globals())
