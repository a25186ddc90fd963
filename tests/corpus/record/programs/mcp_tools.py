"""An MCP server over stdio and a client that calls its tool; the OpenAI client decides."""

import json
import os
import sys
from pathlib import Path

import harness

harness.set_up()

from mcp import ClientSession, StdioServerParameters, stdio_client  # noqa: E402
from openai import AsyncOpenAI  # noqa: E402

client = AsyncOpenAI(base_url=harness.OPENAI_URL, api_key="sk-test")
server = Path(__file__).with_name("mcp_weather_server.py")
parameters = StdioServerParameters(command=sys.executable, args=[str(server)], env=dict(os.environ))


def schema(tool):
    return getattr(tool, "inputSchema", None) or tool.input_schema


async def loop(prompt):
    async with stdio_client(parameters) as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        listed = await session.list_tools()
        tools = [
            {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": schema(t)}}
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


harness.main(globals())
