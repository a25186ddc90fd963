"""Tiny builders of OTLP requests, for tests that need spans or log records and not an SDK."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

#: A start time all builders share: 2026-01-02 03:04:05 UTC in nanoseconds.
T0 = 1_767_323_045_000_000_000


def any_value(value: object) -> AnyValue:
    """Python value -> AnyValue: None, bool, int, float, str, bytes, list/tuple and mapping (nested too)."""
    match value:
        case AnyValue():
            return value
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list() | tuple():
            return AnyValue(array_value=ArrayValue(values=[any_value(v) for v in value]))
        case Mapping():
            return AnyValue(kvlist_value=KeyValueList(values=key_values(value)))
    raise TypeError(f"no AnyValue for {type(value).__name__}")


def key_values(attributes: Mapping[str, object] | Iterable[tuple[str, object]]) -> list[KeyValue]:
    """Attributes as KeyValues in the given order; pairs may repeat a key."""
    pairs = attributes.items() if isinstance(attributes, Mapping) else attributes
    return [KeyValue(key=key, value=any_value(value)) for key, value in pairs]


def hex_id(value: str | bytes | int, size: int) -> bytes:
    """An id of ``size`` bytes from hex text, raw bytes or a small number."""
    if isinstance(value, int):
        return value.to_bytes(size, "big")
    return bytes.fromhex(value) if isinstance(value, str) else value


def span(
    name: str = "op",
    attributes: Mapping[str, object] | Iterable[tuple[str, object]] = (),
    *,
    trace_id: str | bytes | int = 1,
    span_id: str | bytes | int = 1,
    parent_id: str | bytes | int = b"",
    start: int = T0,
    end: int | None = None,
    kind: int = Span.SPAN_KIND_INTERNAL,
    status: int = Status.STATUS_CODE_UNSET,
    message: str = "",
    **fields: Any,
) -> Span:
    """One span of 1 ms unless ``end`` is given; other Span fields pass through by name.

    Ids are hex text, raw bytes or small numbers. ``start`` and ``end`` are unix nanoseconds.
    """
    return Span(
        name=name,
        trace_id=hex_id(trace_id, 16),
        span_id=hex_id(span_id, 8),
        parent_span_id=hex_id(parent_id, 8),
        start_time_unix_nano=start,
        end_time_unix_nano=start + 1_000_000 if end is None else end,
        kind=kind,
        status=Status(code=status, message=message),
        attributes=key_values(attributes),
        **fields,
    )


def request(
    *spans: Span,
    resource: Mapping[str, object] | Iterable[tuple[str, object]] | None = None,
    scope: str = "test.scope",
    scope_version: str = "1.0",
) -> ExportTraceServiceRequest:
    """One request of one resource (``service.name`` is ``test`` unless given) and one scope."""
    built = ExportTraceServiceRequest()
    group = built.resource_spans.add()
    group.resource.attributes.extend(key_values({"service.name": "test"} if resource is None else resource))
    scoped = group.scope_spans.add()
    scoped.scope.name = scope
    scoped.scope.version = scope_version
    scoped.spans.extend(spans)
    return built


def log(
    body: object = None,
    attributes: Mapping[str, object] | Iterable[tuple[str, object]] = (),
    *,
    time: int = T0,
    trace_id: str | bytes | int = b"",
    span_id: str | bytes | int = b"",
    **fields: Any,
) -> LogRecord:
    """One log record; other LogRecord fields pass through by name. Ids as in `span`."""
    return LogRecord(
        body=any_value(body),
        time_unix_nano=time,
        trace_id=hex_id(trace_id, 16),
        span_id=hex_id(span_id, 8),
        attributes=key_values(attributes),
        **fields,
    )


def logs_request(
    *logs: LogRecord,
    resource: Mapping[str, object] | Iterable[tuple[str, object]] | None = None,
    scope: str = "test.scope",
    scope_version: str = "1.0",
) -> ExportLogsServiceRequest:
    """One request of one resource (``service.name`` is ``test`` unless given) and one scope."""
    built = ExportLogsServiceRequest()
    group = built.resource_logs.add()
    group.resource.attributes.extend(key_values({"service.name": "test"} if resource is None else resource))
    scoped = group.scope_logs.add()
    scoped.scope.name = scope
    scoped.scope.version = scope_version
    scoped.log_records.extend(logs)
    return built


def message(role: str, *parts: object, **members: object) -> dict[str, object]:
    """A chat message in the semantic conventions' form; a plain string part becomes a text part."""
    return {
        "role": role,
        "parts": [{"type": "text", "content": p} if isinstance(p, str) else p for p in parts],
        **members,
    }


def messages_json(*messages: Mapping[str, object]) -> str:
    """Messages as the JSON text instrumentations put into an attribute."""
    return json.dumps(list(messages), ensure_ascii=False)
