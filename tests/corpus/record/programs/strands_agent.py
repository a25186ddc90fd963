"""Strands Agents over OpenAI."""

import harness

harness.set_up()

from strands import Agent, tool  # noqa: E402
from strands.models.openai import OpenAIModel  # noqa: E402

model = OpenAIModel(client_args={"base_url": harness.OPENAI_URL, "api_key": "sk-test"}, model_id=harness.OPENAI_MODEL)


@tool
def get_weather(city: str) -> str:
    """Current weather of a city.

    Args:
        city: Name of the city.
    """
    return harness.get_weather(city)


def agent(tools=(), name="travel_assistant", system=harness.SYSTEM):
    attributes = {"session.id": harness.SESSION}
    return Agent(
        model=model,
        name=name,
        system_prompt=system,
        tools=list(tools),
        callback_handler=None,
        trace_attributes=attributes,
    )


async def one(prompt):
    return str(await agent().invoke_async(prompt))


async def streamed(prompt):
    return "".join([event["data"] async for event in agent().stream_async(prompt) if "data" in event])


async def loop(prompt):
    return str(await agent([get_weather]).invoke_async(prompt))


async def handover(prompt):
    expert = agent(name="weather_expert", system="You are an expert in weather.")

    @tool
    async def ask_weather_expert(question: str) -> str:
        """Hand the question over to the weather expert.

        Args:
            question: What to ask.
        """
        return str(await expert.invoke_async(question))

    return str(await agent([ask_weather_expert]).invoke_async(prompt))


harness.main(globals())
