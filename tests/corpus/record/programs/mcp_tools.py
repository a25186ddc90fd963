"""An MCP server over stdio or in memory, and a client that calls a tool; the OpenAI client decides."""

import json

import harness

harness.set_up()

from mcp.server.fastmcp import FastMCP  # noqa: E402
from mcp.shared.memory import create_connected_server_and_client_session  # noqa: E402
from openai import AsyncOpenAI  # noqa: E402

server = FastMCP("weather")
server.tool()(harness.get_weather)
client = AsyncOpenAI(base_url=harness.OPENAI_URL, api_key="sk-test")


async def loop(prompt):
    async with create_connected_server_and_client_session(server._mcp_server) as session:
        listed = await session.list_tools()
        tools = [
            {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.inputSchema}}
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
