"""Spans of an agent, as the newest conventions write them: model calls, tool calls, agents, gates, outcomes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from shared.otlp import T0, message, messages_json, span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECOND = 10**9
MODEL = "gpt-4o-mini"

#: Short names of the token attributes.
TOKENS = {
    "input": "gen_ai.usage.input_tokens",
    "output": "gen_ai.usage.output_tokens",
    "read": "gen_ai.usage.cache_read.input_tokens",
    "write": "gen_ai.usage.cache_write.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
}


def at(seconds: float) -> int:
    """A time that many seconds after T0."""
    return T0 + round(seconds * SECOND)


def chat(
    span_id: int,
    *,
    tokens: Mapping[str, int] | None = None,
    response: str = "",
    asks: Sequence[tuple[str, object]] = (),
    model: str = MODEL,
    provider: str = "openai",
    attributes: Mapping[str, object] | None = None,
    **fields: Any,
) -> Span:
    """A model call; `tokens` by the short names above, `asks` the (tool, arguments) its answer calls."""
    found: dict[str, object] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
    }
    found |= {TOKENS[name]: count for name, count in (tokens or {}).items()}
    if response:
        found["gen_ai.response.id"] = response
    if asks:
        parts = [
            {"type": "tool_call", "id": f"call-{span_id}-{i}", "name": name, "arguments": arguments}
            for i, (name, arguments) in enumerate(asks)
        ]
        found["gen_ai.output.messages"] = messages_json(message("assistant", *parts))
    return span(f"chat {model}", found | dict(attributes or {}), span_id=span_id, **fields)


def tool(
    span_id: int,
    name: str = "search",
    arguments: object = None,
    *,
    failed: bool = False,
    attributes: Mapping[str, object] | None = None,
    **fields: Any,
) -> Span:
    """A tool's execution. `arguments` is JSON text as it is, or anything else to be made into it; None records none."""
    found: dict[str, object] = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}
    if arguments is not None:
        found["gen_ai.tool.call.arguments"] = arguments if isinstance(arguments, str) else json.dumps(arguments)
    if failed:
        found["error.type"] = "ToolError"
    return span(f"execute_tool {name}", found | dict(attributes or {}), span_id=span_id, **fields)


def agent(span_id: int, name: str = "clerk", *, attributes: Mapping[str, object] | None = None, **fields: Any) -> Span:
    """An agent's invocation."""
    found = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
    return span(f"invoke_agent {name}", found | dict(attributes or {}), span_id=span_id, **fields)


def started(ended: Span, *, again_after: float = 0) -> Span:
    """The start record of a span; or the one that says, so many seconds after its start, that it is still open."""
    record = Span()
    record.CopyFrom(ended)
    record.end_time_unix_nano = record.start_time_unix_nano + round(again_after * SECOND)
    record.attributes.add(key="clew.pending").value.bool_value = True
    return record


def gate(span_id: int, outcome: str, *, name: str = "spending", **fields: Any) -> Span:
    """A gate's decision."""
    return span(f"gate {name}", {"clew.gate.name": name, "clew.gate.outcome": outcome}, span_id=span_id, **fields)


def outcome(span_id: int, status: str, *, source: str = "", score: float | None = None, **fields: Any) -> Span:
    """What became of the task."""
    found: dict[str, object] = {"clew.outcome.status": status}
    if source:
        found["clew.outcome.source"] = source
    if score is not None:
        found["clew.outcome.score"] = score
    return span("outcome", found, span_id=span_id, **fields)
