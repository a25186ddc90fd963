"""Google's Agent Development Kit over Gemini."""

import os

os.environ |= {"GOOGLE_API_KEY": "test", "GOOGLE_GENAI_USE_VERTEXAI": "FALSE"}

import harness

os.environ["GOOGLE_GEMINI_BASE_URL"] = harness.MODEL_URL
harness.set_up()

from google.adk.agents import Agent, RunConfig  # noqa: E402
from google.adk.agents.run_config import StreamingMode  # noqa: E402
from google.adk.models import Gemini  # noqa: E402
from google.adk.runners import InMemoryRunner  # noqa: E402
from google.genai import types  # noqa: E402

retry = types.HttpRetryOptions(attempts=3, initial_delay=0.02, http_status_codes=[429])


def gemini():
    return Gemini(model=harness.GEMINI_MODEL, retry_options=retry)


def get_weather(city: str) -> dict:
    """Current weather of a city."""
    return {"result": harness.weather_or_error(city)}


def agent(**more):
    return Agent(name="travel_assistant", model=gemini(), instruction=harness.SYSTEM, **more)


async def ask(root, prompt, mode=StreamingMode.NONE):
    runner = InMemoryRunner(root, app_name="travel")
    session = await runner.session_service.create_session(app_name="travel", user_id="user-7")
    said = ""
    content = types.Content(role="user", parts=[types.Part(text=prompt)])
    async for event in runner.run_async(
        user_id="user-7", session_id=session.id, new_message=content, run_config=RunConfig(streaming_mode=mode)
    ):
        for part in (event.content and event.content.parts) or ():
            said = part.text or said
    return said


async def one(prompt):
    return await ask(agent(), prompt)


async def streamed(prompt):
    return await ask(agent(), prompt, StreamingMode.SSE)


async def loop(prompt):
    return await ask(agent(tools=[get_weather]), prompt)


async def handover(prompt):
    expert = Agent(
        name="weather_expert",
        model=gemini(),
        instruction="You are an expert in weather.",
        description="Knows the weather.",
    )
    return await ask(agent(sub_agents=[expert]), prompt)


harness.main(globals())
