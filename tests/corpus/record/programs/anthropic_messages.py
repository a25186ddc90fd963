"""The Anthropic client, a tool loop by hand."""

import harness

harness.set_up()

from anthropic import Anthropic  # noqa: E402

client = Anthropic(base_url=harness.MODEL_URL, api_key="sk-test", max_retries=2)
TOOLS = [{"name": "get_weather", "description": "Current weather.", "input_schema": harness.WEATHER_SCHEMA}]
FIXED = {"model": harness.ANTHROPIC_MODEL, "max_tokens": 4096, "system": harness.SYSTEM}


def one(prompt):
    thinks = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if harness.SCENARIO == "S5" else {}
    return client.messages.create(messages=[{"role": "user", "content": prompt}], **FIXED, **thinks).content[-1].text


def streamed(prompt):
    said = ""
    for event in client.messages.create(messages=[{"role": "user", "content": prompt}], stream=True, **FIXED):
        if event.type == "content_block_delta":
            said += event.delta.text
    return said


def loop(prompt):
    messages = [{"role": "user", "content": prompt}]
    while True:
        answer = client.messages.create(messages=messages, tools=TOOLS, **FIXED)
        calls = [block for block in answer.content if block.type == "tool_use"]
        if not calls:
            return answer.content[-1].text
        messages.append(
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]}
        )
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": harness.weather_or_error(**call.input)}
            for call in calls
        ]
        messages.append({"role": "user", "content": results})


harness.main(globals())
