"""Millions of numbers seen lately, asked about many at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clew_processor.enrich.lookup import KeyFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.enrich.lookup import Keys

_FAN = 8
"""So many sorted pieces of one level are joined to one of the next: a number is moved a few times, and pieces stay
few."""
_KIND = 0


class _Generation:
    """Numbers in sorted pieces, and a filter before them: most that are asked for were never there."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, Keys]] = []  # level, numbers
        self.size = 0
        self._filter = KeyFilter(0)

    def add(self, keys: Keys) -> None:
        self._append(keys)
        self.size += len(keys)
        capacity = self._filter.capacity
        if capacity is not None and self.size > capacity:
            self._filter = KeyFilter(2 * self.size)
            for _, piece in self.pieces:
                self._filter.add(piece, _KIND)
        else:
            self._filter.add(keys, _KIND)

    def among(self, keys: Keys, found: NDArray[np.bool_]) -> None:
        if not self.pieces:
            return
        maybe = np.flatnonzero(self._filter.maybe(keys, _KIND))
        if len(maybe):
            wanted = keys[maybe]
            for _, piece in self.pieces:
                found[maybe] |= piece.take(piece.searchsorted(wanted), mode="clip") == wanted

    def _append(self, keys: Keys) -> None:
        pieces = self.pieces
        pieces.append((0, keys))
        while len(pieces) >= _FAN and pieces[-_FAN][0] == pieces[-1][0]:
            joined = np.concatenate([piece for _, piece in pieces[-_FAN:]])
            joined.sort()
            pieces[-_FAN:] = [(pieces[-1][0] + 1, joined)]


class RecentKeys:
    """Numbers in two generations: one is remembered while its generation or the next one fills.

    What `memory.Recent` does with sets, for many more numbers: eight bytes each, and as much for the filter.
    """

    def __init__(self, *, size: int, keep_s: float) -> None:
        """Remembers nothing yet.

        Args:
            size: numbers in a generation, about.
            keep_s: a number is remembered for so long at least after it was last added, unless there are too many,
                and twice as long at most (as `forget` tells the time).
        """
        self._size = size
        self._keep_ns = int(keep_s * 1e9)
        self._young, self._old = _Generation(), _Generation()
        self._since = 0

    def among(self, keys: Keys) -> NDArray[np.bool_]:
        """For each of the keys, which are taken to be hashes: is it remembered?"""
        found = np.zeros(len(keys), np.bool_)
        self._young.among(keys, found)
        self._old.among(keys, found)
        return found

    def add(self, keys: Keys) -> None:
        """Remembers them.

        Args:
            keys: sorted.
        """
        if len(keys):
            self._young.add(keys)
            if self._young.size > self._size:
                self._turn()

    def forget(self, now: int) -> None:
        """Tells it the time (`ArrivalClock`)."""
        while self._since + self._keep_ns <= now and (self._young.size or self._old.size):
            self._turn()
            self._since += self._keep_ns
        if not self._young.size and not self._old.size:
            self._since = now

    def state(self) -> object:
        """What it remembers."""
        return self._young.pieces, self._old.pieces, self._since

    def restore(self, state: Any) -> None:
        """Remembers that instead."""
        young, old, self._since = state
        self._young, self._old = _restored(young), _restored(old)

    def _turn(self) -> None:
        self._old, self._young = self._young, _Generation()


def _restored(pieces: list[tuple[int, Keys]]) -> _Generation:
    generation = _Generation()
    for _, piece in pieces:
        generation.add(piece)
    generation.pieces = list(pieces)
    return generation
