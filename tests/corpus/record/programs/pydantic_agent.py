"""Pydantic AI over OpenAI or Anthropic (CORPUS_PROVIDER); the format of its spans from CORPUS_FORMAT."""

import os

import harness

harness.set_up()

from pydantic_ai import Agent, ModelRetry  # noqa: E402

try:
    from pydantic_ai import InstrumentationSettings
except ImportError:
    from pydantic_ai.agent import InstrumentationSettings

if os.environ.get("CORPUS_PROVIDER") == "anthropic":
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    provider = AnthropicProvider(base_url=harness.MODEL_URL, api_key="sk-test")
    model = AnthropicModel(harness.ANTHROPIC_MODEL, provider=provider)
else:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(
        harness.OPENAI_MODEL, provider=OpenAIProvider(base_url=harness.OPENAI_URL, api_key="sk-test")
    )

more = {}
if os.environ.get("CORPUS_FORMAT"):
    more["version"] = int(os.environ["CORPUS_FORMAT"])
if os.environ.get("CORPUS_EVENT_MODE"):
    from opentelemetry.sdk._events import EventLoggerProvider

    events = EventLoggerProvider(harness.logger_provider)
    more |= {"event_mode": os.environ["CORPUS_EVENT_MODE"], "event_logger_provider": events}
if harness.SETUP and harness.SETUP[-1] != "pydantic_logfire":
    Agent.instrument_all(
        InstrumentationSettings(tracer_provider=harness.tracer_provider, include_content=harness.CONTENT, **more)
    )


def agent(**more):
    return Agent(model, name="travel_assistant", instructions=harness.SYSTEM, **more)


def get_weather(city: str) -> str:
    """Current weather of a city."""
    try:
        return harness.get_weather(city)
    except LookupError as error:
        raise ModelRetry(str(error)) from error


async def one(prompt):
    return (await agent().run(prompt)).output


async def streamed(prompt):
    async with agent().run_stream(prompt) as result:
        return "".join([piece async for piece in result.stream_text(delta=True)])


async def loop(prompt):
    return (await agent(tools=[get_weather]).run(prompt)).output


async def approved(prompt):
    from pydantic_ai import DeferredToolRequests, DeferredToolResults, Tool

    asking = agent(tools=[Tool(get_weather, requires_approval=True)], output_type=[str, DeferredToolRequests])
    first = await asking.run(prompt)
    said = DeferredToolResults()
    for call in first.output.approvals:
        said.approvals[call.tool_call_id] = harness.ALLOWED
    return (await asking.run(message_history=first.all_messages(), deferred_tool_results=said)).output


async def handover(prompt):
    expert = Agent(model, name="weather_expert", instructions="You are an expert in weather.")

    async def ask_weather_expert(question: str) -> str:
        """Hand the question over to the weather expert."""
        return (await expert.run(question)).output

    return (await agent(tools=[ask_weather_expert]).run(prompt)).output


harness.main(globals())
