"""Sums, minima and maxima per group of rows, by sorting once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from clew_processor.words import Words

_RADIX_LIMIT = 2**40
_SMALL = 2**16
"""Keys of 16 bits are sorted by counting them."""
_TABLE_PER_ROW, _TABLE_LEAST = 8, 4096
"""Numbering through a table is quicker than sorting while the table is not much longer than the column."""


def combine(columns: list[tuple[NDArray[np.integer], int]]) -> NDArray[np.int64]:
    """One key per row out of several columns of codes: equal exactly where all of them are equal.

    Args:
        columns: (codes, how many different codes there may be), codes from 0.
    """
    codes, size = columns[0]
    key = codes.astype(np.int64)
    for more, count in columns[1:]:
        if size * count > _RADIX_LIMIT:  # hostile cardinality: number the combinations seen so far
            seen, key = np.unique(key, return_inverse=True)
            size = len(seen)
        key = key * count + more
        size *= count
    return key


def dense(columns: list[tuple[NDArray[np.integer], int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One number per row out of several columns of codes, without gaps from 0, and one row of each number.

    Args:
        columns: (codes, how many different codes there may be), codes from 0; all of a length.
    """
    rows = len(columns[0][0])
    limit = _TABLE_PER_ROW * rows + _TABLE_LEAST
    key, size = np.zeros(rows, np.int64), 1
    for codes, count in columns:
        if size * count > limit and size > 1:
            key, size = _by_table(key, size)
        key = key * count + codes if size > 1 else codes.astype(np.int64)
        size *= count
        if size > limit:
            distinct, key = np.unique(key, return_inverse=True)
            size = len(distinct)
    key, size = _by_table(key, size)
    first = np.empty(size, np.int64)
    first[key[::-1]] = np.arange(rows - 1, -1, -1)  # the first such row wins
    return key, first


def _by_table(key: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], int]:
    if not len(key):
        return key, 0
    there = np.zeros(size, np.bool_)
    there[key] = True
    place = np.cumsum(there) - 1
    return place[key], int(place[-1]) + 1


def counted(key: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct keys in order, and how often each stands there.

    Args:
        key: of each row, from 0.
        size: keys are below this.
    """
    if size > _TABLE_PER_ROW * len(key) + _TABLE_LEAST:
        return np.unique(key, return_counts=True)
    counts = np.bincount(key, minlength=size)
    there = np.flatnonzero(counts)
    return there, counts[there]


def run_codes(tenant: Words, trace: Words) -> NDArray[np.int64]:
    """A number per (tenant, trace id); only equality means anything."""
    return combine([(tenant.codes, len(tenant.words)), (trace.codes, len(trace.words))])


class Groups:
    """Rows grouped by key.

    Attributes:
        first: one row of each group, groups in order of key.
        count: number of groups.
    """

    def __init__(self, key: NDArray[np.int64], size: int = 2**63) -> None:
        """Groups rows.

        Args:
            key: of each row.
            size: keys are 0 to below this, if that is known: small ones are sorted quicker.
        """
        self._order = np.argsort(key.astype(np.uint16) if size <= _SMALL else key, kind="stable")
        in_order = key[self._order]
        fresh = np.empty(len(key), np.bool_)
        fresh[:1] = True
        np.not_equal(in_order[1:], in_order[:-1], out=fresh[1:])
        self._starts = np.flatnonzero(fresh)
        self.count = len(self._starts)
        self.first = self._order[self._starts]
        self._of_row: NDArray[np.int64] | None = None
        self._fresh = fresh

    @property
    def of_row(self) -> NDArray[np.int64]:
        """The group number of each row."""
        if self._of_row is None:
            self._of_row = np.empty(len(self._order), np.int64)
            self._of_row[self._order] = np.cumsum(self._fresh) - 1
        return self._of_row

    def sum(self, values: NDArray[np.integer] | NDArray[np.bool_]) -> NDArray[np.int64]:
        """Exact sum per group, of values that are far from overflowing (counts, tokens)."""
        if not self.count:
            return np.zeros(0, np.int64)
        if values.dtype == np.bool_:  # mostly few are true
            return np.bincount(self.of_row[values], minlength=self.count)
        if not values.any():
            return np.zeros(self.count, np.int64)
        return np.add.reduceat(values[self._order], self._starts, dtype=np.int64)

    def sum_money(self, nano: NDArray[np.int64]) -> NDArray[np.int64] | NDArray[np.object_]:
        """Exact sum per group, as Python integers where 64 bits might not hold it."""
        if not self.count or int(np.abs(nano).max()) < 2**63 // len(nano):
            return self.sum(nano)
        totals: NDArray[np.object_] = np.add.reduceat(nano.astype(object)[self._order], self._starts)
        return totals

    def min(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Least value per group."""
        return np.minimum.reduceat(values[self._order], self._starts) if self.count else values[:0]

    def max(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Greatest value per group."""
        return np.maximum.reduceat(values[self._order], self._starts) if self.count else values[:0]

    def argmin(self, values: NDArray[np.int64], *ties: Callable[[], NDArray[np.int64]]) -> NDArray[np.int64]:
        """The row with the least value per group; where several have it, the least by `ties`, then the first."""
        hit = np.flatnonzero(values == self.min(values)[self.of_row])
        for further in ties:
            if len(hit) == self.count:
                break
            among = np.full(len(values), np.iinfo(np.int64).max)
            among[hit] = more = further()[hit]
            hit = hit[more == self.min(among)[self.of_row[hit]]]
        rows = np.empty(self.count, np.int64)
        rows[self.of_row[hit][::-1]] = hit[::-1]  # the first such row wins
        return rows
