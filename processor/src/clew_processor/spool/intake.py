"""The door: a request is looked at, written to the spool with the others that wait, and then acknowledged."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from clew_processor.errors import RefusalKind, Refused
from clew_processor.spool.commit import Committer
from clew_processor.spool.record import Kind, Record
from clew_processor.spool.request import Receipt, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from clew_processor.spool.batcher import Batcher
    from clew_processor.spool.log import Log

Outcome = Receipt | Refused

SHUTTING_DOWN = "the processor is shutting down: send it again to its successor"
TRY_AGAIN_S = 1.0
"""A tick that could not be written is tried again after this long."""


class Verdict(Protocol):
    """What a look at a request tells."""

    @property
    def spans(self) -> int:
        """Spans, or log records, that will be taken."""

    @property
    def error(self) -> str | None:
        """Why nothing of it can be taken."""

    @property
    def rejected(self) -> list[tuple[str, int]]:
        """Reason and number of those that will not be taken."""

    @property
    def message(self) -> str:
        """A sentence about these."""

    @property
    def resource_bytes(self) -> int:
        """Bytes of what they share and rows repeat."""


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """How much waits.

    Attributes:
        max_waiting_bytes: requests waiting to be written; beyond it they are refused as UNAVAILABLE. Bounds memory.
        max_spool_bytes: on disk, likewise.
        commit_s: what comes within this of the last write is written together: a sync costs the same for one as for
            many. A request that comes alone does not wait.
    """

    max_waiting_bytes: int
    max_spool_bytes: int
    commit_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    record: Record
    receipt: Receipt
    answer: asyncio.Future[Outcome]


class Intake:
    """Takes requests on an event loop; one thread writes what waits, all of it at once."""

    def __init__(
        self,
        log_: Log,
        batcher: Batcher,
        limits: IntakeLimits,
        *,
        opening: Sequence[Record] = (),
        inspect: Callable[[Request], Verdict],
        written: Callable[[Sequence[Record]], None],
        timed: Callable[[], AbstractContextManager[None]] = nullcontext,
        clock: Callable[[], float] = time.monotonic,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Nothing runs before `start`.

        Args:
            log_: where requests are written.
            batcher: says where batches end.
            limits: see there.
            opening: written before all requests, as a batch of their own.
            inspect: looks at a request.
            written: told what was written, on the writing thread.
            timed: held while something is written.
            clock: seconds, monotonic.
            clock_ns: Unix ns.
        """
        self._committer = Committer(
            log_, batcher, max_spool_bytes=limits.max_spool_bytes, opening=opening, clock=clock, clock_ns=clock_ns
        )
        self._limits = limits
        self._inspect = inspect
        self._written = written
        self._timed = timed
        self._clock = clock
        self._clock_ns = clock_ns
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="clew-spool", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Starts writing. Call it from the event loop whose tasks will submit."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def submit(self, request: Request) -> Outcome:
        """Waits until the request is on disk.

        Returns:
            Its receipt; or why it is refused: malformed, or no room, or shutting down.
            It is not raised: a traceback would keep the request's bytes until the next run of the cycle collector.
        """
        verdict = self._inspect(request)
        if verdict.error is not None:
            kind = Kind.of(request.signal, decodable=False)
            await self._write(Record(kind, request.arrival_ns, request.tenant, 1), Receipt())  # counted
            return Refused(RefusalKind.MALFORMED, verdict.error)
        rejected = sum(count for _, count in verdict.rejected)
        if not verdict.spans + rejected:
            return Receipt()
        record = Record(
            Kind.of(request.signal),
            request.arrival_ns,
            request.tenant,
            verdict.spans + rejected,
            request.body,
            weight=verdict.resource_bytes,
        )
        return await self._write(record, Receipt(rejected, verdict.message))

    async def retry(self, ids: bytes, tenant: str) -> Outcome:
        """Waits until the order to try dead letters again is on disk.

        Args:
            ids: of the dead letters, as a JSON list.
            tenant: whose they are.
        """
        return await self._write(Record(Kind.RETRY, self._clock_ns(), tenant, 0, ids), Receipt())

    async def order(self, kind: Kind, body: bytes, tenant: str = "") -> Outcome:
        """Waits until an order to the processor itself is on disk.

        Args:
            kind: which.
            body: what it says.
            tenant: whose.
        """
        return await self._write(Record(kind, self._clock_ns(), tenant, 0, body), Receipt())

    def look_again(self) -> None:
        """It may be time to close a batch."""
        with self._changed:
            self._changed.notify()

    @property
    def waiting_bytes(self) -> int:
        """Bytes of requests not yet written."""
        return self._waiting_bytes

    async def close(self) -> None:
        """Refuses what comes, writes what waits, closes the last batch."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    async def _write(self, record: Record, receipt: Receipt) -> Outcome:
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        refused = self._add(_Waiting(record, receipt, answer))
        return refused or await answer

    def _add(self, waiting: _Waiting) -> Refused | None:
        size = len(waiting.record.body)
        with self._changed:
            if self._closing:
                return Refused(RefusalKind.UNAVAILABLE, SHUTTING_DOWN)
            if self._waiting and self._waiting_bytes + size > self._limits.max_waiting_bytes:
                return Refused(
                    RefusalKind.UNAVAILABLE,
                    f"{self._waiting_bytes} bytes wait to be written to disk, the limit is "
                    f"{self._limits.max_waiting_bytes}: send it again shortly",
                )
            self._waiting.append(waiting)
            self._waiting_bytes += size
            if len(self._waiting) == 1:
                self._changed.notify()
        return None

    def _run(self) -> None:
        committed_at = float("-inf")
        while True:
            with self._changed:
                while not (self._waiting or self._closing):
                    due_in = self._committer.due_in()
                    if due_in is not None and due_in <= 0:
                        break
                    self._changed.wait(due_in)
                give_up_at = committed_at + self._limits.commit_s
                while not self._closing and (left := give_up_at - self._clock()) > 0:
                    self._changed.wait(left)
                committed_at = self._clock()
                group, self._waiting, self._waiting_bytes = self._waiting, [], 0
                closing = self._closing
            with self._timed():
                self._commit(group, close=closing)
            del group  # its bytes are not to be held while the next one is waited for
            if closing:
                return

    def _commit(self, group: list[_Waiting], *, close: bool) -> None:
        refusals, written = self._committer.commit([waiting.record for waiting in group], close=close)
        if written:
            self._written(written)
        elif not group and not close:
            time.sleep(TRY_AGAIN_S)
        assert self._loop is not None
        if group:
            outcomes = [(waiting, no or waiting.receipt) for waiting, no in zip(group, refusals, strict=True)]
            self._loop.call_soon_threadsafe(_answer, outcomes)


def _answer(outcomes: list[tuple[_Waiting, Outcome]]) -> None:
    for waiting, outcome in outcomes:
        if not waiting.answer.done():  # the sender may have gone away
            waiting.answer.set_result(outcome)
