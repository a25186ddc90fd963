"""Every span that comes in is delivered or counted, and nobody who ends a span waits."""

from __future__ import annotations

import re
import sys
import threading

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from clew import _guard
from clew._content import Content
from clew._content.prepare import prepare
from clew._export import queue as _queue
from clew._export import sender, size
from clew._export.exporter import TooLarge
from clew._export.limits import Limits
from clew._export.queue import ExportQueue


class Destination:
    """Stands where the exporter stands; can be held, and can fail."""

    trouble = "nowhere did not take them"

    def __init__(self):
        self.batches = []
        self.spans = []
        self.free = threading.Event()
        self.free.set()
        self.sending = threading.Event()
        self.fails = False
        self.closed = False
        self.most_bytes = float("inf")

    def send(self, spans):
        self.sending.set()
        self.free.wait(30)
        if self.fails or self.closed:
            return False
        if sum(size.wire(span) for span in spans) > self.most_bytes:
            raise TooLarge("larger than max")
        self.spans += spans
        self.batches.append([span.name for span in spans])
        return True

    def close(self):
        self.closed = True
        self.free.set()

    @property
    def names(self):
        return [name for batch in self.batches for name in batch]


@pytest.fixture
def destination():
    return Destination()


@pytest.fixture
def make(destination):
    """Makes a tracer whose spans go through a queue of the given limits."""
    queues = []

    def make(queue_spans=100, batch_spans=10, delay_s=60.0, content=Content.FULL, sampler=None, queue_bytes=10**9):
        queue = ExportQueue(lambda: destination, content, Limits(queue_spans, batch_spans, delay_s, queue_bytes))
        provider = TracerProvider(shutdown_on_exit=False, sampler=sampler)
        provider.add_span_processor(queue)
        queues.append(queue)
        return queue, provider.get_tracer("t")

    yield make
    destination.free.set()
    for queue in queues:
        queue.close()


def record(tracer, *names, **attributes):
    for name in names:
        tracer.start_span(name, attributes=attributes).end()


def test_flush_delivers_everything_in_order(make, destination):
    queue, tracer = make()
    names = [f"s{number}" for number in range(25)]
    record(tracer, *names)
    assert queue.force_flush()
    assert destination.names == names
    assert max(map(len, destination.batches)) <= 10
    assert queue.dropped == 0


def test_full_batch_is_sent_without_waiting(make, destination):
    _, tracer = make(batch_spans=3, delay_s=600)
    record(tracer, "a", "b", "c")
    assert destination.sending.wait(30)


def test_long_conversations_are_cut_into_requests_by_size(make, destination, monkeypatch):
    monkeypatch.setattr(size, "MAX_REQUEST_BYTES", 1500)
    queue, tracer = make()
    record(tracer, "a", "b", "c", text="x" * 400)
    record(tracer, "d", text="x" * 5000)
    record(tracer, "e")
    assert queue.force_flush()
    assert destination.batches == [["a", "b"], ["c"], ["d"], ["e"]]


def test_full_queue_drops_the_oldest_and_counts_them(make, destination, caplog):
    queue, tracer = make(queue_spans=3, batch_spans=1)
    destination.free.clear()
    record(tracer, "in flight")
    assert destination.sending.wait(30)
    record(tracer, "a", "b", "c", "d", "e")
    assert queue.dropped == 2
    assert not queue.force_flush(10)
    destination.free.set()
    assert queue.force_flush()
    assert destination.names == ["in flight", "c", "d", "e"]
    queue.close()
    assert [line.getMessage() for line in caplog.records if "clew lost 2 span(s)" in line.getMessage()]


def test_queue_is_bounded_by_the_memory_its_spans_take(make, destination):
    queue, tracer = make(batch_spans=1, queue_bytes=500_000)
    destination.free.clear()
    record(tracer, "in flight")
    assert destination.sending.wait(30)
    record(tracer, "a", "b", "c", text="x" * 200_000)
    record(tracer, "d", text="Ж" * 100_000)  # two bytes of memory each
    record(tracer, "e", texts=["x" * 100_000])
    assert queue.dropped == 3
    destination.free.set()
    queue.force_flush()
    assert destination.names == ["in flight", "d", "e"]


