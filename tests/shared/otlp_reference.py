"""What the kernel must produce, written a second time over the protobuf classes: slow, plain, and independent of it.

Differences that are allowed, each with its reason (the property tests know no others):

* protobuf refuses a whole request for one invalid UTF-8 string or one value nested too deeply inside a span; the
  kernel refuses only that span. The requests these tests generate as objects cannot hold invalid UTF-8.
* protobuf's limit is 100 nested messages, the kernel's is the plan's ``max_depth`` of AnyValues: between the two the
  kernel accepts what protobuf does not.
* protobuf merges an AnyValue that occurs twice in one KeyValue (or an array twice in one AnyValue); the kernel takes
  the last. No encoder writes that; only mutated bytes hold it.
* An event later than the last time accepted for spans is shown at that time instead of wrapping around.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
STATUSES = ("Unset", "Ok", "Error")

GO_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
GO_HEX = {"\u2028", "\u2029"} | {chr(c) for c in range(0x20) if chr(c) not in GO_ESCAPES}


@dataclass
class Expected:
    """Rows in order, and per body how many spans were accepted and which reasons refused the others."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    spans: list[int] = field(default_factory=list)
    rejected: list[dict[str, int]] = field(default_factory=list)


def expect(
    requests: Sequence[ExportTraceServiceRequest],
    tenants: Sequence[bytes],
    *,
    min_time_ns: int,
    max_time_ns: int,
    max_depth: int,
    content_keys: Iterable[str] = (),
) -> Expected:
    """The fixed columns' values of every acceptable span, as ``RecordBatch.to_pylist`` would show them.

    Times are integers of nanoseconds and maps are dicts.
    """
    hidden = set(content_keys)
    expected = Expected()
    owners: list[tuple[bytes, str]] = []
    for index, (request, tenant) in enumerate(zip(requests, tenants, strict=True)):
        accepted, rejected = 0, dict[str, int]()
        for group in request.resource_spans:
            resource = attributes(group.resource.attributes)
            for scoped in group.scope_spans:
                for span in scoped.spans:
                    reason = refusal(span, min_time_ns, max_time_ns, max_depth)
                    if reason:
                        rejected[reason] = rejected.get(reason, 0) + 1
                        continue
                    accepted += 1
                    owners.append((tenant, span.trace_id.hex()))
                    row = {
                        "request": index,
                        "ServiceName": resource.get("service.name", ""),
                        "ResourceAttributes": resource,
                        "ScopeName": scoped.scope.name,
                        "ScopeVersion": scoped.scope.version,
                    }
                    expected.rows.append(row | own_fields(span, hidden, max_time_ns))
        expected.spans.append(accepted)
        expected.rejected.append(rejected)
    places: dict[tuple[bytes, str, str], int] = {}
    for place, (owner, row) in enumerate(zip(owners, expected.rows, strict=True)):
        places.setdefault((*owner, row["SpanId"]), place)
    for owner, row in zip(owners, expected.rows, strict=True):
        parent = row["ParentSpanId"]
        row["parent_row"] = -1 if parent in ("", row["SpanId"]) else places.get((*owner, parent), -1)
    return expected


def expect_logs(
    requests: Sequence[ExportLogsServiceRequest], *, now_ns: int, min_time_ns: int, max_time_ns: int, max_depth: int
) -> Expected:
    """The same of log records: the columns of ``otel_logs`` and the number of the request."""
    expected = Expected()
    for index, request in enumerate(requests):
        accepted, rejected = 0, dict[str, int]()
        for group in request.resource_logs:
            resource = attributes(group.resource.attributes)
            for scoped in group.scope_logs:
                for log in scoped.log_records:
                    reason = log_refusal(log, min_time_ns, max_time_ns, max_depth)
                    if reason:
                        rejected[reason] = rejected.get(reason, 0) + 1
                        continue
                    accepted += 1
                    shared = {
                        "request": index,
                        "ServiceName": resource.get("service.name", ""),
                        "ResourceSchemaUrl": group.schema_url,
                        "ResourceAttributes": resource,
                        "ScopeSchemaUrl": scoped.schema_url,
                        "ScopeName": scoped.scope.name,
                        "ScopeVersion": scoped.scope.version,
                        "ScopeAttributes": attributes(scoped.scope.attributes),
                    }
                    expected.rows.append(shared | log_fields(log, now_ns))
        expected.spans.append(accepted)
        expected.rejected.append(rejected)
    return expected


def log_fields(log: LogRecord, now_ns: int) -> dict[str, Any]:
    severity = log.severity_number
    return {
        "Timestamp": log.time_unix_nano or log.observed_time_unix_nano or now_ns,
        "TraceId": hex_or_empty(log.trace_id),
        "SpanId": hex_or_empty(log.span_id),
        "TraceFlags": log.flags & 0xFF,
        "SeverityText": log.severity_text,
        "SeverityNumber": severity if 0 <= severity < 256 else 0,
        "Body": as_string(log.body),
        "LogAttributes": attributes(log.attributes),
        "EventName": log.event_name,
    }


def log_refusal(log: LogRecord, min_time_ns: int, max_time_ns: int, max_depth: int) -> str | None:
    if any(depth(value) > max_depth for value in (log.body, *(pair.value for pair in log.attributes))):
        return "too_deep"
    if len(log.trace_id) not in (0, 16):
        return "bad_trace_id"
    if len(log.span_id) not in (0, 8):
        return "bad_span_id"
    time = log.time_unix_nano or log.observed_time_unix_nano
    return "bad_time" if time and not min_time_ns <= time <= max_time_ns else None


