"""The kernel against a plain second implementation over the protobuf classes (``shared.otlp_reference``)."""

from __future__ import annotations

import json
import os
from typing import Any

import clew_kernel
import pyarrow as pa
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from shared.otlp import T0
from shared.otlp_reference import Expected, expect
from shared.otlp_strategies import attribute_lists, field, merges_values, mutate, texts

#: Multiplies the number of examples; raise it for a long search.
EFFORT = int(os.environ.get("CLEW_KERNEL_EFFORT", "1"))
MIN_TIME, MAX_TIME = T0 - 10**18, T0 + 10**18
MAX_DEPTH = 4
TENANTS = [b"a" * 16, b"b" * 16]
# The attribute `hidden` becomes content whole. Were it called as a wrapper of messages is, what stands beside them in
# it would stay with the span: that is held elsewhere.
PLAN = json.dumps(
    {
        "max_depth": MAX_DEPTH,
        "contents": [{"name": "messages", "keys": ["hidden"], "kind": "message", "form": "elements"}],
    }
)
MAPS = ("ResourceAttributes", "SpanAttributes")
LIST_MAPS = ("Events.Attributes", "Links.Attributes")


def rows_of(decoded: clew_kernel.Decoded) -> list[dict[str, Any]]:
    """Rows as ``expect`` writes them: integer times, maps as dicts."""
    batch = pa.record_batch(decoded.spans)
    batch.validate(full=True)
    table = pa.Table.from_batches([batch]).drop_columns(["messages"])
    times = {"Timestamp": pa.int64(), "Events.Timestamp": pa.list_(pa.int64())}
    for name, plain in times.items():
        index = table.schema.get_field_index(name)
        table = table.set_column(index, name, table[name].cast(plain))
    rows = table.to_pylist()
    for row in rows:
        for name in MAPS:
            assert len(dict(row[name])) == len(row[name]), "a map holds each key once"
            row[name] = dict(row[name])
        for name in LIST_MAPS:
            row[name] = [dict(pairs) for pairs in row[name]]
    return rows


def decode(bodies: list[bytes], keys: list[bytes]) -> clew_kernel.Decoded:
    decoder = clew_kernel.Decoder(PLAN)
    return decoder.decode(bodies, keys, now_ns=T0, min_time_ns=MIN_TIME, max_time_ns=MAX_TIME)


def reference(requests: list[ExportTraceServiceRequest], keys: list[bytes]) -> Expected:
    return expect(
        requests,
        keys,
        min_time_ns=MIN_TIME,
        max_time_ns=MAX_TIME,
        max_depth=MAX_DEPTH,
        content_keys=["hidden"],
    )


def compare(decoded: clew_kernel.Decoded, wanted: Expected) -> None:
    verdicts = decoded.verdicts
    assert [verdict.error for verdict in verdicts] == [None] * len(wanted.spans)
    assert [verdict.spans for verdict in verdicts] == wanted.spans
    assert [dict(verdict.rejected) for verdict in verdicts] == wanted.rejected
    for verdict in verdicts:
        assert bool(verdict.message) == bool(verdict.rejected)
        assert len(verdict.message) <= 300
    rows = rows_of(decoded)
    for row, expected in zip(rows, wanted.rows, strict=True):
        assert row == expected


trace_ids = st.one_of(
    st.sampled_from([bytes(15) + b"\x01", bytes(15) + b"\x02"]), st.sampled_from([b"", bytes(16), b"x" * 15])
)
span_ids = st.sampled_from([bytes(7) + bytes([n]) for n in range(1, 6)])
odd_span_ids = st.one_of(*[span_ids] * 9, st.sampled_from([b"", bytes(8), b"x" * 7]))
times = st.one_of(
    st.integers(T0 - 1000, T0 + 1000),
    st.sampled_from([0, 1, MIN_TIME, MIN_TIME - 1, MAX_TIME, MAX_TIME + 1, 2**64 - 1]),
)
good_times = st.integers(T0 - 1000, T0 + 1000)
events = st.builds(Span.Event, time_unix_nano=times, name=texts, attributes=attribute_lists)
links = st.builds(
    Span.Link,
    trace_id=st.sampled_from([b"", bytes(16), b"t" * 16]),
    span_id=st.sampled_from([b"", bytes(8), b"s" * 8]),
    trace_state=texts,
    attributes=attribute_lists,
)
spans = st.builds(
    Span,
    trace_id=st.one_of(*[st.just(bytes(15) + b"\x01")] * 5, trace_ids),
    span_id=odd_span_ids,
    parent_span_id=st.one_of(st.just(b""), odd_span_ids),
    trace_state=texts,
    flags=st.integers(0, 2**32 - 1),
    name=texts,
    kind=st.integers(0, 7),
    start_time_unix_nano=st.one_of(*[good_times] * 9, times),
    end_time_unix_nano=st.one_of(*[good_times] * 9, times),
    attributes=attribute_lists,
    events=st.lists(events, max_size=2),
    links=st.lists(links, max_size=2),
    status=st.builds(Status, message=texts, code=st.integers(0, 4)),
)