def test_span_larger_than_the_queue_is_dropped_and_the_next_is_not(make, destination):
    queue, tracer = make(queue_bytes=100_000)
    record(tracer, "huge", text="x" * 200_000)
    record(tracer, "fine")
    queue.force_flush()
    assert destination.names == ["fine"]
    assert queue.dropped == 1


def test_what_is_being_sent_is_bounded_by_bytes_too(make, destination):
    """Spans that left the queue for a receiver that hangs are beyond its bounds."""
    queue, tracer = make(batch_spans=100)
    destination.free.clear()
    record(tracer, *(f"{number}" for number in range(60)), text="x" * 1_000_000)
    assert destination.sending.wait(30)
    assert len(queue._waiting) > 50


@pytest.mark.parametrize("character", ["x", "é", "Ж", "漢", "😀"])
def test_size_of_a_span_is_counted_in_bytes(character):
    attributes = {"text": character * 1000, "many": [character * 100] * 10, "nested": {"a": {"b": character * 500}}}
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("s", attributes=attributes)
    span.add_event("e", {"text": character * 1000})
    span.set_status(StatusCode.ERROR, character * 1000)
    span.end()
    sent = prepare(span, Content.FULL)  # mends what UTF-8 cannot write
    encoded = encode_spans([sent]).resource_spans[0].scope_spans[0].spans[0].ByteSize()
    assert encoded <= size.wire(sent) < encoded + 1000


def test_request_the_receiver_finds_too_large_is_sent_in_parts(make, destination):
    queue, tracer = make()
    destination.most_bytes = 3000
    record(tracer, "a", "b", "c", "d", "e", text="x" * 1000)
    record(tracer, "huge", "last", text="x")
    assert queue.force_flush()
    assert destination.names == ["a", "b", "c", "d", "e", "huge", "last"]


def test_span_the_receiver_finds_too_large_is_cut_and_the_others_are_whole(make, destination, caplog):
    queue, tracer = make()
    destination.most_bytes = 5000
    tracer.start_span("huge", attributes={"short": "kept", "long": "é" * 20_000, "many": ["y" * 100] * 500}).end()
    record(tracer, "fine", text="x" * 1000)
    assert queue.force_flush()
    huge, fine = destination.spans
    assert (huge.name, fine.name) == ("huge", "fine")
    assert huge.attributes["short"] == "kept"
    assert re.fullmatch(r"é+<TRUNCATED:\d+ characters:\d+ bytes:[0-9a-f]{32}>", huge.attributes["long"])
    assert huge.attributes["clew.content.truncated"] is True
    assert len(fine.attributes["text"]) == 1000
    [line] = [record.getMessage() for record in caplog.records]
    assert "The span 'huge' of about" in line
    assert "was cut to" in line


def test_span_that_cannot_be_cut_is_lost_alone(make, destination, caplog):
    queue, tracer = make()
    destination.most_bytes = 1000
    tracer.start_span("many", attributes={f"attribute {number}": number for number in range(100)}).end()
    record(tracer, "fine")
    assert not queue.force_flush()
    assert destination.names == ["fine"]
    assert "'many'" in caplog.records[0].getMessage()


def test_span_may_end_while_another_is_taken_by_the_same_thread(make, destination, monkeypatch):
    """As it happens when a garbage collection or a signal handler closes a generator at any point in between."""
    queue, tracer = make(batch_spans=1, queue_spans=1000)
    names = []
    depth = 0

    def interrupted(frame, event, argument):
        nonlocal depth
        if (
            event == "line"
            and not depth
            and frame.f_code.co_filename.endswith(("_export/queue.py", "_export/waiting.py", "_export/counter.py"))
        ):
            depth = 1
            names.append(f"inner {len(names)}")
            record(tracer, names[-1])
            depth = 0
        return interrupted

    before = sys.gettrace()
    sys.settrace(interrupted)
    try:
        record(tracer, "outer")
    finally:
        sys.settrace(before)
    assert len(names) > 10
    assert queue.force_flush()
    assert sorted(destination.names) == sorted(["outer", *names])


