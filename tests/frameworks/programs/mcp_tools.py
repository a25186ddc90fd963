"""An MCP server, over stdio or streamable HTTP, and a client that calls its tool; the OpenAI client decides."""

import clew.auto  # noqa: F401, I001

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import harness
import scripted
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from openai import AsyncOpenAI

SERVER = str(Path(__file__).with_name("mcp_weather_server.py"))


def over_stdio():
    return stdio_client(StdioServerParameters(command=sys.executable, args=[SERVER], env=dict(os.environ)))


@contextmanager
def http_server():
    """The server on a port of its choice; says where."""
    with subprocess.Popen([sys.executable, SERVER, "http"], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


connect = over_stdio


async def loop_async(prompt):
    async with (
        AsyncOpenAI(base_url=harness.OPENAI_URL, api_key="sk-test") as client,
        connect() as streams,
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


if os.environ.get("FRAMEWORKS_API") == "http":
    with http_server() as url:
        connect = partial(streamable_http_client, url)
        scripted.main(globals())
else:
    scripted.main(globals())
