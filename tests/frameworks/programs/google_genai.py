"""Google's genai client, a tool loop by hand."""

import clew.auto  # noqa: F401, I001

import harness
import scripted
from google import genai
from google.genai import types

retry = types.HttpRetryOptions(attempts=3, initial_delay=0.02, http_status_codes=[429])
client = genai.Client(
    api_key="test", http_options=types.HttpOptions(base_url=harness.MODEL_URL, retry_options=retry), vertexai=False
)
TOOL = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather", description="Current weather.", parameters_json_schema=harness.WEATHER_SCHEMA
        )
    ]
)


def asked(prompt, **more):
    off = types.AutomaticFunctionCallingConfig(disable=True)
    config = types.GenerateContentConfig(system_instruction=harness.SYSTEM, automatic_function_calling=off, **more)
    contents = [types.Content(role="user", parts=[types.Part(text=prompt)])]
    return {"model": harness.GEMINI_MODEL, "contents": contents, "config": config}


def answered(contents, answer):
    """The final text; None where tools were called, their results then stand in the contents."""
    if not answer.function_calls:
        return answer.text
    results = [
        types.Part.from_function_response(name=call.name, response={"result": scripted.look_up(**call.args)})
        for call in answer.function_calls
    ]
    contents += [answer.candidates[0].content, types.Content(role="user", parts=results)]
    return None


def one(prompt):
    return client.models.generate_content(**asked(prompt)).text


def streamed(prompt):
    return "".join(piece.text or "" for piece in client.models.generate_content_stream(**asked(prompt)))


def left(prompt):
    return next(piece.text for piece in client.models.generate_content_stream(**asked(prompt)))


def loop(prompt):
    request = asked(prompt, tools=[TOOL])
    while (said := answered(request["contents"], client.models.generate_content(**request))) is None:
        pass
    return said


async def one_async(prompt):
    return (await client.aio.models.generate_content(**asked(prompt))).text


async def streamed_async(prompt):
    pieces = await client.aio.models.generate_content_stream(**asked(prompt))
    return "".join([piece.text or "" async for piece in pieces])


async def left_async(prompt):
    pieces = await client.aio.models.generate_content_stream(**asked(prompt))
    async for piece in pieces:
        await pieces.aclose()
        return piece.text
    return None


async def loop_async(prompt):
    request = asked(prompt, tools=[TOOL])
    while (said := answered(request["contents"], await client.aio.models.generate_content(**request))) is None:
        pass
    return said


scripted.main(globals())
