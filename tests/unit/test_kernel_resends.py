"""Spans that are sent again: known within the horizon, whatever happens in between."""

from __future__ import annotations

import clew_kernel
import pytest

from shared.kernel import KEY, contents, decode, values
from shared.otlp import T0, request, span

HORIZON_S = 600
S = 10**9


def remembering(**more: int) -> clew_kernel.Decoder:
    plan = '{"contents": [{"name": "m", "keys": ["m"], "kind": "message", "form": "elements"}]}'
    return clew_kernel.Decoder(plan, resend_horizon_ns=HORIZON_S * S, **more)


def verdict(kernel: clew_kernel.Decoder, *spans, after_s: int = 0, key: bytes = KEY) -> clew_kernel.Verdict:
    return decode(kernel, request(*spans), keys=[key], now_ns=T0 + after_s * S).verdicts[0]


@pytest.fixture
def kernel() -> clew_kernel.Decoder:
    return remembering()


def test_without_a_horizon_every_span_is_taken_every_time():
    kernel = clew_kernel.Decoder("{}")
    assert [verdict(kernel, span(), span()).spans for _ in range(2)] == [2, 2]


def test_a_span_sent_again_is_rejected_and_its_sender_hears_nothing_of_it(kernel: clew_kernel.Decoder):
    assert verdict(kernel, span("a"), span("b", span_id=2)).spans == 2
    again = verdict(kernel, span("b", span_id=2), span("c", span_id=3), after_s=HORIZON_S)
    assert (again.spans, again.rejected, again.message, again.error) == (1, [("duplicate", 1)], "", None)


def test_a_span_sent_twice_in_one_call_makes_one_row(kernel: clew_kernel.Decoder):
    decoded = decode(kernel, request(span("a"), span("b")), request(span("c"), span("d", span_id=2)))
    assert values(decoded, "SpanName") == ["a", "d"]
    assert [v.rejected for v in decoded.verdicts] == [[("duplicate", 1)]] * 2


def test_a_duplicate_makes_neither_rows_nor_contents_nor_a_parent(kernel: clew_kernel.Decoder):
    parent = span("parent", {"m": '["x"]'})
    verdict(kernel, parent)
    decoded = decode(kernel, request(span("parent", {"m": '["y"]'}), span("child", span_id=2, parent_id=1)))
    assert values(decoded, "SpanName") == ["child"]
    assert values(decoded, "parent_row") == [-1]
    assert contents(decoded) == []


