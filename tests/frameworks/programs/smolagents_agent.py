"""smolagents' ToolCallingAgent."""

import clew.auto  # noqa: F401, I001

import harness
import scripted
from smolagents import OpenAIServerModel, ToolCallingAgent, tool

model = OpenAIServerModel(model_id=harness.OPENAI_MODEL, api_base=harness.OPENAI_URL, api_key="sk-test")


@tool
def get_weather(city: str) -> str:
    """Current weather of a city.

    Args:
        city: Name of the city.
    """
    return harness.get_weather(city)


def agent(*tools, name="travel_assistant", **more):
    about = {"name": name, "description": f"The {name}."}
    return ToolCallingAgent(tools=list(tools), model=model, verbosity_level=0, **about, **more)


def one(prompt):
    return agent().run(prompt)


def streamed(prompt):
    return list(agent(stream_outputs=True).run(prompt, stream=True))[-1].output


def left(prompt):
    for part in agent(stream_outputs=True).run(prompt, stream=True):
        return type(part).__name__
    return None


def loop(prompt):
    return agent(get_weather, max_steps=12).run(prompt)


def handover(prompt):
    return agent(managed_agents=[agent(name="weather_expert")]).run(prompt)


scripted.main(globals())
