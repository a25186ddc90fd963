"""The OpenAI Agents SDK over chat completions, or over responses (FRAMEWORKS_API)."""

import clew.auto  # noqa: F401, I001

import os

import harness
import scripted
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
)
from openai import AsyncOpenAI

kind = OpenAIResponsesModel if os.environ.get("FRAMEWORKS_API") == "responses" else OpenAIChatCompletionsModel
settings = ModelSettings(include_usage=True)
config = RunConfig(workflow_name="travel desk", group_id=harness.SESSION)
get_weather = function_tool(harness.get_weather)


def agent(*tools, handoffs=(), name="travel_assistant", system=harness.SYSTEM):
    client = AsyncOpenAI(base_url=harness.OPENAI_URL, api_key="sk-test", max_retries=2)
    return Agent(
        name,
        instructions=system,
        model=kind(model=harness.OPENAI_MODEL, openai_client=client),
        model_settings=settings,
        tools=list(tools),
        handoffs=list(handoffs),
    )


def one(prompt):
    return Runner.run_sync(agent(), prompt, run_config=config).final_output


async def one_async(prompt):
    return (await Runner.run(agent(), prompt, run_config=config)).final_output


async def streamed_async(prompt):
    result = Runner.run_streamed(agent(), prompt, run_config=config)
    async for _ in result.stream_events():
        pass
    return result.final_output


async def left_async(prompt):
    result = Runner.run_streamed(agent(), prompt, run_config=config)
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            result.cancel()
            return event.data.delta
    return None


def loop(prompt):
    return Runner.run_sync(agent(get_weather), prompt, run_config=config, max_turns=12).final_output


async def loop_async(prompt):
    return (await Runner.run(agent(get_weather), prompt, run_config=config, max_turns=12)).final_output


async def handover_async(prompt):
    expert = agent(name="weather_expert", system="You are an expert in weather.")
    return (await Runner.run(agent(handoffs=[expert]), prompt, run_config=config)).final_output


scripted.main(globals())
