"""dialects: which ones spans came in, and what looks like GenAI but is none that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from clew_processor.arrow import milliseconds
from clew_processor.grouping import Groups

if TYPE_CHECKING:
    from clew_processor.normalise.spans import Spans

_NS_PER_DAY = 86_400 * 10**9


def dialect_rows(spans: Spans) -> pa.Table | None:
    """Rows of `dialects`, one per sender and dialect or signature; None when all spans are plain."""
    told = spans.dialect.present | spans.signature.present
    if not told.any():
        return None
    words = {
        "tenant_id": spans.tenant,
        "service_name": spans.service,
        "scope_name": spans.scope,
        "dialect": spans.dialect,
        "signature": spans.signature,
    }
    groups = Groups(words.values(), among=told)
    day = np.full(groups.count, spans.arrival_ns // _NS_PER_DAY, np.uint16)
    columns = {name: column.take(groups.first).to_arrow() for name, column in words.items()}
    return pa.table(
        {
            "day": pa.array(day),
            **columns,
            "spans": pa.array(groups.sum(told)),
            "last_seen_at": milliseconds(spans.arrival_ns, groups.count),
        }
    )
