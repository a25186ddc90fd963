"""Agno over OpenAI."""

import os

os.environ["AGNO_TELEMETRY"] = "false"

import harness

harness.set_up()

from agno.agent import Agent  # noqa: E402
from agno.models.openai import OpenAIChat  # noqa: E402
from agno.team import Team  # noqa: E402


def model():
    return OpenAIChat(id=harness.OPENAI_MODEL, base_url=harness.OPENAI_URL, api_key="sk-test")


def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.get_weather(city)


def agent(tools=(), name="travel_assistant", **more):
    return Agent(name=name, model=model(), instructions=harness.SYSTEM, tools=list(tools), telemetry=False, **more)


def one(prompt):
    return agent().run(prompt, session_id=harness.SESSION).content


def streamed(prompt):
    return "".join(str(piece.content or "") for piece in agent().run(prompt, stream=True))


def loop(prompt):
    return agent([get_weather]).run(prompt, session_id=harness.SESSION).content


def handover(prompt):
    team = Team(
        members=[agent(name="weather_expert", role="expert")], model=model(), name="travel_team", telemetry=False
    )
    return team.run(prompt).content


harness.main(globals())
