"""Pydantic AI."""

import clew.auto  # noqa: F401, I001

import harness
import scripted
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


def agent(name="travel_assistant", system=harness.SYSTEM, **more):
    provider = OpenAIProvider(base_url=harness.OPENAI_URL, api_key="sk-test")
    return Agent(OpenAIChatModel(harness.OPENAI_MODEL, provider=provider), name=name, instructions=system, **more)


def get_weather(city: str) -> str:
    """Current weather of a city."""
    try:
        return harness.get_weather(city)
    except LookupError as error:
        raise ModelRetry(str(error)) from error


def one(prompt):
    return agent().run_sync(prompt).output


async def one_async(prompt):
    return (await agent().run(prompt)).output


def streamed(prompt):
    return "".join(agent().run_stream_sync(prompt).stream_text(delta=True))


async def streamed_async(prompt):
    async with agent().run_stream(prompt) as result:
        return "".join([piece async for piece in result.stream_text(delta=True)])


async def left_async(prompt):
    async with agent().run_stream(prompt) as result:
        async for piece in result.stream_text(delta=True, debounce_by=None):
            return piece
    return None


def loop(prompt):
    return agent(tools=[get_weather]).run_sync(prompt).output


async def loop_async(prompt):
    return (await agent(tools=[get_weather]).run(prompt)).output


async def handover_async(prompt):
    expert = agent("weather_expert", "You are an expert in weather.")

    async def ask_weather_expert(question: str) -> str:
        """Hand the question over to the weather expert."""
        return (await expert.run(question)).output

    return (await agent(tools=[ask_weather_expert]).run(prompt)).output


scripted.main(globals())