def own_fields(span: Span, hidden: set[str], max_time_ns: int) -> dict[str, Any]:
    end = span.end_time_unix_nano or span.start_time_unix_nano
    return {
        "Timestamp": span.start_time_unix_nano,
        "TraceId": span.trace_id.hex(),
        "SpanId": span.span_id.hex(),
        "ParentSpanId": hex_or_empty(span.parent_span_id),
        "TraceState": span.trace_state,
        "SpanName": span.name,
        "SpanKind": name_of(KINDS, span.kind),
        "SpanAttributes": {k: v for k, v in attributes(span.attributes).items() if k not in hidden},
        "Duration": max(end - span.start_time_unix_nano, 0),
        "StatusCode": name_of(STATUSES, span.status.code),
        "StatusMessage": span.status.message,
        "Events.Timestamp": [min(event.time_unix_nano, max_time_ns) for event in span.events],
        "Events.Name": [event.name for event in span.events],
        "Events.Attributes": [attributes(event.attributes) for event in span.events],
        "Links.TraceId": [hex_or_empty(link.trace_id) for link in span.links],
        "Links.SpanId": [hex_or_empty(link.span_id) for link in span.links],
        "Links.TraceState": [link.trace_state for link in span.links],
        "Links.Attributes": [attributes(link.attributes) for link in span.links],
    }


def refusal(span: Span, min_time_ns: int, max_time_ns: int, max_depth: int) -> str | None:
    owners = [span, *span.events, *span.links]
    if any(depth(pair.value) > max_depth for owner in owners for pair in owner.attributes):
        return "too_deep"
    if len(span.trace_id) != 16 or not any(span.trace_id):
        return "bad_trace_id"
    if any(len(link.trace_id) not in (0, 16) for link in span.links):
        return "bad_trace_id"
    if len(span.span_id) != 8 or not any(span.span_id) or len(span.parent_span_id) not in (0, 8):
        return "bad_span_id"
    if any(len(link.span_id) not in (0, 8) for link in span.links):
        return "bad_span_id"
    times = (span.start_time_unix_nano, span.end_time_unix_nano or span.start_time_unix_nano)
    if not all(min_time_ns <= time <= max_time_ns for time in times):
        return "bad_time"
    return None


def depth(value: AnyValue) -> int:
    """How many arrays and lists are inside each other."""
    match value.WhichOneof("value"):
        case "array_value":
            return 1 + max((depth(v) for v in value.array_value.values), default=0)
        case "kvlist_value":
            return 1 + max((depth(pair.value) for pair in value.kvlist_value.values), default=0)
    return 0


def name_of(names: Sequence[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else names[0]


def hex_or_empty(identifier: bytes) -> str:
    return identifier.hex() if any(identifier) else ""


def attributes(pairs: Iterable[KeyValue]) -> dict[str, str]:
    return {pair.key: as_string(pair.value) for pair in pairs}


def as_string(value: AnyValue) -> str:
    """The Collector's ``Value.AsString``."""
    match value.WhichOneof("value"):
        case None:
            return ""
        case "string_value":
            return value.string_value
        case "double_value":
            return go_float(value.double_value)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "array_value" | "kvlist_value":
            try:
                return go_json(value)
            except OverflowError:  # Go refuses NaN and infinities in JSON, and the exporter then writes nothing
                return ""
    return go_json(value)


def go_json(value: AnyValue) -> str:
    match value.WhichOneof("value"):
        case None:
            return "null"
        case "string_value":
            return go_quoted(value.string_value)
        case "bool_value":
            return str(value.bool_value).lower()
        case "int_value":
            return str(value.int_value)
        case "double_value":
            if not math.isfinite(value.double_value):
                raise OverflowError
            return go_float(value.double_value)
        case "bytes_value":
            text = base64.b64encode(value.bytes_value).decode()
            return f'"{text}"' if text else "null"
        case "array_value":
            return f"[{','.join(map(go_json, value.array_value.values))}]"
    members = {pair.key: pair.value for pair in value.kvlist_value.values}
    return "{" + ",".join(f"{go_quoted(k)}:{go_json(members[k])}" for k in sorted(members)) + "}"


def go_quoted(text: str) -> str:
    escaped = (GO_ESCAPES.get(c) or (f"\\u{ord(c):04x}" if c in GO_HEX else c) for c in text)
    return '"' + "".join(escaped) + '"'


def go_float(number: float) -> str:
    """Shortest digits that round trip; an exponent only below 1e-6 and from 1e21 on, without padding."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    sign = "-" if math.copysign(1, number) < 0 else ""
    if number == 0:
        return sign + "0"
    digits, _, exponent = f"{abs(number)!r}".partition("e")
    whole, _, fraction = digits.partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + int(exponent or 0)
    significant = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(significant)
    significant = significant.rstrip("0")
    if 1e-6 <= abs(number) < 1e21:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{significant}"
        if point >= len(significant):
            return sign + significant.ljust(point, "0")
        return f"{sign}{significant[:point]}.{significant[point:]}"
    mantissa = significant[0] + ("." + significant[1:] if len(significant) > 1 else "")
    return f"{sign}{mantissa}e{point - 1:+d}"
