"""Rows cut so that one insert touches one partition of its table: there it is atomic, and tokens count for each."""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Period(Enum):
    """How long a partition is; the value is numpy's unit."""

    DAY = "D"
    MONTH = "M"


class Key(NamedTuple):
    """What a table is partitioned by.

    Attributes:
        column: holds a time.
        per_day: how many units of that column make a day.
        period: of a partition.
    """

    column: str
    per_day: int
    period: Period


_NS, _S, _DAYS = 86_400 * 10**9, 86_400, 1

KEYS: Final = {
    "otel_traces": Key("Timestamp", _NS, Period.DAY),
    "otel_logs": Key("Timestamp", _NS, Period.DAY),
    "span_messages": Key("at", _NS, Period.DAY),
    "gates": Key("requested_at", _NS, Period.DAY),
    "open_span_marks": Key("started_at", _NS, Period.DAY),
    "loop_versions": Key("started_at", _NS, Period.DAY),
    "usage_1m": Key("minute", _S, Period.DAY),
    "ledger_1m": Key("minute", _S, Period.DAY),
    "run_deltas": Key("day", _DAYS, Period.DAY),
    "dialects": Key("day", _DAYS, Period.DAY),
    "span_corrections": Key("version", _NS, Period.MONTH),
}
"""PARTITION BY of each table in `processor/sql`; a table that is not here has none. All in UTC: where the server's zone
is another, a day of ours may be two partitions there, which a token allows (it counts for each)."""

CONTENT_OF: Final = {"span_contents": "hash"}
"""Tables that keep one row for each value of that column, however often it is inserted. A replay may bring more rows
than the first time, so what tells their inserts apart is the rows, not the partition."""


def cut(table: str, rows: pa.Table) -> list[tuple[str, pa.Table]]:
    """The rows by partition, oldest first, in their order within each.

    Args:
        table: its name in the database.
        rows: at least one; of the partitioning column no value is null.

    Returns:
        (what tells this piece from the others of its batch and table, its rows).
    """
    if column := CONTENT_OF.get(table):
        return [(_digest(rows.column(column)), rows)]
    key = KEYS.get(table)
    if key is None:
        return [("", rows)]
    times = rows.column(key.column).to_numpy().astype(np.int64, copy=False)
    first, last = _periods(np.array([times.min(), times.max()]), key)
    if first == last:
        return [(str(first), rows)]
    periods = _periods(times, key)
    return [(str(period), rows.filter(pa.array(periods == period))) for period in np.unique(periods)]


def _periods(times: NDArray[np.int64], key: Key) -> NDArray[np.datetime64]:
    days = (times // key.per_day).astype("datetime64[D]")
    return days.astype(f"datetime64[{key.period.value}]")


def _digest(column: pa.ChunkedArray) -> str:
    """Of values of one fixed size, all at once: one by one they cost 0.4 us a span."""
    digest = hashlib.blake2b(digest_size=16)
    for chunk in column.chunks:
        size, values = chunk.type.byte_width, chunk.buffers()[1]
        digest.update(memoryview(values)[chunk.offset * size : (chunk.offset + len(chunk)) * size])
    return digest.hexdigest()
