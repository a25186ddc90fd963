"""Decides when a batch is closed: the tick it writes is what every replay goes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clew_processor.spool.record import Kind, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_BATCH_BYTES = 48 * 1024 * 1024
"""A batch is closed at this many bytes of requests too: the kernel takes 256 MiB at once, and memory is bounded."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How batches are cut.

    Attributes:
        max_spans: a batch is closed once it holds this many spans and log records.
        max_wait_s: or once its first request has waited this long.
        tick_s: seconds between ticks while nothing arrives.
        settle_s: how long after the last request time has to go on; later nobody waits for anything.
    """

    max_spans: int
    max_wait_s: float
    tick_s: float
    settle_s: float


class Batcher:
    """Puts ticks between records as they are written. Times are seconds of one monotonic clock."""

    def __init__(self, limits: BatchLimits, *, behind: Callable[[], bool] = lambda: False) -> None:
        """Has nothing open.

        Args:
            limits: see there.
            behind: whether a batch that is closed still waits to be taken up. Then the next is only closed once it is
                full: inserts that take longer than batches are apart become larger ones, and do not fall behind.
        """
        self._limits = limits
        self._behind = behind
        self._spans = self._bytes = 0
        self._opened_at: float | None = None
        self._last_record_at, self._last_tick_at = float("-inf"), 0.0

    def due_in(self, now: float) -> float | None:
        """Seconds until the next tick is due, 0 or less if it is; None if none will be before the next record."""
        if self._opened_at is not None:
            return None if self._behind() else self._opened_at + self._limits.max_wait_s - now
        tick_at = self._last_tick_at + self._limits.tick_s
        return tick_at - now if tick_at <= self._last_record_at + self._limits.settle_s + self._limits.tick_s else None

    def with_ticks(self, records: Sequence[Record], *, now: float, now_ns: int, close: bool = False) -> list[Record]:
        """The records to be written, and the ticks that belong between and after them.

        Args:
            records: in order of arrival.
            now: of the monotonic clock.
            now_ns: Unix ns, the ticks' clock.
            close: whether the last batch is closed whatever it holds.
        """
        written: list[Record] = []
        for record in records:
            size = max(len(record.body), record.weight)
            if self._opened_at is not None and (
                self._spans + record.spans > self._limits.max_spans or self._bytes + size > MAX_BATCH_BYTES
            ):
                written.append(self._tick(now, now_ns))
            if self._opened_at is None:
                self._opened_at = now
            self._spans += record.spans
            self._bytes += size
            self._last_record_at = now
            written.append(record)
        due = self.due_in(now)
        full = self._spans >= self._limits.max_spans
        if full or (due is not None and due <= 0) or (close and self._opened_at is not None):
            written.append(self._tick(now, now_ns))
        return written

    def reopened(self, now: float) -> None:
        """There may be records behind the last tick, from before a crash: it is closed, and time goes on."""
        self._opened_at = self._last_record_at = now

    def _tick(self, now: float, now_ns: int) -> Record:
        self._spans = self._bytes = 0
        self._opened_at = None
        self._last_tick_at = now
        return Record(Kind.TICK, now_ns)
