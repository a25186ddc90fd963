"""The kernel's columns as arrays and words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clew_processor.arrow import flags, numbers, there
from clew_processor.words import Words

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

MAX_COUNT = 2**36
"""No token count or waiting time (ms: two years) is larger; one that is tells nothing and counts as none. Sums over any
batch or run fit in 64 bits."""


class Columns:
    """The kernel's columns as numpy arrays and words, nulls filled."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self._index = {name: i for i, name in enumerate(batch.schema.names)}

    def arrow(self, name: str) -> Any:
        """The column as it is."""
        return self._batch.column(self._index[name])

    def words(self, name: str) -> Words:
        """The column as words, nulls as the empty one."""
        return Words.from_arrow(self.arrow(name))

    def numpy(self, name: str) -> NDArray[Any]:
        """The column, nulls as 0."""
        return numbers(self.arrow(name))

    def ints(self, name: str) -> NDArray[np.int64]:
        """The column's 64 bits as signed numbers."""
        array: NDArray[np.int64] = self.numpy(name).view(np.int64)
        return array

    def counts(self, name: str) -> NDArray[np.int64]:
        """Counts; those above `MAX_COUNT` are 0."""
        column = self.arrow(name)
        if column.null_count == len(column):  # most columns of most batches
            return np.zeros(len(column), np.int64)
        array = self.numpy(name)
        counts: NDArray[np.int64] = np.where(array > MAX_COUNT, 0, array).astype(np.int64)
        return counts

    def floats(self, name: str) -> NDArray[np.float64]:
        """The column, nulls as nan."""
        column = self.arrow(name)
        if column.null_count == len(column):
            return np.full(len(column), np.nan)
        return numbers(column, np.nan).astype(np.float64, copy=False)

    def flags(self, name: str) -> NDArray[np.bool_]:
        """The column, nulls as false."""
        column = self.arrow(name)
        return np.zeros(len(column), np.bool_) if column.null_count == len(column) else flags(column)

    def present(self, name: str) -> NDArray[np.bool_]:
        """Per row: is there a value?"""
        return there(self.arrow(name))
