"""Millions of numbers seen lately, asked about many at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.enrich.lookup import Keys

_EMPTY: Keys = np.zeros(0, np.uint64)
_TWICE = 2
"""Sorted pieces are merged when one is not this many times as long as the next: few pieces, and each number is moved
only so often as there are sizes."""


class RecentKeys:
    """Numbers in two generations: one is remembered while its generation or the next one fills.

    What `memory.Recent` does with sets, for many more numbers: sorted arrays, eight bytes each.
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
        self._young: list[Keys] = []  # sorted pieces, the longest first
        self._old: Keys = _EMPTY
        self._since = 0

    def among(self, keys: Keys) -> NDArray[np.bool_]:
        """For each of the keys: is it remembered?"""
        found = np.zeros(len(keys), np.bool_)
        for piece in (*self._young, self._old):
            if len(piece):
                found |= piece.take(piece.searchsorted(keys), mode="clip") == keys
        return found

    def add(self, keys: Keys) -> None:
        """Remembers them.

        Args:
            keys: sorted and distinct.
        """
        if not len(keys):
            return
        self._young.append(keys)
        while len(self._young) > 1 and len(self._young[-2]) < _TWICE * len(self._young[-1]):
            last = self._young.pop()
            self._young[-1] = np.union1d(self._young[-1], last)
        if sum(map(len, self._young)) > self._size:
            self._turn()

    def forget(self, now: int) -> None:
        """Tells it the time (`ArrivalClock`)."""
        while self._since + self._keep_ns <= now and (self._young or len(self._old)):
            self._turn()
            self._since += self._keep_ns
        if not self._young and not len(self._old):
            self._since = now

    def state(self) -> tuple[list[Keys], Keys, int]:
        """What it remembers."""
        return list(self._young), self._old, self._since

    def restore(self, state: tuple[list[Keys], Keys, int]) -> None:
        """Remembers that instead."""
        young, self._old, self._since = state
        self._young = list(young)

    def _turn(self) -> None:
        self._old = self._young[0] if len(self._young) == 1 else _merged(self._young)
        self._young = []


def _merged(pieces: list[Keys]) -> Keys:
    return np.unique(np.concatenate(pieces)) if pieces else _EMPTY
