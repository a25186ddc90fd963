"""A LiveKit agent by text: a session without a room."""

import harness

harness.set_up()

from livekit.agents import Agent, AgentSession, function_tool  # noqa: E402
from livekit.plugins import openai  # noqa: E402


@function_tool
async def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.get_weather(city)


async def ask(prompt, tools=()):
    llm = openai.LLM(model=harness.OPENAI_MODEL, base_url=harness.OPENAI_URL, api_key="sk-test", max_retries=0)
    async with AgentSession(llm=llm) as session:
        await session.start(Agent(instructions=harness.SYSTEM, tools=list(tools)))
        result = await session.run(user_input=prompt)
        return result.events[-1].item.text_content


async def one(prompt):
    return await ask(prompt)


async def loop(prompt):
    return await ask(prompt, [get_weather])


harness.main(globals())
