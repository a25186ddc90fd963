"""LiteLLM's completion over OpenAI; a tool loop by hand."""

import clew.auto  # noqa: F401, I001

import json

import harness
import litellm
import scripted

MODEL = f"openai/{harness.OPENAI_MODEL}"
TOOLS = [
    {
        "type": "function",
        "function": {"name": "get_weather", "description": "Weather.", "parameters": harness.WEATHER_SCHEMA},
    }
]


def asked(prompt, **more):
    messages = [{"role": "system", "content": harness.SYSTEM}, {"role": "user", "content": prompt}]
    retries = 2 if harness.SCENARIO == "S6" else 0
    return {"model": MODEL, "messages": messages, "num_retries": retries, **more}


def streaming(prompt):
    return asked(prompt, stream=True, stream_options={"include_usage": True})


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
    return litellm.completion(**asked(prompt)).choices[0].message.content


def streamed(prompt):
    return "".join(text(piece) for piece in litellm.completion(**streaming(prompt)))


def left(prompt):
    return next(text(piece) for piece in litellm.completion(**streaming(prompt)) if text(piece))


def loop(prompt):
    request = asked(prompt, tools=TOOLS)
    while (said := answered(request["messages"], litellm.completion(**request))) is None:
        pass
    return said


async def one_async(prompt):
    return (await litellm.acompletion(**asked(prompt))).choices[0].message.content


async def streamed_async(prompt):
    return "".join([text(piece) async for piece in await litellm.acompletion(**streaming(prompt))])


async def left_async(prompt):
    async for piece in await litellm.acompletion(**streaming(prompt)):
        if text(piece):
            return text(piece)
    return None


async def loop_async(prompt):
    request = asked(prompt, tools=TOOLS)
    while (said := answered(request["messages"], await litellm.acompletion(**request))) is None:
        pass
    return said


scripted.main(globals())
