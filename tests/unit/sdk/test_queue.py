"""Every span that comes in is delivered or counted, and nobody who ends a span waits."""

from __future__ import annotations

import threading

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from clew import _guard, _queue
from clew._content import Content
from clew._queue import ExportQueue, Limits


class Destination:
    """Stands where the exporter stands; can be held, and can fail."""

    trouble = "nowhere did not take them"

    def __init__(self):
        self.batches = []
        self.free = threading.Event()
        self.free.set()
        self.sending = threading.Event()
        self.fails = False
        self.closed = False

    def send(self, spans):
        self.sending.set()
        self.free.wait(30)
        if self.fails or self.closed:
            return False
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

    def make(queue_spans=100, batch_spans=10, delay_s=60.0, content=Content.FULL, sampler=None):
        queue = ExportQueue(lambda: destination, content, Limits(queue_spans, batch_spans, delay_s))
        provider = TracerProvider(shutdown_on_exit=False, sampler=sampler)
        provider.add_span_processor(queue)
        queues.append(queue)
        return queue, provider.get_tracer("t")

    yield make
    destination.free.set()
    for queue in queues:
        queue.shutdown()


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
    monkeypatch.setattr(_queue, "MAX_BATCH_CHARACTERS", 1000)
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
    queue.shutdown()
    assert [line.getMessage() for line in caplog.records if "clew lost 2 span(s)" in line.getMessage()]


def test_loss_is_said_once_with_number_and_place(make, destination, caplog):
    caplog.set_level("WARNING", "clew")
    queue, tracer = make()
    destination.fails = True
    for number in range(3):
        record(tracer, f"s{number}")
        assert not queue.force_flush()
    queue.shutdown()
    [line] = [record.getMessage() for record in caplog.records]
    assert "clew lost 1 span(s) so far: nowhere did not take them" in line
    assert queue.dropped == 3


def test_shutdown_gives_up_after_its_time_and_counts_what_is_left(make, destination):
    queue, tracer = make(batch_spans=1)
    record(tracer, "delivered")
    assert queue.force_flush()
    destination.free.clear()
    record(tracer, "a", "b", "c")
    queue.shutdown(timeout_s=0.05)
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
    monkeypatch.setattr(_queue, "prepare", lambda span, _: 1 / 0 if span.name == "bad" else span)
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
    queue.shutdown()
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
