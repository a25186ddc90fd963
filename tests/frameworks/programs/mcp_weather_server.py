"""A server with one tool, in a process of its own: over stdio, or over HTTP on a port that it says."""

import clew.auto  # noqa: F401, I001

import socket
import sys

import harness
import scripted
import uvicorn
from mcp.server.mcpserver import MCPServer

server = MCPServer("weather", log_level="WARNING")


@server.tool()
def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.get_weather(city)


if "http" in sys.argv:
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
    uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="warning")).run(sockets=[listening])
else:
    server.run("stdio")
scripted.finish()
