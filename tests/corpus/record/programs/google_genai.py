"""Google's genai client, a tool loop by hand."""

import harness

harness.set_up()

from google import genai  # noqa: E402
from google.genai import types  # noqa: E402

retry = types.HttpRetryOptions(attempts=3, initial_delay=0.02, http_status_codes=[429])
client = genai.Client(
    api_key="test", http_options=types.HttpOptions(base_url=harness.MODEL_URL, retry_options=retry), vertexai=False
)
declared = types.FunctionDeclaration(
    name="get_weather", description="Current weather.", parameters_json_schema=harness.WEATHER_SCHEMA
)


def config(**more):
    off = types.AutomaticFunctionCallingConfig(disable=True)
    return types.GenerateContentConfig(system_instruction=harness.SYSTEM, automatic_function_calling=off, **more)


def one(prompt):
    return client.models.generate_content(model=harness.GEMINI_MODEL, contents=prompt, config=config()).text


def streamed(prompt):
    pieces = client.models.generate_content_stream(model=harness.GEMINI_MODEL, contents=prompt, config=config())
    return "".join(piece.text or "" for piece in pieces)


def loop(prompt):
    contents = [types.Content(role="user", parts=[types.Part(text=prompt)])]
    tools = [types.Tool(function_declarations=[declared])]
    while True:
        answer = client.models.generate_content(
            model=harness.GEMINI_MODEL, contents=contents, config=config(tools=tools)
        )
        if not answer.function_calls:
            return answer.text
        contents.append(answer.candidates[0].content)
        results = [
            types.Part.from_function_response(
                name=call.name, response={"result": harness.weather_or_error(**call.args)}
            )
            for call in answer.function_calls
        ]
        contents.append(types.Content(role="user", parts=results))


harness.main(globals())
