"""usage_1m: exact totals per minute and kind of work, from before sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from clew_processor.arrow import decimals, minutes
from clew_processor.grouping import Groups, counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.enrich.contributions import Contributions

BUCKETS_PER_OCTAVE = 8
"""Duration buckets are 2^(1/8) = 9 % wide: OpenTelemetry's exponential histogram at scale 3."""

_DIMENSIONS = (
    "tenant_id:tenant",
    "service_name:service",
    "agent_name:agent_name",
    "agent_version:agent_version",
    "provider:provider",
    "model:model",
    "tool_name:tool_name",
    "op:op",
)
"""Column of usage_1m : field of Contributions."""
_SUMS = (
    "errors:error",
    "input_tokens:input_tokens",
    "output_tokens:output_tokens",
    "cache_read_tokens:cache_read_tokens",
    "cache_write_tokens:cache_write_tokens",
    "reasoning_tokens:reasoning_tokens",
    "unpriced_calls:unpriced",
)


def duration_bucket(duration_ns: NDArray[np.int64]) -> NDArray[np.int16]:
    """Bucket i = floor(8 log2(seconds)) of each duration; shorter than 1 ns counts as 1 ns."""
    seconds = np.maximum(duration_ns, 1) / 1e9
    buckets: NDArray[np.int16] = np.floor(BUCKETS_PER_OCTAVE * np.log2(seconds)).astype(np.int16)
    return buckets


def usage_rows(contributions: Contributions, *, sign: int = 1) -> pa.Table:
    """Rows of usage_1m: one per minute and combination of dimensions.

    Args:
        contributions: what counts.
        sign: -1 takes it away again.
    """
    minute = contributions.end_ns // (60 * 10**9)
    first_minute = int(minute.min()) if len(minute) else 0
    minutes_told = int(minute.max()) - first_minute + 1 if len(minute) else 1
    dimensions = [getattr(contributions, dimension.partition(":")[2]) for dimension in _DIMENSIONS]
    groups = Groups([(minute - first_minute, minutes_told), *dimensions])

    columns = {"minute": minutes(contributions.end_ns[groups.first])}
    for dimension in _DIMENSIONS:
        name, _, field = dimension.partition(":")
        columns[name] = getattr(contributions, field).take(groups.first).to_arrow()
    columns["calls"] = pa.array(groups.sum(np.ones(contributions.rows, np.bool_)) * sign)
    for total in _SUMS:
        name, _, field = total.partition(":")
        columns[name] = pa.array(groups.sum(getattr(contributions, field)) * sign)
    columns["calls_without_usage"] = pa.array(groups.sum(_silent(contributions)) * sign)
    columns["cost_usd"] = decimals(groups.sum_money(contributions.cost_nano) * sign, 38)
    columns["duration_buckets"] = _histograms(groups, contributions.duration_ns, sign)
    return pa.table(columns)


def _silent(contributions: Contributions) -> NDArray[np.bool_]:
    """Calls that have no cost because they told no tokens."""
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    silent = contributions.unpriced.copy()
    for name in names if silent.any() else ():
        silent &= getattr(contributions, name) == 0
    return silent


def _histograms(groups: Groups, duration_ns: NDArray[np.int64], sign: int) -> pa.MapArray:
    """Per group a map from bucket to count."""
    bucket = duration_bucket(duration_ns).astype(np.int64)
    lowest = int(bucket.min()) if len(bucket) else 0
    width = int(bucket.max()) - lowest + 1 if len(bucket) else 1
    cells, counts = counted(groups.of_row * width + (bucket - lowest), groups.count * width)
    offsets = np.searchsorted(cells, np.arange(groups.count + 1) * width).astype(np.int32)
    return pa.MapArray.from_arrays(
        pa.array(offsets),
        pa.array((cells % width + lowest).astype(np.int16)),
        pa.array(counts.astype(np.int64) * sign),
    )
