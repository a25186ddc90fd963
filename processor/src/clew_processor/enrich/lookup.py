"""Finding 64-bit keys among a million others without a Python object for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Keys = NDArray[np.uint64]

_SLOTS_PER_KEY = 16
_MIN_BITS, _MAX_BITS = 16, 24
_NONE = np.zeros(0, np.int64)


class KeyFilter:
    """Says of a key that it may be there, or surely is not: a Bloom filter with two probes and eight kinds of keys.

    Keys are taken to be hashes: their bits are used as they are.
    """

    def __init__(self, keys: int) -> None:
        """Empty.

        Args:
            keys: of one kind expected; with so many about one in sixty others is taken for one of them.
        """
        self._bits = min(_MAX_BITS, max(_MIN_BITS, (_SLOTS_PER_KEY * keys - 1).bit_length()))
        self._table = np.zeros(1 << self._bits, np.uint8)

    @property
    def capacity(self) -> int | None:
        """With more keys of one kind than this a larger one is better; None for the largest."""
        return len(self._table) // _SLOTS_PER_KEY if self._bits < _MAX_BITS else None

    def add(self, keys: Keys, kind: int) -> None:
        """Takes note of keys of a kind (0 to 7)."""
        for slots in self._slots(keys):
            self._table[slots] |= np.uint8(1 << kind)

    def maybe(self, keys: Keys, kind: int) -> NDArray[np.bool_]:
        """For each key: may it be one of that kind?"""
        one, other = self._slots(keys)
        found: NDArray[np.bool_] = (self._table[one] & self._table[other] & np.uint8(1 << kind)) != 0
        return found

    def _slots(self, keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        first = keys >> np.uint64(64 - self._bits)
        second = (keys >> np.uint64(64 - self._bits - 20)) & np.uint64((1 << self._bits) - 1)
        return first.view(np.int64), second.view(np.int64)


class SortedKeys:
    """A column of keys and where each stands in it; sorted when first asked."""

    __slots__ = ("_keys", "_sorted")

    def __init__(self, keys: Keys, order: NDArray[np.int64] | None = None) -> None:
        """Takes over a column.

        Args:
            keys: the column, not empty.
            order: in which it is sorted, if that is known.
        """
        self._keys = keys
        self._sorted = None if order is None else (order, keys[order])

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def sorted(self) -> tuple[NDArray[np.int64], Keys]:
        """The order in which the column is sorted, and the column in this order."""
        if self._sorted is None:
            order = np.argsort(self._keys, kind="stable")
            self._sorted = order, self._keys[order]
        return self._sorted

    def find(self, wanted: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All places of some keys: index in `wanted`, and row of the column."""
        order, keys = self.sorted
        at = keys.searchsorted(wanted)
        hit = np.flatnonzero(keys.take(at, mode="clip") == wanted)
        if not len(hit):
            return _NONE, _NONE
        at = at[hit]
        count = keys.searchsorted(wanted[hit], "right") - at
        which = np.repeat(hit, count)
        nth = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
        return which, order[np.repeat(at, count) + nth]


def joined_keys(parts: Sequence[SortedKeys]) -> SortedKeys:
    """Several columns as one."""
    starts = np.cumsum([0, *map(len, parts)])
    order = np.concatenate([part.sorted[0] + start for part, start in zip(parts, starts, strict=False)])
    keys = np.concatenate([part.sorted[1] for part in parts])
    merge = np.argsort(keys, kind="stable")  # they are sorted one by one already: it only merges them
    whole = np.empty_like(keys)
    whole[order] = keys
    return SortedKeys(whole, order[merge])
