"""Which span is whose child: to find out whether anything below a span tells usage, whatever came first.

Taking note of a batch keeps its columns as they are; they are sorted only when a run is looked at. Mostly none is: a
span that repeats its children's usage ends after them, and so the last of them comes in the same batch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from clew_processor.enrich.lookup import KeySet, SortedKeys
from clew_processor.enrich.memory import Recent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.enrich.lookup import Keys
    from clew_processor.normalise.spans import Spans

MAX_LINKS = 1_000_000
"""Spans remembered at most, 25 bytes each; beyond it the oldest are forgotten early."""
MAX_TOLD_RUNS = 250_000
"""Forgotten runs with usage in one of two generations."""
TOLD_RUNS_S = 86_400.0
MAX_LEVELS = 1_000
"""Usage more levels below a span than this is not seen: a chain without end must not hold up the others."""

NONE, PERHAPS, BELOW = range(3)

_FAN = 8
"""So many pieces of one level are joined to one of the next."""
_SLICES = 32
"""A piece is not joined beyond this part of the spans or of the time that is remembered."""
_STALE = 65_536
"""So many runs of which nothing is remembered any more may be thought known, and as many as are."""


@dataclass(slots=True)
class _Columns:
    runs: Keys  # keys; the same one may stand there twice
    run: NDArray[np.integer]  # for each span the place of its own
    here: Keys
    parent: Keys
    tells: NDArray[np.bool_]
    calls: NDArray[np.bool_]  # those of them that are model calls


class _Piece:
    """The spans of one batch, or of some that came one after the other; `since` to `until` they came."""

    def __init__(self, columns: _Columns, level: int, since: int, until: int) -> None:
        self.columns, self.level, self.since, self.until = columns, level, since, until

    def __len__(self) -> int:
        return len(self.columns.here)

    @cached_property
    def _by_key(self) -> SortedKeys:
        return SortedKeys(self.columns.runs)

    @cached_property
    def _by_run(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows in order of run, and where each run's start."""
        run = self.columns.run
        order = np.argsort(run, kind="stable")
        return order, run[order].searchsorted(np.arange(len(self.columns.runs) + 1))

    def of(self, runs: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The spans of some runs: index in `runs`, and row."""
        which, place = self._by_key.find(runs)
        if not len(which):
            return which, place
        order, starts = self._by_run
        first = starts[place]
        count = starts[place + 1] - first
        rows = np.repeat(first - np.cumsum(count) + count, count) + np.arange(int(count.sum()))
        return np.repeat(which, count), order[rows]


class Links:
    """Remembers the spans of the last `settle_s` seconds of arrival time."""

    def __init__(self, settle_s: float) -> None:
        self._settle_ns = int(settle_s * 1e9)
        self._pieces: list[_Piece] = []
        self._rows = 0
        self._runs = KeySet()
        self._most_runs = _STALE
        self._told = Recent(size=MAX_TOLD_RUNS, keep_s=TOLD_RUNS_S)

    def add(self, spans: Spans, tells: NDArray[np.bool_], calls: NDArray[np.bool_], now: int) -> None:
        """Takes note of a batch.

        Args:
            spans: the batch.
            tells: the spans that tell usage.
            calls: those of them that are model calls.
            now: by the `ArrivalClock`.
        """
        columns = _Columns(spans.run_keys, spans.run, spans.span_key, spans.parent_key, tells, calls)
        self._pieces.append(_Piece(columns, 0, now, now))
        self._rows += spans.rows
        self._join()
        while self._rows > MAX_LINKS and len(self._pieces) > 1:
            self._drop()
        self._runs.add(spans.run_keys)
        if len(self._runs) > self._most_runs:
            self._list_runs()

    def known(self, runs: Keys) -> NDArray[np.bool_]:
        """For each run: may spans of it be remembered?"""
        return self._runs.among(runs)

    def told(self, runs: Keys) -> NDArray[np.bool_]:
        """For each run: are there model calls with usage of which the links are forgotten?"""
        return self._told.among(runs)

    def below(self, runs: Keys, spans: Keys) -> NDArray[np.int8]:
        """For some remembered spans: does any span below tell usage? See `usage_below`.

        Args:
            runs: key of the run of each.
            spans: their keys.
        """
        wanted = np.unique(runs)
        parts = []
        for piece in self._pieces:
            which, rows = piece.of(wanted)
            if len(rows):
                columns = piece.columns
                parts.append(
                    (which, columns.here[rows], columns.parent[rows], columns.tells[rows], columns.calls[rows])
                )
        if not parts:
            return np.full(len(runs), NONE, np.int8)
        run, here, parent, tells, calls = map(np.concatenate, zip(*parts, strict=True))
        distinct, row = np.unique(here ^ wanted[run], return_index=True)
        above = np.full(len(here), -1)
        inner = np.flatnonzero(parent != 0)
        at = _place(distinct, parent[inner] ^ wanted[run[inner]])
        above[inner] = np.where((at >= 0) & (row[at] != inner), row[at], -1)
        below = usage_below(above, tells, calls, run, parent == 0)
        at = _place(distinct, spans ^ runs)
        found: NDArray[np.int8] = np.where(at >= 0, below[row[at]], np.int8(NONE))
        return found

    def forget(self, now: int) -> None:
        """Forgets what is older than `settle_s` by now (`ArrivalClock`)."""
        while self._pieces and self._pieces[0].until < now - self._settle_ns:
            self._drop()
        self._told.forget(now)

    def state(self) -> object:
        """What it remembers."""
        pieces = [
            (piece.level, piece.since, piece.until, *(getattr(piece.columns, field.name) for field in fields(_Columns)))
            for piece in self._pieces
        ]
        return pieces, self._told.state()

    def restore(self, state: Any) -> None:
        """Remembers that instead."""
        pieces, told = state
        self._pieces = [_Piece(_Columns(*columns), level, since, until) for level, since, until, *columns in pieces]
        self._rows = sum(map(len, self._pieces))
        self._told.restore(told)
        self._list_runs()

    def _drop(self) -> None:
        piece = self._pieces.pop(0)
        self._rows -= len(piece)
        columns = piece.columns
        self._told.add(columns.runs[np.unique(columns.run[columns.calls])])
        if not self._pieces:
            self._list_runs()

    def _list_runs(self) -> None:
        self._runs = KeySet()
        for piece in self._pieces:
            self._runs.add(piece.columns.runs)
        self._most_runs = 2 * len(self._runs) + _STALE

    def _join(self) -> None:
        pieces = self._pieces
        while len(pieces) >= _FAN and pieces[-_FAN].level == pieces[-1].level:
            last = pieces[-_FAN:]
            if (
                sum(map(len, last)) > MAX_LINKS // _SLICES
                or last[-1].until - last[0].since > self._settle_ns // _SLICES
            ):
                return
            pieces[-_FAN:] = [_Piece(_joined(last), last[0].level + 1, last[0].since, last[-1].until)]


def usage_below(
    above: NDArray[np.integer],
    tells: NDArray[np.bool_],
    calls: NDArray[np.bool_],
    run: NDArray[np.integer],
    root: NDArray[np.bool_],
) -> NDArray[np.int8]:
    """For each span that tells usage and is no model call: does any span below it tell usage, or a call above it?

    Args:
        above: row of each span's parent, negative for none.
        tells: the spans that tell usage.
        calls: those of them that are model calls.
        run: number of each span's run.
        root: the spans that say they have no parent.

    Returns:
        `BELOW` if so; `PERHAPS` for a root of whose run some usage stands below a span that is not among these: below
        the root too, unless that span turns out to stand elsewhere; else `NONE`.
    """
    below = np.full(len(above), NONE, np.int8)
    lost = np.zeros(int(run.max(initial=-1)) + 1, np.bool_)  # runs
    rows = np.flatnonzero(tells)
    for _ in range(MAX_LEVELS):
        up = above[rows]
        tops = rows[up < 0]
        lost[run[tops[~root[tops]]]] = True
        up = up[up >= 0]
        rows = np.unique(up[below[up] == NONE])
        if not len(rows):
            break
        below[rows] = BELOW
    below[root & lost[run] & (below == NONE)] = PERHAPS
    rows = np.flatnonzero(tells & ~calls)
    up = above[rows]
    for _ in range(MAX_LEVELS):
        rows, up = rows[up >= 0], up[up >= 0]
        if not len(rows):
            break
        inside = calls[up]
        below[rows[inside]] = BELOW
        rows, up = rows[~inside], above[up[~inside]]
    return below


def _joined(pieces: list[_Piece]) -> _Columns:
    columns = {
        field.name: np.concatenate([getattr(piece.columns, field.name) for piece in pieces])
        for field in fields(_Columns)
    }
    starts = np.cumsum([0, *(len(piece.columns.runs) for piece in pieces)])
    run = [piece.columns.run + start for piece, start in zip(pieces, starts, strict=False)]
    return _Columns(**columns | {"run": np.concatenate(run)})


def _place(distinct: Keys, keys: Keys) -> NDArray[np.int64]:
    """Where each key stands among distinct sorted ones, -1 where it does not."""
    at = distinct.searchsorted(keys)
    found: NDArray[np.int64] = np.where(distinct.take(at, mode="clip") == keys, at, -1)
    return found
