"""Open spans are told of when they have been open for a while; what ended goes first, and nothing is counted."""

from __future__ import annotations

import json
import threading
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clew._content import Content
from clew._export.limits import Limits
from clew._export.queue import ExportQueue
from clew._export.starts import AGAIN_S, AWAY_S, StartRecords

SECOND = 10**9
AGENT = {"gen_ai.operation.name": "invoke_agent"}


class Destination:
    """Keeps the spans it is sent; says when one is a start record."""

    trouble = "nowhere did not take them"

    def __init__(self):
        self.spans = []
        self.refuses = False
        self.told = threading.Event()
        self.asked = threading.Event()

    def send(self, spans):
        self.asked.set()
        if self.refuses:
            return False
        self.spans += spans
        if any("clew.pending" in span.attributes for span in spans):
            self.told.set()
        return True

    def close(self):
        pass


@pytest.fixture
def destination():
    return Destination()


@pytest.fixture
def make(destination):
    """Makes a tracer whose spans go through a queue; and the queue."""
    queues = []

    def make(*, delay_s=0.02, content=Content.FULL, start_records=True, provider=None):
        queue = ExportQueue(lambda: destination, content, Limits(100, 10, delay_s), start_records=start_records)
        provider = provider or TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(queue)
        queues.append(queue)
        return queue, provider.get_tracer("scope", "1")

    yield make
    for queue in queues:
        queue.shutdown()


@pytest.fixture
def tracer():
    return TracerProvider(shutdown_on_exit=False).get_tracer("t")


def opened(tracer, *several, **attributes):
    return {span.context.span_id: span for span in [tracer.start_span(each, attributes=attributes) for each in several]}


def test_a_start_record_is_the_span_so_far(make, destination):
    queue, tracer = make()
    secret = json.dumps({"key": "sk-proj-" + "a1B2" * 12})
    with tracer.start_as_current_span("outer"):
        span = tracer.start_span(
            "execute_tool look", attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look"}
        )
        span.set_attribute("gen_ai.tool.call.arguments", secret)
        assert destination.told.wait(30)
        span.end()
    assert queue.force_flush()
    record, ended, outer = destination.spans
    assert record.attributes["clew.pending"] is True
    assert record.end_time == record.start_time == ended.start_time
    for part in ("name", "context", "parent", "resource", "kind", "instrumentation_scope"):
        assert getattr(record, part) == getattr(ended, part)
    assert dict(record.attributes) == dict(ended.attributes) | {"clew.pending": True}
    assert "sk-proj" not in record.attributes["gen_ai.tool.call.arguments"]
    assert outer.name == "outer"


def test_start_records_count_nowhere(make, destination):
    queue, tracer = make()
    span = tracer.start_span("a", attributes=AGENT)
    assert destination.told.wait(30)
    assert (queue._ended.value, queue._delivered, queue.dropped) == (0, 0, 0)
    span.end()
    assert queue.force_flush()
    assert (queue._ended.value, queue._delivered, queue.dropped) == (1, 1, 0)


def test_other_destinations_of_the_provider_see_no_start_records(make, destination):
    provider, memory = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    _, tracer = make(provider=provider)
    span = tracer.start_span("a", attributes=AGENT)
    assert destination.told.wait(30)
    assert memory.get_finished_spans() == ()
    span.end()
    assert [dict(span.attributes) for span in memory.get_finished_spans()] == [AGENT]


def test_without_content_a_start_record_has_none(make, destination):
    _, tracer = make(content=Content.OFF)
    tracer.start_span("a", attributes=AGENT | {"gen_ai.input.messages": "[]"})
    assert destination.told.wait(30)
    assert dict(destination.spans[0].attributes) == AGENT | {"clew.pending": True}


def test_switched_off_nothing_is_told(make, destination):
    queue, tracer = make(start_records=False)
    span = tracer.start_span("a", attributes=AGENT)
    for _ in range(3):  # each flush is a round of the exporting thread
        tracer.start_span("b").end()
        assert queue.force_flush()
        time.sleep(0.03)
    span.end()
    assert queue.force_flush()
    assert [span.name for span in destination.spans] == ["b", "b", "b", "a"]


def test_a_receiver_that_refuses_loses_no_span_by_it(make, destination, caplog):
    destination.refuses = True
    queue, tracer = make()
    span = tracer.start_span("a", attributes=AGENT)
    assert destination.asked.wait(30)
    destination.refuses = False
    span.end()
    assert queue.force_flush()
    assert [span.name for span in destination.spans] == ["a"]
    assert queue.dropped == 0
    assert caplog.records == []


def test_short_spans_are_never_told_of(tracer):
    starts, spans = StartRecords(1.0, 10), opened(tracer, "a", "b", **AGENT)
    now = max(span.start_time for span in spans.values())
    assert starts.due(spans, now + SECOND // 2) == []
    assert [record.name for record in starts.due(spans, now + 2 * SECOND)] == ["a", "b"]
    assert starts.due(spans, now + 4 * SECOND) == []


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"gen_ai.operation.name": "invoke_agent"}, True),
        ({"gen_ai.operation.name": "execute_tool"}, True),
        ({"gen_ai.operation.name": "invoke_workflow"}, True),
        ({"clew.op": "step"}, True),
        ({"clew.op": "gate"}, True),
        ({"openinference.span.kind": "TOOL"}, True),
        ({"traceloop.span.kind": "workflow"}, True),
        ({"gen_ai.operation.name": "chat"}, False),
        ({"openinference.span.kind": "LLM"}, False),
        ({}, False),
    ],
)
def test_agents_steps_tools_and_gates_are_told_of(tracer, attributes, told):
    spans = opened(tracer, "a", **attributes)
    assert bool(StartRecords(1.0, 10).due(spans, time.time_ns() + 2 * SECOND)) is told


def test_a_span_that_stays_open_is_told_of_again_with_the_time(tracer):
    starts, spans = StartRecords(1.0, 10), opened(tracer, "a", **AGENT)
    now = time.time_ns() + 2 * SECOND
    [first] = starts.due(spans, now)
    assert first.end_time == first.start_time
    later = now + AGAIN_S * SECOND
    [second] = starts.due(spans, later)
    assert second.end_time == later
    assert second.start_time == first.start_time
    assert starts.due({}, later + 5 * SECOND) == []


def test_only_so_many_are_told_of_at_a_time_and_the_others_next(tracer):
    starts, spans = StartRecords(1.0, 3), opened(tracer, *"abcdefg", **AGENT)
    now = time.time_ns() + 2 * SECOND
    rounds = [starts.due(spans, now + 2 * SECOND * i) for i in range(4)]
    assert ["".join(record.name for record in records) for records in rounds] == ["abc", "def", "g", ""]
    assert all(record.end_time == record.start_time for records in rounds for record in records)


def test_a_receiver_that_is_away_is_left_alone_until_it_takes_spans_or_a_while_has_passed(tracer):
    starts, spans = StartRecords(1.0, 10), opened(tracer, "a", **AGENT)
    now = time.time_ns() + 2 * SECOND
    lost = starts.due(spans, now)
    starts.answered(False)
    starts.lost(lost)
    assert starts.due(spans, now + 5 * SECOND) == []
    assert len(starts.due(spans, now + (AWAY_S + 5) * SECOND)) == 1
    starts.answered(False)
    starts.lost(lost)
    starts.answered(True)
    assert len(starts.due(spans, now + (AWAY_S + 10) * SECOND)) == 1
