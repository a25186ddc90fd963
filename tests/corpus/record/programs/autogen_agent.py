"""AutoGen AgentChat over OpenAI."""

import harness

harness.set_up()

from autogen_agentchat.agents import AssistantAgent  # noqa: E402
from autogen_agentchat.conditions import MaxMessageTermination, TextMessageTermination  # noqa: E402
from autogen_agentchat.teams import Swarm  # noqa: E402
from autogen_ext.models.openai import OpenAIChatCompletionClient  # noqa: E402

info = {"vision": False, "function_calling": True, "json_output": True, "family": "unknown", "structured_output": True}
model = OpenAIChatCompletionClient(
    model=harness.OPENAI_MODEL, base_url=harness.OPENAI_URL, api_key="sk-test", model_info=info, max_retries=2
)


async def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.get_weather(city)


def agent(name="travel_assistant", tools=(), **more):
    return AssistantAgent(
        name, model_client=model, tools=list(tools), system_message=harness.SYSTEM, description=f"The {name}.", **more
    )


async def one(prompt):
    return (await agent().run(task=prompt)).messages[-1].content


async def streamed(prompt):
    pieces = [piece async for piece in agent(model_client_stream=True).run_stream(task=prompt)]
    return str(pieces[-1].messages[-1].content)


async def loop(prompt):
    return (await agent(tools=[get_weather], max_tool_iterations=8).run(task=prompt)).messages[-1].content


async def handover(prompt):
    ends = TextMessageTermination("weather_expert") | MaxMessageTermination(8)
    team = Swarm([agent(handoffs=["weather_expert"]), agent("weather_expert")], termination_condition=ends)
    return str((await team.run(task=prompt)).messages[-1].content)


harness.main(globals())
