"""A server with one tool over stdio, in a process of its own."""

import clew.auto  # noqa: F401, I001

import harness
import scripted
from mcp.server.mcpserver import MCPServer

server = MCPServer("weather")


@server.tool()
def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.get_weather(city)


server.run("stdio")
scripted.finish()
