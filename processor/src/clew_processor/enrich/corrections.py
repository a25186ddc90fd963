"""span_corrections: what turned out otherwise than `otel_traces` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from clew_processor.arrow import decimals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.enrich.calls import Changed
    from clew_processor.enrich.usage import Usage


def correction_rows(usage: Usage, version: int) -> pa.Table | None:
    """Rows of span_corrections: calls of which a better copy came, and those that are the better copy after all.

    Args:
        usage: the verdicts on a batch.
        version: greater than that of any earlier batch.

    Returns:
        None when there are none.
    """
    tables = []
    if usage.superseded:
        nothing = [""] * len(usage.superseded)
        scope = ["duplicate"] * len(nothing)
        tables.append(_rows(usage.superseded, scope, nothing, "duplicate", np.zeros(len(nothing), np.int64), version))
    if usage.reinstated:
        back = usage.reinstated
        cost = back.contributions.cost_nano
        tables.append(_rows(back, back.scope, back.cost_source, "reinstated", cost, version))
    return pa.concat_tables(tables).combine_chunks() if tables else None


def _rows(
    changed: Changed,
    scope: list[str],
    cost_source: list[str],
    reason: str,
    cost_nano: NDArray[np.int64],
    version: int,
) -> pa.Table:
    count = len(changed)
    return pa.table(
        {
            "tenant_id": pa.array(changed.contributions.tenant.tolist()),
            "trace_id": pa.array(changed.contributions.trace.tolist()),
            "span_id": pa.array(changed.span_ids),
            "usage_scope": pa.array(scope, pa.utf8()),
            "cost_usd": decimals(cost_nano, 18),
            "computed_cost_usd": decimals(np.zeros(count, np.int64), 18),
            "cost_source": pa.array(cost_source, pa.utf8()),
            "pricing_version": pa.array([""] * count),
            "reason": pa.array([reason] * count),
            "version": pa.array(np.full(count, version, np.uint64)),
        }
    )
