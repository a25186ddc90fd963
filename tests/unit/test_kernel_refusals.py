"""What is refused, how much of it, and what the sender is told."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from shared.kernel import KEY, MAX_TIME, MIN_TIME, content, contents, decode, decoder, values
from shared.otlp import T0, any_value, key_values, request, span


def nest(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("poison", "reason", "word"),
    [
        (span(trace_id=b""), "bad_trace_id", "16 bytes"),
        (span(trace_id=b"x" * 15), "bad_trace_id", "16 bytes"),
        (span(trace_id=bytes(16)), "bad_trace_id", "all zero"),
        (span(span_id=b""), "bad_span_id", "8 bytes"),
        (span(span_id=bytes(8)), "bad_span_id", "all zero"),
        (span(parent_id=b"abc"), "bad_span_id", "parent"),
        (span(links=[Span.Link(trace_id=b"x", span_id=b"y" * 8)]), "bad_trace_id", "link"),
        (span(links=[Span.Link(trace_id=b"x" * 16, span_id=b"y")]), "bad_span_id", "link"),
        (span(start=MIN_TIME - 1), "bad_time", "too far from now"),
        (span(start=0), "bad_time", "nanoseconds since 1970"),
        (span(end=MAX_TIME + 1), "bad_time", "too far from now"),
        (span(start=2**64 - 1, end=1), "bad_time", "too far from now"),
        (span(attributes={"a": nest(9)}), "too_deep", "nested too deeply"),
        (span(events=[Span.Event(attributes=key_values({"a": nest(9)}))]), "too_deep", "nested too deeply"),
        (span(attributes={"a": "x" * 5000}), "too_large", "larger than the limit"),
    ],
)
def test_a_bad_span_costs_itself_only(poison: Span, reason: str, word: str):
    poison.name = "the poison"
    kernel = decoder(max_depth=8, max_span_bytes=5000)
    decoded = decode(kernel, request(span("before"), poison, span("after")))
    assert values(decoded, "SpanName") == ["before", "after"]
    verdict = decoded.verdicts[0]
    assert (verdict.spans, verdict.error, verdict.rejected) == (2, None, [(reason, 1)])
    assert word in verdict.message
    if reason != "too_large":
        assert '"the poison"' in verdict.message


@pytest.mark.parametrize("where", ["name", "state", "attribute", "key", "event", "link", "status", "nested"])
def test_invalid_utf8_inside_a_span_costs_that_span(where: str):
    poison = span(
        "NAME" if where == "name" else "ok",
        {"KEYX" if where == "key" else "k": "ATTR" if where == "attribute" else ["NEST" if where == "nested" else "x"]},
        trace_state="STAT" if where == "state" else "",
        events=[Span.Event(name="EVEN" if where == "event" else "e")],
        links=[Span.Link(trace_state="LINK" if where == "link" else "l")],
        message="MESS" if where == "status" else "m",
    )
    body = request(span("before"), poison, span("after")).SerializeToString()
    marker = {"name": b"NAME", "state": b"STAT", "attribute": b"ATTR", "key": b"KEYX", "event": b"EVEN"}
    marker |= {"link": b"LINK", "status": b"MESS", "nested": b"NEST"}
    assert body.count(marker[where]) == 1
    broken = body.replace(marker[where], b"A\xff\xfeB")
    with pytest.raises(DecodeError):
        ExportTraceServiceRequest.FromString(broken)
    decoded = decode(decoder(), broken)
    assert decoded.verdicts[0].rejected == [("bad_utf8", 1)]
    assert values(decoded, "SpanName") == ["before", "after"]


@pytest.mark.parametrize("marker", [b"RESK", b"RESV", b"SCOP", b"VERS"])
def test_invalid_utf8_in_resource_or_scope_refuses_the_body(marker: bytes):
    good = request(span(), resource={"RESK": "RESV"}, scope="SCOP", scope_version="VERS").SerializeToString()
    assert good.count(marker) == 1
    decoded = decode(decoder(), good.replace(marker, b"\xc3\x28\xa0\xa1"), good)
    assert "not valid UTF-8" in (decoded.verdicts[0].error or "")
    assert decoded.verdicts[0].spans == 0
    assert values(decoded, "request") == [1]


def test_a_refused_body_leaves_no_rows_no_contents_and_no_memory():
    kernel = decoder(contents=[content("m")])
    whole = request(span(attributes={"m": '[{"role": "user", "parts": []}]'})).SerializeToString()
    broken = decode(kernel, whole + b"\x0a\x7f")
    assert broken.verdicts[0].error is not None
    assert (len(broken.spans), len(broken.contents)) == (0, 0)
    assert len(contents(decode(kernel, whole))) == 1


def test_contents_of_a_refused_span_are_not_given_out():
    kernel = decoder(contents=[content("m")])
    decoded = decode(kernel, request(span(span_id=0, attributes={"m": '["x"]'})))
    assert len(decoded.contents) == 0


def test_reasons_are_counted_and_the_first_refused_span_is_named():
    decoded = decode(
        decoder(), request(span("one", start=0), span("two", span_id=0), span("three", start=1), span(trace_id=0))
    )
    verdict = decoded.verdicts[0]
    assert verdict.rejected == [("bad_trace_id", 1), ("bad_span_id", 1), ("bad_time", 2)]
    assert verdict.message.startswith('4 spans refused; the first: span 0000000000000001 "one" refused: ')


def test_messages_stay_short_whatever_the_span_is_called():
    decoded = decode(decoder(), request(*[span("\N{PILE OF POO}\n\x00" * 1000, start=0)] * 3))
    assert len(decoded.verdicts[0].message) <= 300


def test_an_open_end_counts_as_no_duration():
    decoded = decode(decoder(), request(span(start=T0, end=0), span(start=T0, end=T0 - 5)))
    assert values(decoded, "Duration") == [0, 0]


def test_depth_is_bounded_however_deep_the_message():
    value = any_value(1).SerializeToString()
    for _ in range(5_000):  # beyond what protobuf itself would parse, so it is written by hand
        value = wrap(5, wrap(1, value))
    poison = wrap(1, wrap(2, wrap(2, span().SerializeToString() + wrap(9, wrap(1, b"k") + wrap(2, value)))))
    decoded = decode(decoder(max_depth=128, contents=[content("k")]), poison)
    assert decoded.verdicts[0].rejected == [("too_deep", 1)]


def wrap(number: int, payload: bytes) -> bytes:
    size, length = len(payload), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload


@pytest.mark.parametrize(
    "odd",
    [
        b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",  # a varint of ten bytes
        b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f",  # ten bytes, more than 64 bits
        b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",  # eleven
        b"\x08\x80",  # cut
        b"\x8a\x80\x80\x80\x00\x00",  # a tag of five bytes: field 1
        b"\x8a\x80\x80\x80\x80\x00\x00",  # of six
        b"\x8a\x80\x80\x80\x10\x00",  # beyond 32 bits
        b"\xfa\xff\xff\xff\x0f\x00",  # the last field number
        b"\x00",  # field 0
        b"\x02\x00",
        b"\x0b\x0c",  # an empty group
        b"\x0b\x13\x14\x0c",  # a group in a group
        b"\x0b\x13\x0c\x14",  # closed crosswise
        b"\x0b",  # never closed
        b"\x0c",  # never opened
        b"\x0b" * 90 + b"\x0c" * 90,
        b"\x0b" * 200 + b"\x0c" * 200,
        b"\x0e",  # wire types that do not exist
        b"\x0f",
        b"\x0d\x00\x00\x00",  # fixed32, cut
        b"\x09" + bytes(7),  # fixed64, cut
        b"\x0a\xff\xff\xff\xff\x07",  # 2 GiB of what is not there
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length of 2^64 - 1
        b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",  # a length of 0 in ten bytes
        b"\x0a\x80\x80\x80\x80\x00",  # in five
        b"\x0a\x80\x80\x80\x80\x80\x00",  # in six
    ],
    ids=lambda odd: odd[:12].hex(),
)
def test_odd_wire_forms_are_judged_as_protobuf_judges_them(odd: bytes):
    # As unknown fields of the span (numbers 1 and 2 are ids there, of another wire type) and of the request.
    for body in (wrap(1, wrap(2, wrap(2, span().SerializeToString() + odd))), odd):
        try:
            ExportTraceServiceRequest.FromString(body)
            accepted = True
        except DecodeError:
            accepted = False
        assert (decode(decoder(), body).verdicts[0].error is None) == accepted


def test_every_cut_of_a_request_is_judged_as_protobuf_judges_it():
    body = request(
        span(attributes={"a": [1, {"b": "c"}], "d": 0.5}, events=[Span.Event(name="e")], links=[Span.Link()]), span()
    ).SerializeToString()
    for end in range(len(body)):
        try:
            accepted = bool(ExportTraceServiceRequest.FromString(body[:end])) or True
        except DecodeError:
            accepted = False
        assert (decode(decoder(), body[:end]).verdicts[0].error is None) == accepted


def test_a_large_resource_on_many_spans_does_not_grow_without_bound():
    """Each row repeats its resource: 5 MB of attributes on 2,000 small spans would be 10 GB."""
    large = {f"key.{n}": n for n in range(100_000)}
    decoded = decode(decoder(), request(*[span()] * 2_000, resource=large))
    verdict = decoded.verdicts[0]
    assert verdict.spans == 256 * 2**20 // (8 * 100_000)
    assert dict(verdict.rejected) == {"too_large": 2_000 - verdict.spans}


def test_empty_spans_and_empty_events_cost_a_count_only():
    empty = wrap(1, wrap(2, wrap(2, b"") * 1_000_000))
    decoded = decode(decoder(), empty)
    assert decoded.verdicts[0].rejected == [("bad_trace_id", 1_000_000)]
    stuffed = span().SerializeToString() + wrap(11, b"") * 1_000_000
    decoded = decode(decoder(), wrap(1, wrap(2, wrap(2, stuffed))))
    assert decoded.verdicts[0].rejected == [("too_large", 1)]
    ordinary = span(events=[Span.Event(time_unix_nano=T0, name="e")] * 1_000)
    assert decode(decoder(), request(ordinary)).verdicts[0].spans == 1


def test_tenants_do_not_share_traces():
    child, parent = span("child", span_id=2, parent_id=1), span("parent", span_id=1)
    decoded = decode(decoder(), request(child), request(parent), keys=[KEY, b"k" * 16])
    assert values(decoded, "parent_row") == [-1, -1]
    decoded = decode(decoder(), request(child), request(parent), keys=[KEY, KEY])
    assert values(decoded, "parent_row") == [1, -1]


def test_trace_id_codes_are_one_per_trace():
    import pyarrow as pa

    decoded = decode(decoder(), request(*[span(trace_id=n % 3 + 1, span_id=n + 1) for n in range(30)]))
    column = pa.record_batch(decoded.spans).column("TraceId")
    assert len(set(column.dictionary.to_pylist())) == len(column.dictionary) == 3
    assert column.indices.to_pylist() == [n % 3 for n in range(30)]
