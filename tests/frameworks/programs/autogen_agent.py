"""AutoGen AgentChat."""

import clew.auto  # noqa: F401, I001

from contextlib import aclosing

import harness
import scripted
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination, TextMessageTermination
from autogen_agentchat.messages import ModelClientStreamingChunkEvent
from autogen_agentchat.teams import Swarm
from autogen_ext.models.openai import OpenAIChatCompletionClient

info = {"vision": False, "function_calling": True, "json_output": True, "family": "unknown", "structured_output": True}
more = {"model_info": info, "max_retries": 2}
if harness.SCENARIO == "S2":
    more["stream_options"] = {"include_usage": True}
model = OpenAIChatCompletionClient(model=harness.OPENAI_MODEL, base_url=harness.OPENAI_URL, api_key="sk-test", **more)


async def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.get_weather(city)


def agent(*tools, name="travel_assistant", **more):
    about = {"system_message": harness.SYSTEM, "description": f"The {name}."}
    return AssistantAgent(name, model_client=model, tools=list(tools), **about, **more)


async def one_async(prompt):
    return (await agent().run(task=prompt)).messages[-1].content


async def streamed_async(prompt):
    pieces = [piece async for piece in agent(model_client_stream=True).run_stream(task=prompt)]
    return pieces[-1].messages[-1].content


async def left_async(prompt):
    async with aclosing(agent(model_client_stream=True).run_stream(task=prompt)) as pieces:
        async for piece in pieces:
            if isinstance(piece, ModelClientStreamingChunkEvent):
                return piece.content
    return None


async def loop_async(prompt):
    return (await agent(get_weather, max_tool_iterations=8).run(task=prompt)).messages[-1].content


async def handover_async(prompt):
    ends = TextMessageTermination("weather_expert") | MaxMessageTermination(8)
    team = Swarm([agent(handoffs=["weather_expert"]), agent(name="weather_expert")], termination_condition=ends)
    return (await team.run(task=prompt)).messages[-1].content


scripted.main(globals())
