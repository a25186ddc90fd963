"""Rows in groups: numbers for them, and sums, minima and maxima of each."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Union

import clew_kernel
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from clew_processor.words import Words

_SMALL = 2**16
"""Keys of 16 bits are sorted by counting them."""
_TABLE_PER_ROW, _TABLE_LEAST = 8, 4096
"""Numbering through a table is quicker than sorting while the table is not much longer than the column."""


Column = Union["Words", "tuple[NDArray[np.integer], int]", "NDArray[np.uint64]"]
"""Words; int32 or int64 codes from 0, and how many different ones there may be; or numbers of any size."""


def dense(columns: Iterable[Column]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One number per row, equal exactly where all columns are.

    Returns:
        The numbers, without gaps from 0 in the order in which they first occur; and the first row of each.
    """
    codes, counts = zip(*map(_codes, columns), strict=True)
    numbers, first = clew_kernel.numbered(list(codes), list(counts))
    return np.frombuffer(numbers, np.int64), np.frombuffer(first, np.int64)


def _codes(column: Column) -> tuple[NDArray[np.integer], int]:
    if isinstance(column, tuple):
        return column
    if isinstance(column, np.ndarray):
        return column.view(np.int64), 2**64 - 1
    return column.codes, len(column.words)


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


def sorting(values: NDArray[np.integer], limit: int) -> NDArray[np.int64]:
    """The order in which numbers from 0 to below the limit are sorted; equal ones stay as they are."""
    return np.argsort(values.astype(np.uint16) if limit <= _SMALL else values, kind="stable")


class Groups:
    """Rows grouped by some columns.

    Attributes:
        of_row: the group number of each row, in the order in which groups first occur.
        first: the first row of each group.
        count: number of groups.
    """

    def __init__(self, columns: Iterable[Column]) -> None:
        """Groups the rows that are equal in all columns."""
        self.of_row, self.first = dense(columns)
        self.count = len(self.first)

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        """Rows in order of their groups."""
        return sorting(self.of_row, self.count)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Where in it each group starts."""
        sizes = np.bincount(self.of_row, minlength=self.count)
        return np.cumsum(sizes) - sizes

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
