"""Microsoft's Agent Framework over OpenAI."""

import harness

harness.set_up()

try:
    from agent_framework.openai import OpenAIChatCompletionClient as Client
except ImportError:
    from agent_framework.openai import OpenAIChatClient as Client

try:
    client = Client(model=harness.OPENAI_MODEL, base_url=harness.OPENAI_URL, api_key="sk-test")
except TypeError:
    client = Client(model_id=harness.OPENAI_MODEL, base_url=harness.OPENAI_URL, api_key="sk-test")

try:
    from agent_framework import Agent
except ImportError:
    from agent_framework import ChatAgent as Agent


def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.get_weather(city)


def agent(name="travel_assistant", tools=(), system=harness.SYSTEM):
    return Agent(client, instructions=system, name=name, description=f"The {name}.", tools=list(tools) or None)


async def one(prompt):
    return str(await agent().run(prompt))


async def streamed(prompt):
    return "".join([str(piece.text or "") async for piece in agent().run(prompt, stream=True)])


async def loop(prompt):
    return str(await agent(tools=[get_weather]).run(prompt))


async def handover(prompt):
    expert = agent("weather_expert", system="You are an expert in weather.").as_tool(name="weather_expert")
    return str(await agent(tools=[expert]).run(prompt))


harness.main(globals())
