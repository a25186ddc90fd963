"""Whatever is passed to clew, and whatever fails in it: the programme does not notice."""

from __future__ import annotations

import logging
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler

import clew
from clew import _guard
from clew._content import Content
from clew._export.limits import Limits
from clew._export.queue import ExportQueue


@pytest.fixture(autouse=True)
def as_in_production(_own_failures_are_raised, monkeypatch):
    monkeypatch.setattr(_guard, "strict", False)


@pytest.fixture(autouse=True)
def nothing_stays_current():
    yield
    assert trace.get_current_span() is trace.INVALID_SPAN


class NoText:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __format__ = __str__


class NoMemory(NoText):
    def __str__(self):
        raise MemoryError

    __repr__ = __format__ = __str__


class NoHash(NoText):
    def __eq__(self, other):
        raise RuntimeError("not to be compared")

    __hash__ = None

    def __bool__(self):
        raise RuntimeError("neither true nor false")

    def __len__(self):
        raise RuntimeError("no length")


class NoAttributes:
    def __getattribute__(self, name):
        raise RuntimeError(f"no {name}")


class OddText(str):
    __slots__ = ()

    def __str__(self):
        raise RuntimeError("no text")

    def __hash__(self):
        raise RuntimeError("no hash")

    def __eq__(self, other):
        raise RuntimeError("not to be compared")

    __repr__ = __str__


def cycle():
    items = []
    items.append(items)
    return items


def deep():
    items = []
    for _ in range(100_000):
        items = [items]
    return items


HOSTILE = {
    "no text": NoText(),
    "no memory": NoMemory(),
    "no hash": NoHash(),
    "no attributes": NoAttributes(),
    "odd text": OddText("plan"),
    "cycle": cycle(),
    "deep": deep(),
    "lone surrogate": "\ud800",
    "number": 10**5000,
    "keys": {NoText(): NoText(), 1: 2},
    "bytes": b"\xff",
    "class": NoText,
}


@pytest.fixture(params=HOSTILE, ids=lambda name: name.replace(" ", "-"))
def hostile(request):
    return HOSTILE[request.param]


class Destination:
    trouble = "it failed"

    def __init__(self, error):
        self.error = error
        self.names = []

    def send(self, spans):
        if self.error is not None:
            raise self.error
        self.names += [span.name for span in spans]
        return True

    def close(self):
        pass


@pytest.fixture
def sent(monkeypatch):
    """What arrives, on the whole way from the decorators to the exporter; in the end, that more does."""
    destination = Destination(None)
    queue = ExportQueue(lambda: destination, Content.FULL, Limits(1000, 100, 60.0))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(queue)
    monkeypatch.setattr("clew._spans.scope._tracer", provider.get_tracer("clew"))
    yield destination
    with clew.step("act", name="afterwards"):
        pass
    queue.force_flush(30_000)
    queue.close()
    assert destination.names[-1] == "step afterwards"


def test_step_takes_anything(sent, hostile):
    for step in (clew.step(hostile), clew.step("plan", name=hostile), clew.step("plan")):
        with step as inside:
            inside.decide(
                hostile,
                options=hostile,
                rejected=[hostile],
                rejected_reasons=hostile,
                confidence=hostile,
                reason=hostile,
            )
            inside.summarise(hostile)
            inside.finished(hostile)


def test_gate_takes_anything(sent, hostile):
    gates = (
        clew.gate(hostile, kind=hostile),
        clew.gate("g", kind="policy", phase=hostile, target=hostile, target_id=hostile, policy=hostile),
        clew.gate("g", kind="policy"),
    )
    for gate in gates:
        with gate as inside:
            inside.allow(hostile, scope=hostile)
            for decide in (
                inside.deny,
                inside.modify,
                inside.warn,
                inside.require_approval,
                inside.timeout,
                inside.abort,
            ):
                decide(hostile)
            inside.decided_by(hostile, actor=hostile, actor_id=hostile, rule=hostile, score=hostile)


def test_outcome_takes_anything(sent, hostile):
    with clew.step("plan"):
        clew.outcome(
            hostile, score=hostile, expected=hostile, actual=hostile, complexity=hostile, labels=hostile, source=hostile
        )
        clew.outcome("success")


def test_tool_takes_and_returns_anything(sent, hostile):
    @clew.tool
    def tool(first, *rest, **named):
        return first

    assert tool(hostile, hostile, named=hostile) is hostile


