"""Rows in groups: numbers for them, and sums, minima and maxima of each."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Union

import clew_kernel
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from clew_processor.words import Words

_TABLE_PER_ROW, _TABLE_LEAST = 8, 4096
"""Numbering through a table is quicker than sorting while the table is not much longer than the column."""


Column = Union["Words", "tuple[NDArray[np.integer], int]", "NDArray[np.uint64]"]
"""Words; int32 or int64 codes from 0, and how many different ones there may be; or numbers of any size."""


def dense(columns: Iterable[Column]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One number per row, equal exactly where all columns are.

    Returns:
        The numbers, without gaps from 0 in the order in which they first occur; and the first row of each.
    """
    groups = Groups(columns)
    return groups.of_row, groups.first


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


class Groups:
    """Rows grouped by some columns. Columns of values have all rows, also those in no group.

    Attributes:
        first: the first row of each group, in order.
        count: number of groups.
    """

    def __init__(self, columns: Iterable[Column], among: NDArray[np.bool_] | None = None) -> None:
        """Groups the rows that are equal in all columns; only those in `among` if given."""
        codes, counts = zip(*map(_codes, columns), strict=True)
        chosen = None if among is None else among.view(np.uint8)
        self._groups = clew_kernel.Groups(list(codes), list(counts), chosen)
        self.first = np.frombuffer(self._groups.first(), np.int64)
        self.count = len(self.first)

    @cached_property
    def of_row(self) -> NDArray[np.int64]:
        """The number of each row's group, in the order in which groups first occur; -1 for none."""
        return np.frombuffer(self._groups.of_row(), np.int64)

    def sum(self, values: NDArray[np.int64] | NDArray[np.bool_]) -> NDArray[np.int64]:
        """Exact sum per group, of values that are far from overflowing (counts, tokens)."""
        flags = values.dtype == np.bool_
        return np.frombuffer(self._groups.count(values.view(np.uint8)) if flags else self._groups.sum(values), np.int64)

    def sum_money(self, nano: NDArray[np.int64]) -> NDArray[np.int64] | NDArray[np.object_]:
        """Exact sum per group, as Python integers where 64 bits might not hold it."""
        if not self.count or int(np.abs(nano).max()) < 2**63 // len(nano):
            return self.sum(nano)
        high: NDArray[np.object_] = self.sum(nano >> 32).astype(object)
        totals: NDArray[np.object_] = high * 2**32 + self.sum(nano & (2**32 - 1))
        return totals

    def min(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Least value per group."""
        return values[self.argmin(values)]

    def max(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Greatest value per group."""
        return values[self.argmin(~values)]  # this turns their order around

    def argmin(self, values: NDArray[np.int64], *ties: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row with the least value per group; where several have it, the least by `ties`, then the first."""
        return np.frombuffer(self._groups.least(values, *ties), np.int64)
