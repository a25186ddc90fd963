"""The OpenAI Agents SDK; chat completions or responses (CORPUS_API)."""

import os

import harness

harness.set_up()

from agents import (  # noqa: E402
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
)
from openai import AsyncOpenAI  # noqa: E402

client = AsyncOpenAI(base_url=harness.OPENAI_URL, api_key="sk-test", max_retries=2)
kind = OpenAIResponsesModel if os.environ.get("CORPUS_API") == "responses" else OpenAIChatCompletionsModel
model = kind(model=harness.OPENAI_MODEL, openai_client=client)
settings = ModelSettings(include_usage=harness.STREAM_USAGE)
config = RunConfig(workflow_name="travel desk", group_id=harness.SESSION)
get_weather = function_tool(harness.get_weather)


def agent(*tools, handoffs=()):
    return Agent(
        "travel_assistant", instructions=harness.SYSTEM, model=model, model_settings=settings, tools=list(tools), handoffs=list(handoffs)
    )


async def one(prompt):
    return (await Runner.run(agent(), prompt, run_config=config)).final_output


async def streamed(prompt):
    result = Runner.run_streamed(agent(), prompt, run_config=config)
    async for _ in result.stream_events():
        pass
    return result.final_output


async def loop(prompt):
    return (await Runner.run(agent(get_weather), prompt, run_config=config, max_turns=12)).final_output


async def handover(prompt):
    expert = Agent("weather_expert", instructions="You are an expert in weather.", model=model)
    return (await Runner.run(agent(handoffs=[expert]), prompt, run_config=config)).final_output


harness.main(globals())
