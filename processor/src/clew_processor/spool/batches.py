"""Batches, cut from the spool the same way every time: whatever lies between two ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clew_processor.spool.record import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew_processor.spool.log import Log
    from clew_processor.spool.record import Placed


@dataclass(frozen=True, slots=True)
class Batch:
    """What is processed and stored together.

    Attributes:
        id: the same in every replay, and no other batch's; insert tokens are made of it. It tells the start only: where
            the end was nobody knows for sure once the tick is damaged.
        start, end: positions.
        arrival_ns: its clock, Unix ns: when it was closed.
        records: in order of arrival, without the tick; empty where time passed without data.
        spans_after: spans of all records up to its end, since the spool was made.
        lost_spans: spans of its records that are damaged.
    """

    id: str
    start: int
    end: int
    arrival_ns: int
    records: list[Placed]
    spans_after: int
    lost_spans: int


class BatchReader:
    """Reads one batch after the other."""

    def __init__(self, log: Log, position: int, *, spans_before: int, cut: tuple[int, int] = (0, 0)) -> None:
        """Reads nothing yet.

        Args:
            log: the records.
            position: where a batch begins.
            spans_before: spans of all records before it.
            cut: a position at which a batch is known to have ended even if its tick is damaged, and the spans of all
                records before.
        """
        self._log = log
        self._start = self._read_to = position
        self._spans = spans_before
        self._cut, self._cut_spans = cut
        self._records: Iterator[Placed] | None = None
        self._ahead: Placed | None = None
        self._open: list[Placed] = []
        self._is_first = True

    @property
    def position(self) -> int:
        """Where the next batch begins."""
        return self._start

    @property
    def spans(self) -> int:
        """Spans of all records before it."""
        return self._spans

    def next(self) -> Batch | None:
        """The next batch; None while it is not closed yet."""
        while (placed := self._next()) is not None:
            begins, before = placed.batch_start, placed.spans_before
            if self._start < self._cut <= placed.start:
                begins, before = self._cut, self._cut_spans
            if begins > self._start:  # the tick before it is damaged, or the process ended before there was one
                arrival_ns = self._open[-1].record.arrival_ns if self._open else placed.record.arrival_ns
                if self._open or before > self._spans:
                    self._ahead = placed
                    return self._close(begins, arrival_ns, before)
                self._start = begins
            if self._is_first:
                self._start = min(self._start, begins)  # its first part has been deleted
                self._is_first = False
            if placed.record.kind is Kind.TICK:
                return self._close(placed.end, placed.record.arrival_ns, placed.spans_before)
            self._open.append(placed)
        return None

    def _next(self) -> Placed | None:
        placed, self._ahead = self._ahead, None
        if placed is not None:
            return placed
        if self._records is None:
            self._records = self._log.read(self._read_to)
        placed = next(self._records, None)
        if placed is None:
            self._records = None
        else:
            self._read_to = placed.end
        return placed

    def _close(self, end: int, arrival_ns: int, spans_after: int) -> Batch:
        records, self._open = self._open, []
        start, self._start = self._start, end
        lost = spans_after - self._spans - sum(placed.record.spans for placed in records)
        self._spans = spans_after
        return Batch(
            id=f"{self._log.id:016x}-{start}",
            start=start,
            end=end,
            arrival_ns=arrival_ns,
            records=records,
            spans_after=spans_after,
            lost_spans=max(0, lost),
        )