def test_loss_is_said_once_with_number_and_place(make, destination, caplog):
    caplog.set_level("WARNING", "clew")
    queue, tracer = make()
    destination.fails = True
    for number in range(3):
        record(tracer, f"s{number}")
        assert not queue.force_flush()
    queue.close()
    [line] = [record.getMessage() for record in caplog.records]
    assert "clew lost 1 span(s) so far: nowhere did not take them" in line
    assert queue.dropped == 3


def test_shutdown_gives_up_after_its_time_and_counts_what_is_left(make, destination):
    queue, tracer = make(batch_spans=1)
    record(tracer, "delivered")
    assert queue.force_flush()
    destination.free.clear()
    record(tracer, "a", "b", "c")
    queue.close(timeout_s=0.05)
    assert destination.closed
    assert queue.dropped == 3
    record(tracer, "late")
    assert queue.dropped == 4
    assert not queue.force_flush()


def test_open_spans_are_ended_as_interrupted_innermost_first(make, destination):
    queue, tracer = make()
    outer = tracer.start_span("outer")
    inner = tracer.start_span("inner")
    record(tracer, "done")
    queue.end_open_spans()
    assert queue.force_flush()
    assert destination.names == ["done", "inner", "outer"]
    assert outer.attributes["clew.status"] == inner.attributes["clew.status"] == "interrupted"


def test_forgotten_open_spans_are_bounded(make, monkeypatch):
    monkeypatch.setattr(_queue, "MAX_OPEN_SPANS", 5)
    queue, tracer = make()
    forgotten = [tracer.start_span(f"{number}") for number in range(20)]
    assert len(queue._open) == 5
    for span in forgotten:
        span.end()
    assert not queue._open


def test_span_that_cannot_be_redacted_is_not_sent(make, destination, monkeypatch):
    monkeypatch.setattr(_guard, "strict", False)
    monkeypatch.setattr(sender, "prepare", lambda span, _: 1 / 0 if span.name == "bad" else span)
    queue, tracer = make()
    record(tracer, "good", "bad", "fine")
    assert not queue.force_flush()
    assert destination.names == ["good", "fine"]
    assert queue.dropped == 1


def test_exporter_that_cannot_be_made_loses_spans_and_no_more(make, monkeypatch, caplog):
    queue, tracer = make()
    monkeypatch.setattr(queue, "_make_destination", lambda: 1 / 0)
    record(tracer, "a")
    assert not queue.force_flush()
    assert queue.dropped == 1
    queue.close()
    [line] = [record.getMessage() for record in caplog.records]
    assert "the exporter could not be made (division by zero)" in line


def test_failure_of_the_queue_does_not_reach_the_agent(make, monkeypatch, caplog):
    monkeypatch.setattr(_guard, "strict", False)
    queue, tracer = make()
    monkeypatch.setattr(queue, "_take", lambda _: 1 / 0)
    monkeypatch.setattr(queue, "_begin", lambda *_: 1 / 0)
    record(tracer, "a", "b")
    assert len(caplog.records) == 2


def test_unsampled_spans_are_not_sent_and_not_counted(make, destination):
    queue, tracer = make(sampler=ALWAYS_OFF)
    record(tracer, "a")
    assert queue.force_flush()
    assert destination.batches == []


def test_spans_from_many_threads_are_all_counted(make, destination):
    queue, tracer = make(queue_spans=100_000, batch_spans=512, delay_s=0.01)
    threads = [threading.Thread(target=record, args=(tracer, *["s"] * 500)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.force_flush()
    assert len(destination.names) == 4000


@pytest.mark.parametrize(("value", "said"), [("many", True), ("0", True), ("-1", True), ("7", False), ("", False)])
def test_limits_come_from_the_standard_variables(monkeypatch, caplog, value, said):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", value)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "250")
    limits = Limits.from_environment()
    assert limits.queue_spans == (7 if value == "7" else 2048)
    assert limits.delay_s == 0.25
    assert bool(caplog.records) is said