def test_later_than_the_horizon_a_span_is_taken_and_counted_as_late(kernel: clew_kernel.Decoder):
    verdict(kernel, span())
    verdict(kernel, span(span_id=2), after_s=HORIZON_S // 2)  # keeps the generation of both
    late = verdict(kernel, span(), span(span_id=3), after_s=HORIZON_S + 1)
    assert (late.spans, late.late, late.rejected) == (2, 1, [])
    again = verdict(kernel, span(), after_s=HORIZON_S + 2)
    assert (again.spans, again.late, again.rejected) == (0, 0, [("duplicate", 1)])


@pytest.mark.parametrize(
    "other",
    [span(span_id=2), span(trace_id=2), span(attributes={"clew.pending": True})],
    ids=["span id", "trace id", "start record"],
)
def test_what_differs_in_its_identity_is_another_span(kernel: clew_kernel.Decoder, other: object):
    assert [verdict(kernel, s).spans for s in (span(), other, span(), other)] == [1, 1, 0, 0]


@pytest.mark.parametrize("value", [False, "true", 1, None])
def test_only_true_makes_a_start_record(kernel: clew_kernel.Decoder, value: object):
    assert [verdict(kernel, s).spans for s in (span(), span(attributes={"clew.pending": value}))] == [1, 0]


def started(span_id: int = 1, **fields: object) -> object:
    return span(attributes={"clew.pending": True}, span_id=span_id, **fields)


def test_a_start_record_that_tells_a_later_time_is_another_record(kernel: clew_kernel.Decoder):
    records = [started(end=T0), started(end=T0), started(end=T0 + 60 * S), started(end=T0 + 60 * S), span()]
    assert [verdict(kernel, one).spans for one in records] == [1, 0, 1, 0, 1]


@pytest.mark.parametrize("horizon_ns", [0, HORIZON_S * S])
def test_start_records_are_told_from_spans_that_ended(horizon_ns: int):
    kernel = clew_kernel.Decoder("{}", resend_horizon_ns=horizon_ns)
    decoded = decode(kernel, request(span(span_id=1), started(2)), request(started(3), span(span_id=4), started(5)))
    assert (decoded.start_rows, decoded.ended_rows) == ([1, 2, 4], [])


def test_a_span_whose_end_came_before_its_start_record_is_known(kernel: clew_kernel.Decoder):
    verdict(kernel, span(span_id=1))
    decoded = decode(kernel, request(started(3), started(1), span(span_id=2), started(2), span(span_id=3)))
    assert (decoded.start_rows, decoded.ended_rows) == ([0, 1, 3], [1, 3])
    assert decode(kernel, request(started(1)), keys=[b"k" * 16]).ended_rows == []


def test_start_records_and_spans_that_ended_are_no_parents_of_each_other(kernel: clew_kernel.Decoder):
    decoded = decode(
        kernel,
        request(
            started(1), started(2, parent_id=1), span(span_id=3, parent_id=2), span(span_id=2, parent_id=1),
            started(4, parent_id=3), span(span_id=5, parent_id=2),
        ),
    )  # fmt: skip
    assert values(decoded, "parent_row") == [-1, 0, 3, -1, -1, 3]


def test_other_tenants_may_use_the_same_ids(kernel: clew_kernel.Decoder):
    bodies = [request(span()), request(span()), request(span())]
    decoded = decode(kernel, *bodies, keys=[KEY, b"k" * 16, KEY])
    assert [v.spans for v in decoded.verdicts] == [1, 1, 0]


def test_a_refused_body_or_span_is_not_remembered(kernel: clew_kernel.Decoder):
    broken = request(span()).SerializeToString() + b"\x0a\x7f"
    assert decode(kernel, broken).verdicts[0].error is not None
    assert verdict(kernel, span(start=0)).rejected == [("bad_time", 1)]
    assert verdict(kernel, span()).spans == 1


def test_a_bad_span_sent_again_is_rejected_for_what_is_wrong_with_it(kernel: clew_kernel.Decoder):
    verdicts = [verdict(kernel, span(), span(span_id=2, start=0)) for _ in range(2)]
    assert [v.rejected for v in verdicts] == [[("bad_time", 1)], [("bad_time", 1), ("duplicate", 1)]]
    assert verdicts[0].message == verdicts[1].message


def test_forgetting_contents_leaves_spans_remembered(kernel: clew_kernel.Decoder):
    verdict(kernel, span(attributes={"m": '["x"]'}))
    kernel.forget()
    decoded = decode(kernel, request(span(), span(span_id=2, attributes={"m": '["x"]'})))
    assert values(decoded, "SpanId") == ["0000000000000002"]
    assert len(contents(decoded)) == 1


def test_too_little_room_is_told():
    kernel = remembering(max_remembered_spans=1_000)
    decoded = decode(kernel, request(*[span(span_id=n + 1) for n in range(1_600)]))
    assert (decoded.verdicts[0].spans, decoded.forgotten) == (1_600, 1_000)
    assert decode(kernel, request(span(span_id=2_000))).forgotten == 0
    assert verdict(kernel, *[span(span_id=n + 1) for n in range(1_100, 1_600)]).spans == 0


def test_a_memory_restored_from_its_exports_goes_on_and_dead_exports_are_not_missed():
    kernel, chunks = remembering(), []
    for n in range(100):
        assert verdict(kernel, span(span_id=n + 1), after_s=60 * n).spans == 1
        chunk = kernel.export_seen()
        chunks = [*(earlier for earlier in chunks if earlier.generation >= chunk.oldest), chunk]
    assert len(chunks) < 40
    restored = remembering()
    assert restored.import_seen([chunk.data for chunk in chunks]) == 0
    for decoder in (kernel, restored):
        # Ten minutes back are within the horizon: with the last, eleven spans.
        assert verdict(decoder, *[span(span_id=n + 1) for n in range(100)], after_s=60 * 99).rejected == [
            ("duplicate", 11)
        ]
    assert restored.export_seen().data == kernel.export_seen().data


def test_a_missing_export_is_counted():
    kernel = remembering()
    chunks = []
    for n in range(3):
        verdict(kernel, span(span_id=2 * n + 1), span(span_id=2 * n + 2))
        chunks.append(kernel.export_seen().data)
    assert remembering().import_seen([chunks[0], chunks[2]]) == 2


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: b"", lambda d: d + b"x", lambda d: b"x" + d[1:]])
def test_a_damaged_export_is_refused_and_changes_nothing(kernel: clew_kernel.Decoder, damage):
    verdict(kernel, span())
    data = kernel.export_seen().data
    with pytest.raises(ValueError, match="damaged"):
        kernel.import_seen([damage(data)])
    assert verdict(kernel, span()).spans == 0


def test_exports_out_of_order_are_refused(kernel: clew_kernel.Decoder):
    chunks = []
    for n in range(2):
        verdict(kernel, span(span_id=n + 1), after_s=10 * n)
        chunks.append(kernel.export_seen().data)
    with pytest.raises(ValueError, match="order"):
        kernel.import_seen(chunks[::-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resend_horizon_ns": -1}, "resend_horizon_ns is -1, expected 0"),
        ({"resend_horizon_ns": 2**62}, "365 days"),
        ({"max_remembered_spans": 1}, "max_remembered_spans is 1, expected at least 2"),
    ],
)
def test_limits_that_make_no_sense_are_refused(arguments: dict[str, int], message: str):
    with pytest.raises(ValueError, match=message):
        clew_kernel.Decoder("{}", **arguments)
