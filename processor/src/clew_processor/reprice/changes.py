"""Costs that are others now, as they are spooled, and the rows that make the tables say so.

What changes is decided once, by `plan`, and written to the spool; from there on it is a batch like any other: a replay
makes the same rows, and inserts them once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from clew_processor.arrow import decimals
from clew_processor.enrich.runs import SumsOfRuns, sum_rows
from clew_processor.grouping import Groups
from clew_processor.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

REASON: Final = "repriced"
DIMENSIONS: Final = ("tenant_id", "service_name", "agent_name", "agent_version", "provider", "model", "tool_name", "op")
"""Of usage_1m, beside the minute."""
CORRECTED: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
"""Columns of span_corrections that take the place of those of otel_traces."""

SCHEMA: Final = pa.schema(
    [
        # Empty where it is no span of otel_traces but the sum of those of a minute that were sampled out.
        ("trace_id", pa.utf8()),
        ("span_id", pa.utf8()),
        ("minute", pa.uint32()),
        *((name, pa.utf8()) for name in DIMENSIONS),
        ("old_nano", pa.int64()),
        ("new_nano", pa.int64()),
        ("priced_calls", pa.int64()),  # that had no price before
        ("cost_source", pa.utf8()),
        ("pricing_version", pa.utf8()),
        # What an earlier verdict said of the span's tokens, which a later one has to say again; null where nothing.
        *((name, pa.uint64()) for name in CORRECTED),
        ("usage_estimated", pa.bool_()),
    ]
)
"""Of what is spooled: one row for each span whose cost is another."""


def to_bytes(changes: pa.Table) -> bytes:
    """As written to the spool."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
    with pa.ipc.new_stream(sink, SCHEMA, options=options) as writer:
        writer.write_table(changes)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def from_bytes(data: bytes | memoryview) -> pa.Table:
    """As read from it.

    Raises:
        ValueError: another version wrote it, in another form.
    """
    try:
        with pa.ipc.open_stream(data) as reader:
            changes = reader.read_all().combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"changes of prices of another version: {error}") from error
    if changes.schema != SCHEMA:
        raise ValueError(f"changes of prices of another version: {changes.schema}")
    return changes


def rows(changes: pa.Table, *, version: int, arrival_ns: int) -> dict[str, pa.Table | None]:
    """Rows by table that make the tables say it.

    Args:
        changes: of `SCHEMA`, at least one.
        version: greater than that of any earlier verdict.
        arrival_ns: of the batch.
    """
    spans = changes.filter(pa.compute.not_equal(changes["span_id"], ""))
    found: dict[str, pa.Table | None] = {"usage_1m": _usage_rows(changes)}
    if spans.num_rows:
        found["span_corrections"] = _corrections(spans, version)
        found["run_deltas"] = _run_rows(spans, arrival_ns)
    return found


def _corrections(spans: pa.Table, version: int) -> pa.Table:
    cost = decimals(_ints(spans, "new_nano"), 18)
    return pa.table(
        {
            "tenant_id": spans["tenant_id"],
            "trace_id": spans["trace_id"],
            "span_id": spans["span_id"],
            "usage_scope": pa.array(["own"] * spans.num_rows),
            "cost_usd": cost,
            "computed_cost_usd": cost,
            "cost_source": spans["cost_source"],
            "pricing_version": spans["pricing_version"],
            "reason": pa.array([REASON] * spans.num_rows),
            "version": pa.array(np.full(spans.num_rows, version, np.uint64)),
            **{name: spans[name] for name in (*CORRECTED, "usage_estimated")},
        }
    )


def _usage_rows(changes: pa.Table) -> pa.Table:
    """What the totals of each minute change by. Columns that are not named stay as they are."""
    minute = changes["minute"].to_numpy().astype(np.int64)
    first = int(minute.min())
    dimensions = {name: _words(changes, name) for name in DIMENSIONS}
    groups = Groups([(minute - first, int(minute.max()) - first + 1), *dimensions.values()])
    return pa.table(
        {
            "minute": pa.array(minute[groups.first].astype(np.uint32)),
            **{name: words.take(groups.first).to_arrow() for name, words in dimensions.items()},
            "cost_usd": decimals(groups.sum_money(_ints(changes, "new_nano") - _ints(changes, "old_nano")), 38),
            "unpriced_calls": pa.array(-groups.sum(_ints(changes, "priced_calls"))),
        }
    )


def _run_rows(spans: pa.Table, arrival_ns: int) -> pa.Table:
    tenant, trace = _words(spans, "tenant_id"), _words(spans, "trace_id")
    groups = Groups([tenant, trace])
    change = SumsOfRuns(
        tenants=tenant.take(groups.first).tolist(),
        traces=trace.take(groups.first).tolist(),
        ints={"unpriced_calls": -groups.sum(_ints(spans, "priced_calls"))},
        money={"cost_usd": groups.sum_money(_ints(spans, "new_nano") - _ints(spans, "old_nano"))},
    )
    return sum_rows(arrival_ns, change)


def _ints(table: pa.Table, name: str) -> NDArray[np.int64]:
    values: NDArray[np.int64] = table[name].to_numpy()
    return values


def _words(table: pa.Table, name: str) -> Words:
    return Words.from_arrow(table[name].combine_chunks().dictionary_encode())
