"""Log records as coding agents send them, and the spans that the kernel makes of such records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import clew_kernel
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_processor.decode.plan import extraction_plan
from shared.otlp import T0, log, logs_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

CLAUDE_SCOPE = "com.anthropic.claude_code.events"
MS = 1_000_000
OF: dict[str, dict[str, Any]] = {
    "api_request": {"model": "m"},
    "api_response": {"model": "m"},
    "tool_decision": {"tool_name": "t"},
    "tool_result": {"tool_name": "t"},
    "tool_call": {"function_name": "t"},
}
"""What every record of such an event has."""


def claude(
    event: str, attributes: dict[str, Any] | None = None, *, at: int = 0, prompt: str = "p1", **fields: Any
) -> LogRecord:
    """A record of Claude Code, `at` milliseconds after T0."""
    common = {"session.id": "s1", "event.name": event, "event.sequence": at, "prompt.id": prompt} | OF.get(event, {})
    return log(f"claude_code.{event}", common | (attributes or {}), time=T0 + at * MS, **fields)


def codex(event: str, attributes: dict[str, Any] | None = None, *, at: int = 0, **fields: Any) -> LogRecord:
    """A record of Codex CLI: its time is when it was observed, and the name of the record is a place in its source."""
    common = {"event.name": f"codex.{event}", "conversation.id": "c1"} | OF.get(event, {})
    observed = {"time": 0, "observed_time_unix_nano": T0 + at * MS, "event_name": "event otel/src/x.rs:7"}
    return log(None, common | (attributes or {}), **observed | fields)


def gemini(event: str, attributes: dict[str, Any] | None = None, *, at: int = 0, **fields: Any) -> LogRecord:
    """A record of Gemini CLI, whose body is a sentence."""
    common = {"event.name": f"gemini_cli.{event}", "session.id": "s1", "prompt_id": "p1"} | OF.get(event, {})
    return log(f"About {event}.", common | (attributes or {}), time=T0 + at * MS, **fields)


def claude_request(*records: LogRecord) -> ExportLogsServiceRequest:
    """As it sends them."""
    return logs_request(*records, resource={"service.name": "claude-code"}, scope=CLAUDE_SCOPE, scope_version="2.1")


def transcoded(requests: Sequence[ExportLogsServiceRequest], **plan: Any) -> list[ExportTraceServiceRequest | None]:
    """For each request the one of spans that it becomes, by the processor's own rules."""
    text = json.dumps(json.loads(extraction_plan(content_refresh_s=1, max_span_bytes=1 << 24)) | plan)
    decoded = clew_kernel.Decoder(text).decode_logs(
        [request.SerializeToString() for request in requests],
        [bytes(16)] * len(requests),
        now_ns=T0 + 60_000 * MS,
        min_time_ns=1,
        max_time_ns=2**62,
    )
    return [None if body is None else ExportTraceServiceRequest.FromString(body) for body in decoded.spans]


def spans_of(request: ExportTraceServiceRequest | None) -> list[Span]:
    """All spans of a request."""
    groups = request.resource_spans if request else ()
    return [span for group in groups for scoped in group.scope_spans for span in scoped.spans]


def made(*records: LogRecord) -> list[Span]:
    """The spans that some records become."""
    return spans_of(transcoded([logs_request(*records)])[0])


def attributes(span: Span) -> dict[str, Any]:
    """Attributes with a single value each."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in span.attributes}
