"""The kernel's decoding of log records against a plain second implementation over the protobuf classes."""

from __future__ import annotations

import json
import os
from typing import Any

import clew_kernel
import pyarrow as pa
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from shared.otlp import T0
from shared.otlp_reference import Expected, depth, expect_logs
from shared.otlp_strategies import attribute_lists, field, merges_values, mutate, texts, values

#: Multiplies the number of examples; raise it for a long search.
EFFORT = int(os.environ.get("CLEW_KERNEL_EFFORT", "1"))
NOW = T0 + 7
LIMITS = {"min_time_ns": T0 - 10**18, "max_time_ns": T0 + 10**18}
MAX_DEPTH = 4
PLAN = json.dumps({"max_depth": MAX_DEPTH})
MAPS = ("ResourceAttributes", "ScopeAttributes", "LogAttributes")

times = st.one_of(
    *[st.integers(T0 - 1000, T0 + 1000)] * 6,
    st.sampled_from([0, 0, 1, LIMITS["min_time_ns"] - 1, LIMITS["max_time_ns"], LIMITS["max_time_ns"] + 1, 2**64 - 1]),
)
logs = st.builds(
    LogRecord,
    time_unix_nano=times,
    observed_time_unix_nano=times,
    severity_number=st.sampled_from([0, 1, 9, 24, 25, 200, 300]),
    severity_text=texts,
    body=values,
    attributes=attribute_lists,
    flags=st.integers(0, 2**32 - 1),
    trace_id=st.sampled_from([b"", b"t" * 16, b"t" * 16, bytes(16), b"x" * 15]),
    span_id=st.sampled_from([b"", b"s" * 8, b"s" * 8, bytes(8), b"x" * 7]),
    event_name=texts,
)


@st.composite
def requests(draw: st.DrawFn) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        group = request.resource_logs.add(schema_url=draw(texts))
        group.resource.attributes.extend(draw(attribute_lists))
        for _ in range(draw(st.integers(0, 2))):
            scoped = group.scope_logs.add(schema_url=draw(texts))
            scoped.scope.name, scoped.scope.version = draw(texts), draw(texts)
            scoped.scope.attributes.extend(draw(attribute_lists))
            scoped.log_records.extend(draw(st.lists(logs, max_size=3)))
    return request


def shared_depth(request: ExportLogsServiceRequest) -> int:
    """Deepest value of a resource or scope: beyond ``max_depth`` the kernel refuses the body, protobuf does not."""
    groups = request.resource_logs
    pairs = [pair for group in groups for pair in group.resource.attributes]
    pairs += [pair for group in groups for scoped in group.scope_logs for pair in scoped.scope.attributes]
    return max((depth(pair.value) for pair in pairs), default=0)


shallow = requests().filter(lambda request: shared_depth(request) <= MAX_DEPTH)


def decode(*bodies: bytes) -> clew_kernel.DecodedLogs:
    decoded = clew_kernel.Decoder(PLAN).decode_logs(list(bodies), [b"k" * 16] * len(bodies), now_ns=NOW, **LIMITS)
    for body, verdict in zip(bodies, decoded.verdicts, strict=True):
        at_the_door = clew_kernel.inspect_logs(body, max_span_bytes=16 << 20, max_depth=MAX_DEPTH, **LIMITS)
        for name in ("spans", "error", "rejected", "message", "resource_bytes"):
            assert getattr(at_the_door, name) == getattr(verdict, name)
    return decoded


def rows_of(decoded: clew_kernel.DecodedLogs) -> list[dict[str, Any]]:
    batch = pa.record_batch(decoded.logs)
    batch.validate(full=True)
    table = pa.Table.from_batches([batch])
    table = table.set_column(1, "Timestamp", table["Timestamp"].cast(pa.int64()))
    rows = table.to_pylist()
    for row in rows:
        for name in MAPS:
            assert len(dict(row[name])) == len(row[name]), "a map holds each key once"
            row[name] = dict(row[name])
    return rows


def compare(decoded: clew_kernel.DecodedLogs, wanted: Expected) -> None:
    assert [verdict.error for verdict in decoded.verdicts] == [None] * len(wanted.spans)
    assert [verdict.spans for verdict in decoded.verdicts] == wanted.spans
    assert [dict(verdict.rejected) for verdict in decoded.verdicts] == wanted.rejected
    for verdict in decoded.verdicts:
        assert bool(verdict.message) == bool(verdict.rejected)
        assert len(verdict.message) <= 300
    for row, expected in zip(rows_of(decoded), wanted.rows, strict=True):
        assert row == expected


def reference(*requests: ExportLogsServiceRequest) -> Expected:
    return expect_logs(requests, now_ns=NOW, max_depth=MAX_DEPTH, **LIMITS)


@settings(max_examples=60 * EFFORT, deadline=None)
@given(st.lists(shallow, min_size=1, max_size=3))
def test_every_column_is_what_the_reference_says(batch: list[ExportLogsServiceRequest]) -> None:
    compare(decode(*(request.SerializeToString() for request in batch)), reference(*batch))


@settings(max_examples=60 * EFFORT, deadline=None)
@given(shallow, st.data())
def test_a_resource_or_scope_after_its_records_still_counts(
    request: ExportLogsServiceRequest, data: st.DataObject
) -> None:
    """Fields may stand in any order, and singular messages may come in pieces that merge."""
    body = b""
    for group in request.resource_logs:
        inner = b""
        for scoped in group.scope_logs:
            cut = data.draw(st.integers(0, len(scoped.scope.attributes)))
            halves = [ScopeLogs(), ScopeLogs()]
            halves[0].scope.attributes.extend(scoped.scope.attributes[:cut])
            halves[1].scope.name = scoped.scope.name
            halves[1].scope.attributes.extend(scoped.scope.attributes[cut:])
            records = ScopeLogs(log_records=scoped.log_records)
            inner += field(2, b"".join(part.SerializeToString() for part in (halves[0], records, halves[1])))
        body += field(1, inner + ResourceLogs(resource=group.resource).SerializeToString())
    compare(decode(body), reference(ExportLogsServiceRequest.FromString(body)))


@settings(max_examples=200 * EFFORT, deadline=None)
@given(requests(), st.data())
def test_mutated_bytes_are_refused_as_protobuf_does_or_decode_to_the_same(
    request: ExportLogsServiceRequest, data: st.DataObject
) -> None:
    mutated = mutate(request.SerializeToString(), data)
    decoded = decode(mutated)
    rows_of(decoded)  # whatever came out is valid Arrow
    verdict = decoded.verdicts[0]
    try:
        parsed = ExportLogsServiceRequest.FromString(mutated)
    except DecodeError:
        # Invalid UTF-8 and deep nesting inside a record cost the kernel that record only; anything else the body.
        assert verdict.error is not None or {"bad_utf8", "too_deep"} & dict(verdict.rejected).keys()
        return
    if verdict.error is not None:
        assert "nested too deeply" in verdict.error
        assert shared_depth(parsed) > MAX_DEPTH
        return
    if not merges_values(mutated, "logs_request"):
        compare(decoded, reference(parsed))
