"""Recorded OTLP requests as the spans the SDK had before it sent them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


def readable_spans(body: bytes) -> Iterator[ReadableSpan]:
    """Each span of an ``ExportTraceServiceRequest``, in order."""
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = Resource(_attributes(resource_spans.resource.attributes))
        for scope_spans in resource_spans.scope_spans:
            told = scope_spans.scope
            scope = InstrumentationScope(told.name, told.version, attributes=_attributes(told.attributes))
            for span in scope_spans.spans:
                yield ReadableSpan(
                    name=span.name,
                    context=_context(span.trace_id, span.span_id),
                    parent=_context(span.trace_id, span.parent_span_id) if span.parent_span_id else None,
                    resource=resource,
                    attributes=_attributes(span.attributes),
                    events=[Event(one.name, _attributes(one.attributes), one.time_unix_nano) for one in span.events],
                    links=[
                        Link(_context(one.trace_id, one.span_id), _attributes(one.attributes)) for one in span.links
                    ],
                    status=Status(StatusCode(span.status.code), span.status.message or None)
                    if span.status.code == span.status.STATUS_CODE_ERROR
                    else Status(StatusCode(span.status.code)),
                    start_time=span.start_time_unix_nano,
                    end_time=span.end_time_unix_nano,
                    instrumentation_scope=scope,
                )


def _context(trace_id: bytes, span_id: bytes) -> SpanContext:
    return SpanContext(
        int.from_bytes(trace_id), int.from_bytes(span_id), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case "array_value":
            return tuple(_value(item) for item in value.array_value.values)
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case None:
            return None
        case kind:
            return getattr(value, kind)
