"""Microsoft's Agent Framework."""

import clew.auto  # noqa: F401, I001

import harness
import scripted
from agent_framework import Agent
from agent_framework.openai import OpenAIChatCompletionClient

client = OpenAIChatCompletionClient(model=harness.OPENAI_MODEL, base_url=harness.OPENAI_URL, api_key="sk-test")


def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.get_weather(city)


def agent(*tools, name="travel_assistant", system=harness.SYSTEM):
    return Agent(client, instructions=system, name=name, description=f"The {name}.", tools=list(tools) or None)


async def one_async(prompt):
    return str(await agent().run(prompt))


async def streamed_async(prompt):
    return "".join([str(piece.text or "") async for piece in agent().run(prompt, stream=True)])


async def left_async(prompt):
    async with agent().run(prompt, stream=True) as pieces:
        async for piece in pieces:
            if piece.text:
                return str(piece.text)
    return None


async def loop_async(prompt):
    return str(await agent(get_weather).run(prompt))


async def handover_async(prompt):
    expert = agent(name="weather_expert", system="You are an expert in weather.")
    return str(await agent(expert.as_tool(name="weather_expert")).run(prompt))


scripted.main(globals())
