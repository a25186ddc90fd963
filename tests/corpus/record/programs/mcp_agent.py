"""An agent of the OpenAI Agents SDK whose tool is on an MCP server."""

import os
import sys
from pathlib import Path

import harness

harness.set_up()

from agents import Agent, OpenAIChatCompletionsModel, Runner  # noqa: E402
from agents.mcp import MCPServerStdio  # noqa: E402
from openai import AsyncOpenAI  # noqa: E402

client = AsyncOpenAI(base_url=harness.OPENAI_URL, api_key="sk-test")
model = OpenAIChatCompletionsModel(model=harness.OPENAI_MODEL, openai_client=client)
server = Path(__file__).with_name("mcp_weather_server.py")
parameters = {"command": sys.executable, "args": [str(server)], "env": dict(os.environ)}


async def loop(prompt):
    async with MCPServerStdio(parameters, name="weather") as weather:
        agent = Agent("travel_assistant", instructions=harness.SYSTEM, model=model, mcp_servers=[weather])
        return (await Runner.run(agent, prompt)).final_output


harness.main(globals())
