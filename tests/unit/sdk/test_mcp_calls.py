"""Tool calls over MCP, both sides of them: the real client and the real server, in one process."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from mcp import ClientSession
from mcp.client._memory import InMemoryTransport
from mcp.server import _otel
from mcp.server.mcpserver import MCPServer
from mcp.shared import jsonrpc_dispatcher

import clew
from clew._instrument import mcp_calls
from clew.testing import record

if TYPE_CHECKING:
    from clew.testing import Recording

KEY = "sk-proj-" + "a1B2" * 12
CLIENT, SERVER = "MCP send tools/call look_up_order", "tools/call look_up_order"
ARGUMENTS, RESULT = "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"
PLACES = (
    (_otel.OpenTelemetryMiddleware, "__call__"),
    (jsonrpc_dispatcher, "otel_span"),
    (jsonrpc_dispatcher.JSONRPCDispatcher, "send_raw_request"),
)
server = MCPServer("orders", log_level="CRITICAL")


@server.tool()
def look_up_order(order_id: str, key: str = "") -> str:
    """Where an order is."""
    if order_id == "none":
        raise LookupError("no such order")
    return f"dispatched, for {key}" if key else "dispatched"


@server.tool()
async def never(order_id: str) -> str:
    """Does not answer."""
    await asyncio.Event().wait()
    return order_id


@pytest.fixture(autouse=True)
def filled(monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in PLACES:
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back afterwards
    mcp_calls.fill()


async def session_calls(*calls: tuple[str, dict[str, Any]]) -> list[Any]:
    async with InMemoryTransport(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        return await asyncio.gather(*(session.call_tool(*call) for call in calls))


def content_of(recording: Recording, span: str) -> tuple[Any, Any]:
    attributes = recording.named(span).attributes
    return tuple(json.loads(attributes[name]) if name in attributes else None for name in (ARGUMENTS, RESULT))


def test_both_sides_have_the_arguments_and_what_the_model_is_given():
    with record() as recording:
        [result] = asyncio.run(session_calls(("look_up_order", {"order_id": "A-1"})))
    assert result.content[0].text == "dispatched"
    for side in (CLIENT, SERVER):
        assert content_of(recording, side) == ({"order_id": "A-1"}, [{"type": "text", "text": "dispatched"}])
        recording.assert_attributes(
            side, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look_up_order"}
        )


def test_secrets_in_both_are_redacted():
    with record() as recording:
        asyncio.run(session_calls(("look_up_order", {"order_id": "A-1", "key": KEY})))
    for side in (CLIENT, SERVER):
        arguments, result = content_of(recording, side)
        assert "[REDACTED" in arguments["key"]
        assert result[0]["text"].startswith("dispatched, for [REDACTED")


@pytest.mark.parametrize(
    ("content", "hashed", "there"),
    [
        ("off", False, False),
        ("tools=off", False, False),
        ("off,tools=hashed", True, True),
        ("off,tools=full", False, True),
    ],
)
def test_the_class_of_tools_says_what_leaves_the_process(content, hashed, there):
    with record(content) as recording:
        asyncio.run(session_calls(("look_up_order", {"order_id": "A-1"})))
    for side in (CLIENT, SERVER):
        arguments, result = (recording.named(side).attributes.get(name) for name in (ARGUMENTS, RESULT))
        assert (arguments is not None, result is not None) == (there, there)
        assert not there or ("A-1" in arguments, "dispatched" in result) == (not hashed, not hashed)


def test_tool_that_fails_is_an_error_of_both_sides_with_what_the_model_is_told():
    with record() as recording:
        [result] = asyncio.run(session_calls(("look_up_order", {"order_id": "none"})))
    assert result.is_error
    for side in (CLIENT, SERVER):
        recording.assert_attributes(side, {"error.type": "tool_error"})
        assert "look_up_order" in content_of(recording, side)[1][0]["text"]


def test_calls_at_the_same_time_have_each_their_own():
    with record() as recording:
        asyncio.run(session_calls(*(("look_up_order", {"order_id": f"A-{i}", "key": f"k{i}"}) for i in range(5))))
    for side in (CLIENT, SERVER):
        spans = [span.attributes for span in recording if span.name == side]
        seen = {(json.loads(one[ARGUMENTS])["order_id"], json.loads(one[RESULT])[0]["text"]) for one in spans}
        assert seen == {(f"A-{i}", f"dispatched, for k{i}") for i in range(5)}


def test_call_that_is_cancelled_ends_without_a_result():
    async def impatient() -> None:
        async with InMemoryTransport(server) as streams, ClientSession(*streams) as session:
            await session.initialize()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(session.call_tool("never", {"order_id": "A-1"}), 0.05)

    with record() as recording:
        asyncio.run(impatient())
    assert content_of(recording, "MCP send tools/call never") == ({"order_id": "A-1"}, None)


def test_the_clients_notification_says_which_run_it_is_of(monkeypatch: pytest.MonkeyPatch):
    told = {}

    async def look(context: Any, call_next: Any) -> Any:
        told[context.method] = dict(context.meta or {})
        return await call_next(context)

    lowlevel = server._lowlevel_server
    monkeypatch.setattr(lowlevel, "middleware", [look, *lowlevel.middleware])

    @clew.agent(name="caller")
    async def caller() -> None:
        await session_calls()

    with record() as recording:
        asyncio.run(caller())
    agent = recording.named("invoke_agent caller").context
    given = told["notifications/initialized"]["traceparent"]
    assert given.startswith(f"00-{agent.trace_id:032x}-{agent.span_id:016x}-")
