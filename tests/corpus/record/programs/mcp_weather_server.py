"""A server with one tool over stdio, in a process of its own with telemetry of its own."""

import os

os.environ["OTEL_SERVICE_NAME"] = "weather-server"

import harness

harness.SERVICE = "weather-server"
harness.set_up()

try:
    from mcp.server.mcpserver import MCPServer
except ImportError:
    from mcp.server.fastmcp import FastMCP as MCPServer

server = MCPServer("weather")


@server.tool()
def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.get_weather(city)


try:
    server.run("stdio")
finally:
    for flusher in harness._flushers:
        flusher.force_flush()
        flusher.shutdown()
