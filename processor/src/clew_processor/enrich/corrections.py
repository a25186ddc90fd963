"""span_corrections: what turned out otherwise than `otel_traces` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from clew_processor.arrow import blanks, decimals
from clew_processor.enrich.contributions import TOKENS

if TYPE_CHECKING:
    from clew_processor.enrich.contributions import Corrected


def correction_rows(corrected: Corrected | None, version: int) -> pa.Table | None:
    """Rows of span_corrections.

    Args:
        corrected: what is to be told of earlier spans.
        version: greater than that of any earlier batch.

    Returns:
        None when there are none.
    """
    if corrected is None:
        return None
    return pa.table(
        {
            "tenant_id": pa.array(corrected.tenant, pa.utf8()),
            "trace_id": pa.array(corrected.trace, pa.utf8()),
            "span_id": pa.array(corrected.span_ids, pa.utf8()),
            "usage_scope": pa.array(corrected.scope, pa.utf8()),
            "cost_usd": decimals(corrected.cost_nano, 18),
            "computed_cost_usd": decimals(np.zeros(len(corrected.span_ids), np.int64), 18),
            "cost_source": pa.array(corrected.cost_source, pa.utf8()),
            "pricing_version": blanks(len(corrected.span_ids)),
            "reason": pa.array(corrected.reason, pa.utf8()),
            "version": pa.array(np.full(len(corrected.span_ids), version, np.uint64)),
        }
        | {"usage_estimated": pa.array(corrected.estimated.view(np.uint8))}
        | {name: pa.array(corrected.tokens[:, i].astype(np.uint64)) for i, name in enumerate(TOKENS)}
    )
