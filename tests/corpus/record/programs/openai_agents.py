"""The OpenAI Agents SDK; chat completions or responses (CORPUS_API)."""

import os

import harness

harness.set_up()

from agents import (  # noqa: E402
    Agent,
    GuardrailFunctionOutput,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
    input_guardrail,
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
        "travel_assistant",
        instructions=harness.SYSTEM,
        model=model,
        model_settings=settings,
        tools=list(tools),
        handoffs=list(handoffs),
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


async def guarded(prompt):
    @input_guardrail
    async def only_travel(context, asker, asked):
        return GuardrailFunctionOutput(output_info={"about_travel": True}, tripwire_triggered=False)

    guarded_agent = agent()
    guarded_agent.input_guardrails = [only_travel]
    return (await Runner.run(guarded_agent, prompt, run_config=config)).final_output


async def approved(prompt):
    asking = agent(function_tool(harness.get_weather, needs_approval=True))
    result = await Runner.run(asking, prompt, run_config=config)
    state = result.to_state()
    for call in result.interruptions:
        state.approve(call) if harness.ALLOWED else state.reject(call)
    return (await Runner.run(asking, state, run_config=config)).final_output


async def handover(prompt):
    expert = Agent("weather_expert", instructions="You are an expert in weather.", model=model)
    return (await Runner.run(agent(handoffs=[expert]), prompt, run_config=config)).final_output


harness.main(globals())
