"""The verdict at the door is the verdict of decoding, for good, cut and mutated bodies."""

from __future__ import annotations

import json
import os
from typing import Any

import clew_kernel
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from shared.otlp import T0, any_value, request, span

#: Multiplies the number of examples; raise it for a long search.
EFFORT = int(os.environ.get("CLEW_KERNEL_EFFORT", "1"))
LIMITS = {"min_time_ns": T0 - 1000, "max_time_ns": T0 + 1000}
MAX_SPAN_BYTES, MAX_DEPTH = 300, 3
PLAN = json.dumps({"max_span_bytes": MAX_SPAN_BYTES, "max_depth": MAX_DEPTH})

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), texts, st.binary(max_size=5)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=6,
)
attributes = st.dictionaries(texts, values.map(any_value), max_size=3)
ids = st.sampled_from([1, 1, 1, 1, 0, b"", b"x"])
times = st.sampled_from([T0, T0, T0, T0, T0 - 1001, T0 + 1001, 0, 2**64 - 1])
links = st.sampled_from([Span.Link(), Span.Link(trace_id=b"x" * 16, span_id=b"y" * 8), Span.Link(span_id=b"y")])
spans = st.builds(
    span,
    texts,
    attributes,
    trace_id=ids,
    span_id=ids,
    parent_id=ids,
    start=times,
    end=times,
    message=texts,
    events=st.lists(texts.map(lambda name: Span.Event(name=name)), max_size=2),
    links=st.lists(links, max_size=1),
)
requests = st.builds(
    lambda spans, resource, scope: request(*spans, resource=resource, scope=scope),
    st.lists(spans, max_size=3),
    attributes,
    texts,
)


def seen(verdict: clew_kernel.Verdict) -> dict[str, Any]:
    names = ("spans", "error", "rejected", "message", "late", "resource_bytes")
    return {name: getattr(verdict, name) for name in names}


def same(body: bytes) -> clew_kernel.Verdict:
    inspected = clew_kernel.inspect(body, max_span_bytes=MAX_SPAN_BYTES, max_depth=MAX_DEPTH, **LIMITS)
    decoded = clew_kernel.Decoder(PLAN).decode([body], [bytes(16)], now_ns=T0, **LIMITS)
    assert seen(inspected) == seen(decoded.verdicts[0])
    assert len(decoded.spans) == inspected.spans
    return inspected


@settings(max_examples=100 * EFFORT, deadline=None)
@given(requests)
def test_inspecting_says_what_decoding_says(made) -> None:
    verdict = same(made.SerializeToString())
    count = sum(len(scoped.spans) for group in made.resource_spans for scoped in group.scope_spans)
    assert verdict.error is not None or verdict.spans + sum(n for _, n in verdict.rejected) == count


@settings(max_examples=60 * EFFORT, deadline=None)
@given(requests, st.data())
def test_inspecting_says_what_decoding_says_of_a_cut_body(made, data: st.DataObject) -> None:
    body = made.SerializeToString()
    same(body[: data.draw(st.integers(0, len(body)))])


@settings(max_examples=200 * EFFORT, deadline=None)
@given(requests, st.data())
def test_inspecting_says_what_decoding_says_of_flipped_bits(made, data: st.DataObject) -> None:
    body = bytearray(made.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    same(bytes(body))
