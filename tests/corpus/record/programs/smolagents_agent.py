"""smolagents' ToolCallingAgent over OpenAI."""

import harness

harness.set_up()

from smolagents import OpenAIServerModel, ToolCallingAgent, tool  # noqa: E402

model = OpenAIServerModel(model_id=harness.OPENAI_MODEL, api_base=harness.OPENAI_URL, api_key="sk-test")


@tool
def get_weather(city: str) -> str:
    """Current weather of a city.

    Args:
        city: Name of the city.
    """
    return harness.get_weather(city)


def agent(tools=(), name="travel_assistant", **more):
    return ToolCallingAgent(
        tools=list(tools), model=model, name=name, description=f"The {name}.", verbosity_level=0, **more
    )


def one(prompt):
    return agent().run(prompt)


def streamed(prompt):
    more = {"stream_outputs": True}
    return str(list(agent(**more).run(prompt, stream=True))[-1])


def loop(prompt):
    return agent([get_weather], max_steps=12).run(prompt)


def handover(prompt):
    return agent(managed_agents=[agent(name="weather_expert")]).run(prompt)


harness.main(globals())
