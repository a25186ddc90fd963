"""Small pieces for building Arrow columns out of numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

NANO = 10**9
"""Money is whole nano-dollars (1e-9 USD) in arithmetic and Decimal(n, 9) in tables."""


def decimals(nano: NDArray[np.int64] | NDArray[np.object_], precision: int) -> pa.Array:
    """Whole nano units as Decimal(precision, 9); an array of Python integers may go beyond 64 bits."""
    pairs = np.empty((len(nano), 2), np.uint64)
    if nano.dtype == object:
        pairs[:, 0] = [value & (2**64 - 1) for value in nano]
        pairs[:, 1] = [(value >> 64) & (2**64 - 1) for value in nano]
    else:
        pairs.view(np.int64)[:, 0] = nano
        pairs.view(np.int64)[:, 1] = nano >> 63  # sign extension to 128 bits
    return pa.Array.from_buffers(pa.decimal128(precision, 9), len(nano), [None, pa.py_buffer(pairs)])


def timestamps(ns: NDArray[np.int64]) -> pa.Array:
    """Unix ns as timestamp[ns, UTC]."""
    return pa.array(ns).view(pa.timestamp("ns", "UTC"))


def milliseconds(ns: int, rows: int) -> pa.Array:
    """The same Unix ns on every row, as timestamp[ms, UTC]."""
    return pa.array(np.full(rows, ns // 1_000_000, np.int64)).view(pa.timestamp("ms", "UTC"))


def minutes(ns: NDArray[np.int64]) -> pa.Array:
    """The minute that each Unix ns falls into, as UInt32 seconds (ClickHouse DateTime)."""
    return pa.array((ns // (60 * NANO) * 60).astype(np.uint32))


def blanks(rows: int) -> pa.StringArray:
    """As many empty texts."""
    return pa.repeat("", rows)


def structs(names: list[str], columns: list[Any]) -> pa.StructArray:
    """Columns side by side as one struct column (a ClickHouse Tuple)."""
    return pa.StructArray.from_arrays(
        [column if isinstance(column, pa.Array) else pa.array(column) for column in columns], names
    )


def numbers(column: pa.Array, none: float = 0) -> NDArray[Any]:
    """A column of numbers, `none` for nulls; for a batch that is quicker than Arrow's own `fill_null`."""
    told: NDArray[Any]
    if not column.null_count:
        told = column.to_numpy(zero_copy_only=False)
        return told
    validity, values = column.buffers()
    dtype = np.dtype(column.type.to_pandas_dtype())
    told = np.frombuffer(values, dtype, len(column), column.offset * dtype.itemsize)
    return np.where(_bits(validity, column), told, dtype.type(none))


def flags(column: pa.BooleanArray) -> NDArray[np.bool_]:
    """A column of booleans, false for nulls."""
    validity, values = column.buffers()
    told = _bits(values, column)
    return told & _bits(validity, column) if column.null_count else told


def there(column: pa.Array) -> NDArray[np.bool_]:
    """Per row: is it no null?"""
    return _bits(column.buffers()[0], column) if column.null_count else np.ones(len(column), np.bool_)


def _bits(buffer: pa.Buffer, column: pa.Array) -> NDArray[np.bool_]:
    start, end = column.offset, column.offset + len(column)
    return np.unpackbits(np.frombuffer(buffer, np.uint8), count=end, bitorder="little")[start:].view(np.bool_)


def id_keys(ids: pa.StringArray) -> NDArray[np.uint64]:
    """A number for each span id, equal for equal ids and 0 for none.

    Args:
        ids: 16 hexadecimal digits each, or empty.
    """
    offsets = np.frombuffer(ids.buffers()[1], np.int32)[ids.offset : ids.offset + len(ids) + 1]
    keys = np.zeros(len(ids), np.uint64)
    if len(ids) and offsets[-1] > offsets[0]:
        halves = np.frombuffer(ids.buffers()[2], np.uint8)[offsets[0] : offsets[-1]].view(np.uint64).reshape(-1, 2)
        # Each factor is odd, so each product is a bijection of its half; two ids meet with a chance of 2^-64.
        mixed = halves[:, 0] * np.uint64(0x9E3779B97F4A7C15) ^ halves[:, 1] * np.uint64(0xC2B2AE3D27D4EB4F)
        keys[offsets[1:] > offsets[:-1]] = mixed | np.uint64(1)
    return keys
