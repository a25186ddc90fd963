"""Finding 64-bit keys among a million others without a Python object for each."""

from __future__ import annotations

import clew_kernel
import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_NONE = np.zeros(0, np.int64)
_NO_KEYS: Keys = np.zeros(0, np.uint64)


class KeySet:
    """Some keys.

    Attributes:
        kernel: the same for the kernel.
    """

    def __init__(self, keys: Keys = _NO_KEYS) -> None:
        self.kernel = clew_kernel.KeySet()
        self.add(keys)

    def __len__(self) -> int:
        return len(self.kernel)

    def add(self, keys: Keys) -> None:
        """Adds some more."""
        self.kernel.add(keys)

    def among(self, keys: Keys) -> NDArray[np.bool_]:
        """For each of the keys: is it one of these?"""
        return np.frombuffer(self.kernel.among(keys), np.bool_)

    @property
    def sorted(self) -> Keys:
        """All of them, in order."""
        return np.frombuffer(self.kernel.sorted(), np.uint64)


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


class KeyTable:
    """Where each of some keys stands, in a column that grows at its end and is forgotten from its beginning.

    The key 0 is nowhere.
    """

    def __init__(self, first: int = 0) -> None:
        """Empty; the column goes on at row `first`."""
        self._table = clew_kernel.KeyTable(first)

    def find(self, keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All places of some keys: index in `keys`, and row of the column."""
        which, rows = self._table.find(keys)
        return np.frombuffer(which, np.int64), np.frombuffer(rows, np.int64)

    def add(self, keys: Keys) -> NDArray[np.int64]:
        """Puts some more at the end of the column. Returns which of them stand there twice among themselves."""
        return np.frombuffer(self._table.add(keys), np.int64)

    def forget(self, oldest: int) -> None:
        """Forgets the rows before this one."""
        self._table.forget(oldest)


def mixed(first: Keys, *more: Keys) -> Keys:
    """A hash of some columns."""
    key: Keys = first
    for column in more:
        key = (key ^ column ^ (key >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x632BE59BD9B4E019)
        key = key ^ (key >> np.uint64(32))
    return key
