"""Rows that belong to runs, in columns: a batch costs one sort, and a run is looked up when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from clew_processor.words import Words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from clew_processor.enrich.lookup import Keys

Columns = dict[str, Any]
"""By name a numpy array (rows first) or `Words`."""

_FAN = 8
"""So many pieces of one level are joined to one of the next: a row is moved a few times, and pieces stay few."""
_SLICES = 32
"""A piece is not joined beyond this part of the rows or of the time that is remembered."""


@dataclass(slots=True)
class _Piece:
    """Rows of batch number `first`, or of all up to `last`, sorted by run; `since` to `until` they came."""

    key: Keys
    columns: Columns
    level: int
    first: int
    last: int
    since: int
    until: int


_values = attrgetter(*_Piece.__slots__)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of some runs, those of a run in the order in which they came.

    Attributes:
        key: of the run.
        batch: number of the batch each came with, or of an earlier one.
        columns: as they were added.
    """

    key: Keys
    batch: NDArray[np.int64]
    columns: Columns

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]

    def take(self, rows: NDArray[np.integer]) -> Rows:
        """Some of them."""
        columns = {name: _taken(column, rows) for name, column in self.columns.items()}
        return Rows(self.key[rows], self.batch[rows], columns)


class RunLog:
    """Remembers rows for some time, and so many at most.

    Attributes:
        lost: number of the last batch of which rows are forgotten; -1 if there is none.
    """

    def __init__(self, *, rows: int, keep_s: float) -> None:
        self._most = rows
        self._keep_ns = int(keep_s * 1e9)
        self._pieces: list[_Piece] = []
        self._rows = 0
        self.lost = -1

    def __len__(self) -> int:
        return self._rows

    def add(self, key: Keys, columns: Columns, *, batch: int, now: int) -> None:
        """Takes note of rows.

        Args:
            key: of the run of each.
            columns: the same ones every time.
            batch: number of the batch; never less than the last.
            now: by the `ArrivalClock`.
        """
        if not len(key):
            return
        self._pieces.append(_sorted(_Piece(key, columns, 0, batch, batch, now, now)))
        self._rows += len(key)
        self._join()
        while self._rows > self._most and len(self._pieces) > 1:
            self._drop()

    def of(self, runs: Keys) -> Rows | None:
        """The rows of some runs; None when there are none.

        Args:
            runs: keys, sorted and distinct.
        """
        found = []
        for piece in self._pieces:
            first = piece.key.searchsorted(runs)
            count = piece.key.searchsorted(runs, "right") - first
            total = int(count.sum())
            if total:
                rows = np.repeat(first - np.cumsum(count) + count, count) + np.arange(total)
                columns = {name: _taken(column, rows) for name, column in piece.columns.items()}
                found.append((piece.key[rows], piece.first, columns))
        if not found:
            return None
        keys, firsts, parts = zip(*found, strict=True)
        key = np.concatenate(keys)
        batch = np.repeat(firsts, [len(some) for some in keys])
        return Rows(key, batch, _concatenated(parts)).take(np.argsort(key, kind="stable"))

    def forget(self, now: int) -> None:
        """Forgets what came too long ago (`ArrivalClock`)."""
        while self._pieces and self._pieces[0].until < now - self._keep_ns:
            self._drop()

    def state(self) -> object:
        """What it remembers."""
        return list(map(_values, self._pieces)), self.lost

    def restore(self, state: Any) -> None:
        """Remembers that instead."""
        pieces, self.lost = state
        self._pieces = [_Piece(*piece) for piece in pieces]
        self._rows = sum(len(piece.key) for piece in self._pieces)

    def _drop(self) -> None:
        piece = self._pieces.pop(0)
        self._rows -= len(piece.key)
        self.lost = max(self.lost, piece.last)

    def _join(self) -> None:
        pieces = self._pieces
        while len(pieces) >= _FAN and pieces[-_FAN].level == pieces[-1].level:
            last = pieces[-_FAN:]
            if (
                sum(len(piece.key) for piece in last) > self._most // _SLICES
                or last[-1].until - last[0].since > self._keep_ns // _SLICES
            ):
                return
            key = np.concatenate([piece.key for piece in last])
            columns = _concatenated([piece.columns for piece in last])
            first, newest = last[0], last[-1]
            joined = _Piece(key, columns, first.level + 1, first.first, newest.last, first.since, newest.until)
            pieces[-_FAN:] = [_sorted(joined)]


def _sorted(piece: _Piece) -> _Piece:
    order = np.argsort(piece.key, kind="stable")
    columns = {name: _taken(column, order) for name, column in piece.columns.items()}
    return replace(piece, key=piece.key[order], columns=columns)


def _taken(column: NDArray[Any] | Words, rows: NDArray[np.integer]) -> NDArray[Any] | Words:
    return column.take(rows) if isinstance(column, Words) else column[rows]


def _concatenated(parts: Sequence[Columns]) -> Columns:
    return {
        name: _words([part[name] for part in parts])
        if isinstance(column, Words)
        else np.concatenate([part[name] for part in parts])
        for name, column in parts[0].items()
    }


def _words(columns: list[Words]) -> Words:
    """One after the other, words that no row has left out."""
    place: dict[str, int] = {}
    codes = []
    for column in columns:
        used = np.flatnonzero(np.bincount(column.codes))
        words = map(column.words.__getitem__, used.tolist())
        code = np.zeros(len(column.words), np.int32)
        code[used] = [place.setdefault(word, len(place)) for word in words]
        codes.append(code[column.codes])
    return Words(np.concatenate(codes), list(place))
