"""Semantic Kernel over OpenAI."""

import os

os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS"] = "true"

import harness

if harness.CONTENT:
    os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE"] = "true"
harness.set_up()

from openai import AsyncOpenAI  # noqa: E402
from semantic_kernel.agents import ChatCompletionAgent  # noqa: E402
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion  # noqa: E402
from semantic_kernel.functions import kernel_function  # noqa: E402

client = AsyncOpenAI(base_url=harness.OPENAI_URL, api_key="sk-test")
service = OpenAIChatCompletion(ai_model_id=harness.OPENAI_MODEL, async_client=client)


class Weather:
    @kernel_function(name="get_weather", description="Current weather of a city.")
    def get_weather(self, city: str) -> str:
        return harness.get_weather(city)


def agent(name="travel_assistant", plugins=(), system=harness.SYSTEM):
    return ChatCompletionAgent(service=service, name=name, instructions=system, plugins=list(plugins))


async def one(prompt):
    return str(await agent().get_response(messages=prompt))


async def streamed(prompt):
    return "".join([str(piece) async for piece in agent().invoke_stream(messages=prompt)])


async def loop(prompt):
    return str(await agent(plugins=[Weather()]).get_response(messages=prompt))


async def handover(prompt):
    expert = agent("weather_expert", system="You are an expert in weather.")
    return str(await agent(plugins=[expert]).get_response(messages=prompt))


harness.main(globals())
