"""Whether the SDK keeps anything of the spans it has recorded: memory after many of them, beside memory after some.

    python bench/sdk_leak.py [--warm 100000] [--spans 1000000] [--most 32]

Everything that an agent may leave behind is in it: whole runs, generators nobody finishes, cancelled tasks, early
breaks, spans that never end, exceptions, words and names made up on the way. Spans go the whole way, through redaction
and the queue, to a destination that throws them away. Ends with 1 where the resident memory grew by more than `--most`
MiB after the first `--warm` spans.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import clew
from clew import _content
from clew._export import queue as _queue
from clew._export.limits import Limits
from clew._export.queue import ExportQueue
from clew._export.relevance import Relevance

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

_queue.MAX_OPEN_SPANS = 1000  # spans that never end are remembered up to here: reached within the warming up
_PAGE = 4096


class Nowhere:
    """Takes everything and keeps nothing."""

    trouble = ""
    taken = 0

    def send(self, spans: Sequence[ReadableSpan]) -> bool:
        """Counts the spans."""
        Nowhere.taken += len(spans)
        return True

    def close(self) -> None:
        """There is nothing to close."""


@clew.tool
def tool(text: str) -> str:
    """A tool."""
    return text * 20


@clew.agent
def stream(text: str) -> Generator[str, None, None]:
    """An agent that hands out what it has."""
    with clew.step("act"):
        yield tool(text)
        yield tool(text)


@clew.agent
async def async_stream(text: str) -> AsyncGenerator[str, None]:
    """The same, asynchronous."""
    with clew.step("plan", name="plan") as step, clew.gate("g", kind="policy") as gate:
        gate.allow()
        step.decide("go on", options=["go on", "stop"])
        yield tool(text)
        await asyncio.sleep(60)


async def one_round(number: int) -> None:
    """Some thirty spans, in every way that they end, or do not."""
    text = f"text {number} a@b.org"
    list(stream(text))
    next(stream(text))  # collected
    for _ in stream(text):
        break
    async for _ in async_stream(text):
        break
    task = asyncio.create_task(_consume(text))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    trace.get_tracer(f"somebody else {number % 10}").start_span(f"never ends {number}")
    with clew.step(f"made up {number}"):  # type: ignore[arg-type]
        clew.outcome(f"made up {number}")  # type: ignore[arg-type]
    try:
        tool(number)  # type: ignore[arg-type]
        tool(None)  # type: ignore[arg-type]
    except TypeError:
        pass


async def _consume(text: str) -> None:
    async for _ in async_stream(text):
        pass


async def record(queue: ExportQueue, spans: int) -> None:
    """Records until so many spans have been sent."""
    number = 0
    while Nowhere.taken < spans:
        await one_round(number)
        number += 1
        if number % 20 == 0:
            queue.force_flush(60_000)


def resident_mib() -> float:
    """Memory of this process, in MiB."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE / 2**20


def main() -> None:
    """Records and compares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--warm", type=int, default=100_000)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--most", type=float, default=32)
    arguments = parser.parse_args()
    logging.disable()
    provider = TracerProvider(shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    queue = ExportQueue(Nowhere, _content.Content.FULL, Limits(2048, 512, 1.0), Relevance())  # type: ignore[arg-type]
    provider.add_span_processor(queue)
    _content.set_mode(_content.Content.FULL)
    asyncio.run(record(queue, arguments.warm))
    warm = resident_mib()
    asyncio.run(record(queue, arguments.spans))
    grown = resident_mib() - warm
    print(
        f"{Nowhere.taken} spans sent, {queue.dropped} dropped; {warm:.1f} MiB after the first {arguments.warm}, "
        f"grown by {grown:.1f} MiB since; {len(queue._open)} open, {len(queue._waiting)} waiting"  # noqa: SLF001
    )
    sys.exit(grown > arguments.most)


if __name__ == "__main__":
    main()
