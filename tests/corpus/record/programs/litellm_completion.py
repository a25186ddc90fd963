"""LiteLLM's completion over OpenAI; a tool loop by hand."""

import json

import harness

harness.set_up()

import litellm  # noqa: E402

litellm.telemetry = False
FIXED = {"api_base": harness.OPENAI_URL, "api_key": "sk-test", "num_retries": 2 if harness.SCENARIO == "S6" else 0}
MODEL = f"openai/{harness.OPENAI_MODEL}"
TOOLS = [
    {
        "type": "function",
        "function": {"name": "get_weather", "description": "Weather.", "parameters": harness.WEATHER_SCHEMA},
    }
]


def opening(prompt):
    return [{"role": "system", "content": harness.SYSTEM}, {"role": "user", "content": prompt}]


def one(prompt):
    return litellm.completion(model=MODEL, messages=opening(prompt), **FIXED).choices[0].message.content


def streamed(prompt):
    more = {"stream_options": {"include_usage": True}} if harness.STREAM_USAGE else {}
    pieces = litellm.completion(model=MODEL, messages=opening(prompt), stream=True, **more, **FIXED)
    return "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)


def loop(prompt):
    messages = opening(prompt)
    while True:
        said = litellm.completion(model=MODEL, messages=messages, tools=TOOLS, **FIXED).choices[0].message
        if not said.tool_calls:
            return said.content
        messages.append(said.model_dump(exclude_none=True))
        for call in said.tool_calls:
            result = harness.weather_or_error(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def rag(prompt):
    litellm.embedding(model=f"openai/{harness.EMBEDDING_MODEL}", input=[prompt, *harness.DOCUMENTS], **FIXED)
    return one(f"{prompt}\n\n{harness.DOCUMENTS[0]}")


harness.main(globals())