@st.composite
def requests(draw: st.DrawFn) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        group = request.resource_spans.add(schema_url=draw(texts))
        group.resource.attributes.extend(draw(attribute_lists))
        group.resource.entity_refs.add(schema_url=draw(texts), id_keys=[draw(texts)])
        for _ in range(draw(st.integers(0, 2))):
            scoped = group.scope_spans.add(schema_url=draw(texts))
            scoped.scope.name, scoped.scope.version = draw(texts), draw(texts)
            scoped.scope.attributes.extend(draw(attribute_lists))
            scoped.spans.extend(draw(st.lists(spans, max_size=3)))
    return request


@settings(max_examples=60 * EFFORT, deadline=None)
@given(st.lists(st.tuples(requests(), st.sampled_from(TENANTS)), min_size=1, max_size=3))
def test_every_fixed_column_is_what_the_reference_says(batch: list[tuple[ExportTraceServiceRequest, bytes]]) -> None:
    bodies = [request for request, _ in batch if scope_depth(request) <= MAX_DEPTH]
    tenants = [tenant for request, tenant in batch if scope_depth(request) <= MAX_DEPTH]
    decoded = decode([body.SerializeToString() for body in bodies], tenants)
    compare(decoded, reference(bodies, tenants))


def scope_depth(request: ExportTraceServiceRequest) -> int:
    """Deepest value of a resource or scope: beyond ``max_depth`` the kernel refuses the body, protobuf does not."""
    from shared.otlp_reference import depth

    groups = request.resource_spans
    shared = [pair for group in groups for pair in group.resource.attributes]
    shared += [pair for group in groups for scoped in group.scope_spans for pair in scoped.scope.attributes]
    return max((depth(pair.value) for pair in shared), default=0)


@settings(max_examples=60 * EFFORT, deadline=None)
@given(requests(), st.data())
def test_unknown_fields_change_nothing(request: ExportTraceServiceRequest, data: st.DataObject) -> None:
    """Fields of later OTLP versions, of every wire type, at every level."""
    if scope_depth(request) > MAX_DEPTH:
        return
    unknown = st.sampled_from(
        [
            b"\xf8\x7f\x01",  # varint, field 2047
            b"\xf9\x7f" + bytes(8),  # fixed64
            b"\xfa\x7f\x03abc",  # bytes
            b"\xfb\x7f\x08\x01\x13\x14\xfc\x7f",  # a group that holds a varint and a group
            b"\xfd\x7f" + bytes(4),  # fixed32
            b"\x0d" + bytes(4),  # field 1 with a wire type it does not have
        ]
    )
    plain = request.SerializeToString()
    again = ExportTraceServiceRequest.FromString(plain)
    for group in again.resource_spans:
        for scoped in group.scope_spans:
            for owner in [*scoped.spans, scoped.scope, scoped]:
                owner.MergeFromString(data.draw(unknown))
        for owner in (group.resource, group):
            owner.MergeFromString(data.draw(unknown))
    body = again.SerializeToString() + data.draw(unknown)
    compare(decode([body], TENANTS[:1]), reference([request], TENANTS[:1]))


@settings(max_examples=60 * EFFORT, deadline=None)
@given(requests(), st.data())
def test_a_resource_or_scope_after_its_spans_still_counts(
    request: ExportTraceServiceRequest, data: st.DataObject
) -> None:
    """Fields may stand in any order, and singular messages may come in pieces that merge."""
    if scope_depth(request) > MAX_DEPTH:
        return
    body = b""
    for group in request.resource_spans:
        inner = b""
        for scoped in group.scope_spans:
            apart = (
                ScopeSpans(spans=scoped.spans).SerializeToString() + ScopeSpans(scope=scoped.scope).SerializeToString()
            )
            inner += field(2, apart)
        cut = data.draw(st.integers(0, len(group.resource.attributes)))
        for piece in (group.resource.attributes[:cut], group.resource.attributes[cut:]):
            half = ResourceSpans()
            half.resource.attributes.extend(piece)
            inner += half.SerializeToString()
        body += field(1, inner)
    compare(decode([body], TENANTS[:1]), reference([ExportTraceServiceRequest.FromString(body)], TENANTS[:1]))


@settings(max_examples=200 * EFFORT, deadline=None)
@given(requests(), st.data())
def test_mutated_bytes_are_refused_as_protobuf_does_or_decode_to_the_same(
    request: ExportTraceServiceRequest, data: st.DataObject
) -> None:
    mutated = mutate(request.SerializeToString(), data)
    decoded = decode([mutated], TENANTS[:1])
    rows_of(decoded)  # whatever came out is valid Arrow
    verdict = decoded.verdicts[0]
    try:
        parsed = ExportTraceServiceRequest.FromString(mutated)
    except DecodeError:
        # Invalid UTF-8 and deep nesting inside a span cost the kernel that span only; anything else the body.
        assert verdict.error is not None or {"bad_utf8", "too_deep"} & dict(verdict.rejected).keys()
        return
    if verdict.error is not None:
        assert "nested too deeply" in verdict.error
        assert scope_depth(parsed) > MAX_DEPTH
        return
    if not merges_values(mutated):
        compare(decoded, reference([parsed], TENANTS[:1]))
