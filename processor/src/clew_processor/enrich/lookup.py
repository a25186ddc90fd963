"""Finding 64-bit keys among a million others without a Python object for each."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_SLOTS_PER_KEY = 16
_MIN_BITS, _MAX_BITS = 16, 24
_NONE = np.zeros(0, np.int64)
_LEAST_BITS = 10
_MASK = 2**32 - 1


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


class KeyTable:
    """Where each of some keys stands, in a column that grows at its end and is forgotten from its beginning.

    A hash table with chains, in arrays: a key is looked up with a few reads. Keys are taken to be hashes: their bits
    are used as they are. The key 0 is nowhere.
    """

    def __init__(self) -> None:
        """Empty, for few keys; it grows."""
        self._next = self._oldest = 0
        self._added: deque[int] = deque()  # first rows
        self._make(_LEAST_BITS)

    def find(self, keys: Keys, most: int = 2**62) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All places of some keys: index in `keys`, and row of the column.

        Args:
            keys: to be looked up.
            most: of a key that was added more often at once, so many places are enough.
        """
        last, there = np.uint32((self._next - 1) & _MASK), np.uint32(self._next - self._oldest)
        at = self._heads[self._slots(keys)]
        which = np.flatnonzero((last - at < there) & (keys != 0))
        at = at[which]
        found, rows = [_NONE], [_NONE]
        while len(which):
            place = at & self._ring
            hit = np.flatnonzero(self._keys[place] == keys[which])
            mine, same, steps = which[hit], at[hit], 0
            while len(same) and steps <= most:
                steps += 1
                found.append(mine)
                rows.append(self._next - 1 - (last - same).astype(np.int64))
                more = self._same[same & self._ring]
                some = more != same
                mine, same = mine[some], more[some]
            at = self._before[place]
            valid = last - at < there
            which, at = which[valid], at[valid]
        return np.concatenate(found), np.concatenate(rows)

    def add(self, keys: Keys) -> NDArray[np.int64]:
        """Puts some more at the end of the column. Returns which of them stand there twice among themselves."""
        if not len(keys):
            return _NONE
        first = self._next
        if first + len(keys) - self._oldest > len(self._keys):
            self._grow(first + len(keys) - self._oldest)
        self._added.append(first)
        self._next = first + len(keys)
        places = self._places_from(first)
        self._keys[places] = keys
        self._same[places] = np.arange(first, self._next).astype(np.uint32)
        there = np.flatnonzero(keys)
        if not len(there):
            return _NONE
        order = there[_order(keys[there])] if len(there) < len(keys) else _order(keys)
        keys = keys[order]
        rows = (first + order).astype(np.uint32)
        equal = keys[1:] == keys[:-1]
        twice = _NONE
        if equal.any():
            self._same[rows[1:][equal] & self._ring] = rows[:-1][equal]
            twice = np.sort(order[np.append(equal, False) | np.insert(equal, 0, False)])
            once = np.append(~equal, True)  # the last of each
            keys, rows = keys[once], rows[once]
        # Each key once, and those of a slot one behind the other, before what was there.
        slots = self._slots(keys)
        before = self._heads[slots]
        behind = np.flatnonzero(slots[1:] == slots[:-1])
        before[behind + 1] = rows[behind]
        self._before[rows & self._ring] = before
        self._heads[slots] = rows  # the last of a slot
        return twice

    def forget(self, oldest: int) -> None:
        """Forgets the rows before this one, the first of some that were added together."""
        self._oldest = oldest
        while self._added and self._added[0] < oldest:
            self._added.popleft()

    def restart(self, first: int) -> None:
        """Empties it; the column goes on at this row."""
        self._next = self._oldest = first
        self._added.clear()
        self._make(_LEAST_BITS)

    def _make(self, bits: int) -> None:
        self._bits = bits
        self._ring = np.uint32((1 << bits) - 1)
        self._keys = np.zeros(1 << bits, np.uint64)
        self._before = np.zeros(1 << bits, np.uint32)
        self._same = np.zeros(1 << bits, np.uint32)
        self._heads = np.full(1 << (bits + 1), (self._oldest - 1) & _MASK, np.uint32)

    def _places_from(self, first: int) -> slice | NDArray[np.int64]:
        """Where rows from this one to the last stand."""
        start, end = first & int(self._ring), ((self._next - 1) & int(self._ring)) + 1
        return slice(start, end) if start < end else np.arange(first, self._next) & int(self._ring)

    def _slots(self, keys: Keys) -> NDArray[np.int64]:
        return (keys >> np.uint64(63 - self._bits)).view(np.int64)

    def _grow(self, rows: int) -> None:
        """Makes room for so many rows."""
        keys = self._keys[np.arange(self._oldest, self._next).astype(np.uint32) & self._ring]
        starts = [first - self._oldest for first in self._added]
        self._next = self._oldest
        self._added.clear()
        self._make((2 * rows - 1).bit_length())
        for start, end in zip(starts, [*starts[1:], len(keys)], strict=False):
            self.add(keys[start:end])


def _order(keys: Keys) -> NDArray[np.int64]:
    """The order in which hashes are sorted: mostly their upper halves tell it, quicker, 16 bits at a time."""
    order = np.argsort((keys >> np.uint64(32)).astype(np.uint16), kind="stable")
    order = order[np.argsort((keys[order] >> np.uint64(48)).astype(np.uint16), kind="stable")]
    in_order = keys[order]
    apart = (in_order[1:] ^ in_order[:-1]).view(np.int64)
    return np.argsort(keys, kind="stable") if ((apart > 0) & (apart < 2**32)).any() else order


def mixed(first: Keys, *more: Keys) -> Keys:
    """A hash of some columns."""
    key: Keys = first
    for column in more:
        key = (key ^ column ^ (key >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x632BE59BD9B4E019)
        key = key ^ (key >> np.uint64(32))
    return key
