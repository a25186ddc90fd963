"""Start records of a batch, apart from the spans that ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.decode.decoder import DecodedBatch


def split(batch: DecodedBatch) -> tuple[DecodedBatch, DecodedBatch]:
    """The spans of a batch that ended, and its start records; contents are left out of the second."""
    starts = np.zeros(batch.spans.num_rows, np.bool_)
    starts[batch.start_rows] = True
    rows = np.flatnonzero(starts)
    none = np.zeros(0, np.int64)
    closed = np.flatnonzero(np.isin(rows, batch.ended_rows))
    return (
        replace(batch, spans=_chosen(batch.spans, ~starts), start_rows=none, ended_rows=none),
        replace(
            batch,
            spans=_chosen(batch.spans, starts),
            contents=batch.contents.slice(0, 0),
            start_rows=np.arange(len(rows)),
            ended_rows=closed,
        ),
    )


_MOST_RANGES = 64
"""Ranges of rows are copied as they are: a sixth of what a filter takes, or less, where they are few."""


def _rows(spans: pa.RecordBatch, mask: NDArray[np.bool_]) -> pa.RecordBatch:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))).reshape(-1, 2)
    if len(edges) > _MOST_RANGES:
        return spans.filter(pa.array(mask))
    # With the empty range it is a copy in any case: later stages do not expect columns that begin in the middle.
    return pa.concat_batches([spans.slice(0, 0), *(spans.slice(start, end - start) for start, end in edges)])


def _chosen(spans: pa.RecordBatch, mask: NDArray[np.bool_]) -> pa.RecordBatch:
    """Some of the rows, as if there had been no others: parents by their new places, no words of other traces."""
    chosen = _rows(spans, mask)
    place = np.append(np.where(mask, np.cumsum(mask) - 1, -1), -1).astype(np.int32)
    names = spans.schema.names
    columns = dict(zip(names, chosen.columns, strict=True))
    columns["parent_row"] = pa.array(place[columns["parent_row"].to_numpy()])
    traces = columns["TraceId"]
    used, codes = np.unique(traces.indices.to_numpy(), return_inverse=True)
    columns["TraceId"] = pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int32)), traces.dictionary.take(pa.array(used))
    )
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=spans.schema)
