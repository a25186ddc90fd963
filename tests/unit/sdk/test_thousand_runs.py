"""A thousand agents at once in one event loop: every run is one trace with the right tree, however it ends."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter, defaultdict

import pytest
from opentelemetry import trace

import clew

RUNS = 1000
other = trace.get_tracer("another instrumentation")


@clew.tool
async def look_up(wait=None):
    if wait is not None:
        wait.set()
        await asyncio.Event().wait()  # until it is cancelled
    await asyncio.sleep(0)


def agent(kind):
    """A streaming agent of three steps, each open while the consumer has the turn."""

    @clew.agent(name=kind)
    async def stream(hang_at=None, hanging=None):
        for index in range(3):
            with clew.step("act"), other.start_as_current_span("HTTP"):
                await look_up(hanging if index == hang_at else None)
                yield index

    return stream


STREAMS = {
    kind: agent(kind) for kind in ("whole", "break", "cancelled", "closed elsewhere", "fails", "dropped", "inner")
}


@clew.agent(name="two at once")
async def two_at_once():
    streams = [STREAMS["inner"](), STREAMS["inner"]()]
    for _ in range(3):
        for stream in streams:
            await anext(stream)
    for stream in streams:
        assert await anext(stream, "over") == "over"


async def consume_whole():
    async for _ in STREAMS["whole"]():
        await asyncio.sleep(0)


async def consume_and_break():
    async for _ in STREAMS["break"]():
        await asyncio.sleep(0)
        break


async def consume_until_cancelled():
    hanging = asyncio.Event()

    async def consume():
        async for _ in STREAMS["cancelled"](1, hanging):
            await asyncio.sleep(0)

    task = asyncio.create_task(consume())
    await hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def close_elsewhere():
    stream = STREAMS["closed elsewhere"]()
    await anext(stream)
    await asyncio.create_task(anext(stream))
    await asyncio.create_task(stream.aclose())


async def fail():
    stream = STREAMS["fails"]()
    await anext(stream)
    with pytest.raises(ValueError, match="from the consumer"):
        await stream.athrow(ValueError("from the consumer"))


async def drop():
    await anext(STREAMS["dropped"]())


CONSUMERS = [consume_whole, consume_and_break, consume_until_cancelled, close_elsewhere, fail, drop, two_at_once]


def steps(count, root):
    """The paths of a run with so many steps."""
    return Counter(
        {
            (root,): 1,
            (root, "step act"): count,
            (root, "step act", "HTTP"): count,
            (root, "step act", "HTTP", "execute_tool look_up"): count,
        }
    )


TREES = {
    "invoke_agent whole": steps(3, "invoke_agent whole"),
    "invoke_agent break": steps(1, "invoke_agent break"),
    "invoke_agent cancelled": steps(2, "invoke_agent cancelled"),
    "invoke_agent closed elsewhere": steps(2, "invoke_agent closed elsewhere"),
    "invoke_agent fails": steps(1, "invoke_agent fails"),
    "invoke_agent dropped": steps(1, "invoke_agent dropped"),
    "invoke_agent two at once": Counter(
        {
            ("invoke_agent two at once",): 1,
            **{
                ("invoke_agent two at once", *path): 2 * count for path, count in steps(3, "invoke_agent inner").items()
            },
        }
    ),
}
STATUS = {"whole": "ok", "fails": "error", "two at once": "ok"}
"""How the root ended; the others were left early."""


async def test_a_thousand_runs_at_once_are_a_thousand_whole_traces(recorded, caplog):
    caplog.set_level(logging.WARNING)
    await asyncio.gather(*(CONSUMERS[number % len(CONSUMERS)]() for number in range(RUNS)))
    gc.collect()
    await asyncio.get_running_loop().shutdown_asyncgens()  # as at the end of every programme
    assert [record.getMessage() for record in caplog.records] == []
    assert trace.get_current_span() is trace.INVALID_SPAN

    traces = defaultdict(list)
    for span in recorded:
        traces[span.context.trace_id].append(span)
    assert len(traces) == RUNS
    runs = Counter()
    for spans in traces.values():
        by_id = {span.context.span_id: span for span in spans}
        assert len(by_id) == len(spans)

        def path(span, by_id=by_id):
            return (*(path(by_id[span.parent.span_id]) if span.parent else ()), span.name)

        [root] = [span for span in spans if span.parent is None]
        assert Counter(map(path, spans)) == TREES[root.name]
        runs[root.name] += 1
        kind = root.name.removeprefix("invoke_agent ")
        assert root.attributes["clew.status"] == STATUS.get(kind, "cancelled"), kind
    assert set(runs) == set(TREES)
    assert max(runs.values()) - min(runs.values()) <= 1
