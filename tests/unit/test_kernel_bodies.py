"""Which memory bodies may lie in, and what is said of them at the door."""

from __future__ import annotations

import mmap
from array import array

import clew_kernel
import pytest

from shared.kernel import KEY, MAX_TIME, MIN_TIME, decode, decoder, spans
from shared.otlp import T0, request, span

BODY = request(span("a"), span("b", span_id=2)).SerializeToString()
LIMITS = {"max_span_bytes": 16 << 20, "min_time_ns": MIN_TIME, "max_time_ns": MAX_TIME}


def times() -> dict[str, int]:
    return {"now_ns": T0, "min_time_ns": MIN_TIME, "max_time_ns": MAX_TIME}


def test_slices_of_one_read_are_decoded_where_they_lie():
    log = b"head" + BODY + b"between" + BODY + b"tail"
    view, second = memoryview(log), 4 + len(BODY) + 7
    slices = [view[4 : 4 + len(BODY)], view[second : second + len(BODY)], view[:0]]
    decoded = decoder().decode(slices, [KEY] * 3, **times())
    assert [v.spans for v in decoded.verdicts] == [2, 2, 0]
    assert spans(decoded).slice(0, 2).drop_columns(["request"]) == spans(decode(decoder(), BODY)).drop_columns(
        ["request"]
    )
    assert clew_kernel.inspect(slices[1], **LIMITS).spans == 2


def test_views_are_let_go_of():
    memory = mmap.mmap(-1, len(BODY))
    memory[:] = BODY
    view = memoryview(memory).toreadonly()
    decoder().decode([view], [KEY], **times())
    clew_kernel.inspect(view, **LIMITS)
    view.release()
    memory.close()  # raises BufferError while anybody holds on to it


@pytest.mark.parametrize("body", [bytearray(BODY), memoryview(bytearray(BODY)), array("B", BODY)])
def test_memory_that_can_be_written_to_is_refused(body: object):
    for call in (lambda: decoder().decode([body], [KEY], **times()), lambda: clew_kernel.inspect(body, **LIMITS)):
        with pytest.raises(ValueError, match="writable"):
            call()


def test_memory_with_gaps_is_refused():
    with pytest.raises(ValueError, match="not contiguous"):
        decoder().decode([memoryview(BODY)[::2]], [KEY], **times())


@pytest.mark.parametrize("body", ["text", None, 5])
def test_what_is_no_memory_is_a_type_error(body: object):
    with pytest.raises(TypeError):
        decoder().decode([body], [KEY], **times())


def test_large_and_small_bodies_are_inspected_alike():
    small = clew_kernel.inspect(request(span(), span(start=0)).SerializeToString(), **LIMITS)
    large = clew_kernel.inspect(request(span("x" * 300_000), span(start=0)).SerializeToString(), **LIMITS)
    assert (small.spans, small.rejected) == (large.spans, large.rejected) == (1, [("bad_time", 1)])


def test_what_rows_repeat_of_resources_is_told_at_the_door_and_bounded_there():
    large = {f"key.{n}": n for n in range(100_000)}
    verdict = clew_kernel.inspect(request(*[span()] * 400, resource=large).SerializeToString(), **LIMITS)
    assert verdict.spans == 256 * 2**20 // (8 * 100_000)
    assert verdict.rejected == [("too_large", 400 - verdict.spans)]
    assert verdict.resource_bytes == verdict.spans * 8 * 100_000


def test_a_depth_nobody_could_check_is_refused():
    with pytest.raises(ValueError, match="max_depth is 129, expected at most 128"):
        clew_kernel.inspect(BODY, max_depth=129, **LIMITS)