def test_names_may_be_anything(sent, hostile):
    @clew.agent(name=hostile, version=hostile)
    def agent():
        return 1

    @clew.tool(name=hostile)
    def tool():
        return 2

    assert (agent(), tool()) == (1, 2)


def test_exception_without_a_text_is_recorded_as_far_as_it_goes(recorded):
    class Strange(Exception):  # noqa: N818
        def __str__(self):
            raise RuntimeError("no text")

    with pytest.raises(Strange), clew.step("act"):
        raise Strange
    attributes = recorded.only().attributes
    assert attributes["clew.status"] == "error"
    assert attributes["error.type"].endswith("Strange")


def test_flush_takes_anything(hostile):
    assert clew.flush(hostile) in (True, False)


def test_programmes_recursion_ends_as_without_clew():
    @clew.tool
    def tool(depth):
        return tool(depth + 1)

    with pytest.raises(RecursionError):
        tool(0)


def test_nothing_is_raised_where_the_stack_ends():
    """Where there is room for the programme's own call, but not for all of clew's."""

    def deeper(depth):
        with clew.step("act"):
            return depth if depth == 0 else deeper(depth - 1)

    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(limit)
        frames = len(__import__("inspect").stack())
        for room in range(60):
            assert at_depth(limit - frames - 60 + room, lambda: 1) in (1, None)
    finally:
        sys.setrecursionlimit(limit)


def at_depth(depth, call):
    """What the call returns so many frames deeper, inside a step; None where the stack ended before it."""
    if depth > 0:
        try:
            return at_depth(depth - 1, call)
        except RecursionError:
            return None
    with clew.step("act"):
        return call()


class Failing(SpanProcessor, Sampler):
    """A processor, or a sampler, of the programme's that fails."""

    def on_start(self, span, parent_context=None):
        raise RuntimeError("start")

    def on_end(self, span):
        raise RuntimeError("end")

    def should_sample(self, *args, **kwargs):
        raise RuntimeError("sample")

    def get_description(self):
        return "fails"


@pytest.mark.parametrize("broken", ["processor", "sampler"])
def test_failures_of_other_parts_of_opentelemetry_stay_outside(monkeypatch, broken, caplog):
    provider = TracerProvider(shutdown_on_exit=False, sampler=Failing() if broken == "sampler" else None)
    if broken == "processor":
        provider.add_span_processor(Failing())
    monkeypatch.setattr("clew._spans.scope._tracer", provider.get_tracer("clew"))

    @clew.agent
    def agent():
        with clew.step("act"), clew.gate("g", kind="policy") as gate:
            gate.allow()
        clew.outcome("success")
        return "answer"

    assert agent() == agent() == "answer"
    kinds = [record.getMessage() for record in caplog.records if record.name == "clew"]
    assert len(kinds) == len(set(kinds)) > 0


@pytest.mark.parametrize("error", [RuntimeError("broken"), MemoryError(), RecursionError(), OSError(28, "no space")])
def test_failing_exporter_is_said_once_and_used_again_when_it_works(error, caplog):
    destination = Destination(error)
    queue = ExportQueue(lambda: destination, Content.FULL, Limits(100, 10, 60.0))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(queue)
    tracer = provider.get_tracer("t")
    for number in range(3):
        tracer.start_span(f"lost {number}").end()
        assert not queue.force_flush(30_000)
    destination.error = None
    tracer.start_span("arrives").end()
    assert queue.force_flush(30_000)
    queue.close()
    assert destination.names == ["arrives"]
    assert queue.dropped == 3
    said = [record.getMessage() for record in caplog.records if record.name == "clew"]
    assert len([line for line in said if "failed while sending spans" in line]) == 1
    assert len([line for line in said if "clew lost 1 span(s) so far" in line]) == 1


def test_failing_log_of_the_programmes_stays_outside():
    class Refuses(logging.Filter):
        def filter(self, record):
            raise RuntimeError("no logging here")

    refuses = Refuses()
    logging.getLogger("clew").addFilter(refuses)
    try:
        with clew.step("no such kind"):
            pass
    finally:
        logging.getLogger("clew").removeFilter(refuses)


def test_words_made_up_by_the_programme_fill_neither_memory_nor_log(caplog):
    for number in range(3000):
        with clew.step(f"kind {number}"):
            pass
    assert len(_guard._reported) <= 1000
    assert len([record for record in caplog.records if record.name == "clew"]) <= 1000
