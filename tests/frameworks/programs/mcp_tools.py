"""An MCP server over stdio and a client that calls its tool; the OpenAI client decides."""

import clew.auto  # noqa: F401, I001

import json
import os
import sys
from pathlib import Path

import harness
import scripted
from mcp import ClientSession, StdioServerParameters, stdio_client
from openai import AsyncOpenAI

server = Path(__file__).with_name("mcp_weather_server.py")
parameters = StdioServerParameters(command=sys.executable, args=[str(server)], env=dict(os.environ))


async def loop_async(prompt):
    async with (
        AsyncOpenAI(base_url=harness.OPENAI_URL, api_key="sk-test") as client,
        stdio_client(parameters) as streams,
        ClientSession(*streams[:2]) as session,
    ):
        await session.initialize()
        listed = await session.list_tools()
        tools = [
            {
                "type": "function",
                "function": {"name": t.name, "description": t.description, "parameters": t.input_schema},
            }
            for t in listed.tools
        ]
        messages = [{"role": "system", "content": harness.SYSTEM}, {"role": "user", "content": prompt}]
        while True:
            answer = await client.chat.completions.create(model=harness.OPENAI_MODEL, messages=messages, tools=tools)
            said = answer.choices[0].message
            if not said.tool_calls:
                return said.content
            messages.append(said.model_dump(exclude_none=True))
            for call in said.tool_calls:
                result = await session.call_tool(call.function.name, json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result.content[0].text})


scripted.main(globals())
