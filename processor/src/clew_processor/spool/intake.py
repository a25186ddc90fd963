"""Requests that arrive together become one batch; each sender waits until its spans are stored.

This is the seam of the durable spool: it will take requests by the same `submit`, acknowledge them once they are on
disk, and hand batches to the same `process`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import clew_kernel

from clew_processor.errors import ClewError, RefusalKind, Refused
from clew_processor.spool.request import Receipt, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

Outcome = Receipt | Refused

MAX_BATCH_BYTES = 64 * 1024 * 1024
"""A batch is closed at this many bytes of requests too: the kernel takes 256 MiB at once, and memory is bounded."""
SHUTTING_DOWN = "the processor is shutting down: send it again to its successor"


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """How much waits and how batches are cut.

    Attributes:
        max_batch_spans: a batch is closed once it holds this many spans.
        max_batch_wait_s: or once its first request has waited this long.
        max_waiting_bytes: requests beyond it are refused as UNAVAILABLE; bounds memory.
    """

    max_batch_spans: int
    max_batch_wait_s: float
    max_waiting_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    request: Request
    spans: int
    since: float
    answer: asyncio.Future[Outcome]


class Intake:
    """Queues requests, cuts batches, answers senders. One thread runs the pipeline, in order of arrival."""

    def __init__(
        self,
        process: Callable[[Sequence[Request]], list[Outcome]],
        limits: IntakeLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing runs before `start`.

        Args:
            process: stores a batch, says what became of each request; a `ClewError` means none was stored.
            limits: see there.
            clock: seconds, monotonic.
        """
        self._process = process
        self._limits = limits
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._in_hand: list[_Waiting] = []
        self._waiting_bytes = 0
        self._waiting_spans = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="clew-pipeline", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Starts the pipeline thread. Call it from the event loop whose tasks will submit."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def submit(self, request: Request) -> Outcome:
        """Waits until the request's spans are stored.

        Returns:
            Its receipt; or why it is refused: malformed, or no room, or shutting down, or the store does not take it.
            It is not raised: a traceback would keep the request's bytes until the next run of the cycle collector.
        """
        spans = clew_kernel.count_spans(request.body)
        waiting = _Waiting(request, spans, self._clock(), asyncio.get_running_loop().create_future())
        with self._changed:
            if self._closing:
                return Refused(RefusalKind.UNAVAILABLE, SHUTTING_DOWN)
            if self._waiting_bytes + len(request.body) > self._limits.max_waiting_bytes and self._waiting:
                return Refused(
                    RefusalKind.UNAVAILABLE,
                    f"{self._waiting_bytes} bytes are waiting for the store, the limit is "
                    f"{self._limits.max_waiting_bytes}: send it again shortly",
                )
            self._waiting.append(waiting)
            self._count(waiting, 1)
            if len(self._waiting) == 1 or self._waiting_spans >= self._limits.max_batch_spans:
                self._changed.notify()
        try:
            return await waiting.answer
        except asyncio.CancelledError:  # the sender is gone and will send it again: storing it would store it twice
            self._forget(waiting)
            raise

    @property
    def waiting_bytes(self) -> int:
        """Bytes of requests not yet taken into a batch."""
        return self._waiting_bytes

    async def drain(self, deadline_s: float) -> bool:
        """Refuses what comes, stores what waits; at the deadline refuses what is left.

        Returns:
            Whether nothing was left.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join, deadline_s)
        if not self._thread.is_alive():
            return True
        left = [*self._in_hand, *self._take_all()]
        _answer(left, [Refused(RefusalKind.UNAVAILABLE, SHUTTING_DOWN)] * len(left))
        return False

    def _run(self) -> None:
        while batch := self._next_batch():
            self._in_hand = batch
            try:
                outcomes = self._process([waiting.request for waiting in batch])
            except ClewError as error:
                # The others have waited while the store was tried, and senders' patience is short: they are told too.
                batch = [*batch, *self._take_all()]
                outcomes = [Refused(RefusalKind.UNAVAILABLE, str(error))] * len(batch)
            except Exception as error:
                # A bug of ours: the sender keeps its data and tries again (INTERNAL would make it drop them).
                log.exception("a batch of %d requests failed", len(batch))
                outcomes = [Refused(RefusalKind.UNAVAILABLE, f"internal error: {error!r}")] * len(batch)
            self._in_hand = []
            assert self._loop is not None
            self._loop.call_soon_threadsafe(_answer, batch, outcomes)
            del batch  # its bytes are not to be held while the next one is waited for

    def _next_batch(self) -> list[_Waiting]:
        """The next batch in order of arrival; empty when drained."""
        limits = self._limits
        with self._changed:
            while True:
                while not self._waiting:
                    if self._closing:
                        return []
                    self._changed.wait()
                close_at = self._waiting[0].since + limits.max_batch_wait_s
                while (
                    self._waiting_spans < limits.max_batch_spans
                    and not self._closing
                    and (left := close_at - self._clock()) > 0
                ):
                    self._changed.wait(left)
                if batch := self._cut():  # nothing, when all who waited have gone
                    return batch

    def _cut(self) -> list[_Waiting]:
        """Takes one batch out of what waits; a request larger than the limits is one of its own."""
        batch: list[_Waiting] = []
        spans = size = 0
        while self._waiting:
            head = self._waiting[0]
            spans += head.spans
            size += len(head.request.body)
            if batch and (spans > self._limits.max_batch_spans or size > MAX_BATCH_BYTES):
                break
            batch.append(self._take())
        return batch

    def _take(self) -> _Waiting:
        waiting = self._waiting.popleft()
        self._count(waiting, -1)
        return waiting

    def _count(self, waiting: _Waiting, sign: int) -> None:
        self._waiting_bytes += sign * len(waiting.request.body)
        self._waiting_spans += sign * waiting.spans

    def _forget(self, waiting: _Waiting) -> None:
        with self._changed:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                self._count(waiting, -1)

    def _take_all(self) -> list[_Waiting]:
        with self._changed:
            return [self._take() for _ in range(len(self._waiting))]


def _answer(batch: list[_Waiting], outcomes: list[Outcome]) -> None:
    for waiting, outcome in zip(batch, outcomes, strict=True):
        if not waiting.answer.done():  # the sender may have gone away
            waiting.answer.set_result(outcome)
