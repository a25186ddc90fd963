"""gates: one row per gate decision, kept whatever is sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from clew_processor.arrow import timestamps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.normalise.spans import Spans

OUTCOMES = frozenset({"allow", "deny", "modify", "warn", "require_approval", "timeout", "abort", "unknown"})
"""semconv-genai.md section 11; anything else is `unknown`."""
DENIED = frozenset({"deny", "abort"})


def is_gate(spans: Spans) -> NDArray[np.bool_]:
    """The spans that are gate decisions."""
    return spans.gate_name.present | spans.op.isin(("gate",))


def is_denied(spans: Spans) -> NDArray[np.bool_]:
    """The gate decisions that stopped something."""
    return is_gate(spans) & spans.gate_outcome.isin(DENIED)


def gate_rows(spans: Spans) -> pa.Table | None:
    """Rows of `gates`, or None when the batch decides nothing."""
    rows = np.flatnonzero(is_gate(spans))
    if not len(rows):
        return None
    outcome = spans.gate_outcome.take(rows).map(lambda word: word if word in OUTCOMES else "unknown")
    return pa.table(
        {
            "tenant_id": spans.tenant.take(rows).to_arrow(),
            "trace_id": spans.trace.take(rows).to_arrow(),
            "span_id": spans.span_id.take(pa.array(rows)),
            "agent_name": spans.agent_name.take(rows).to_arrow(),
            "service_name": spans.service.take(rows).to_arrow(),
            "gate_name": spans.gate_name.take(rows).to_arrow(),
            "kind": spans.gate_kind.take(rows).to_arrow(),
            "phase": spans.gate_phase.take(rows).to_arrow(),
            "outcome": outcome.to_arrow(),
            "source": spans.gate_source.take(rows).to_arrow(),
            "actor_type": spans.gate_actor_type.take(rows).to_arrow(),
            "reason": spans.gate_reason.take(rows).to_arrow(),
            "requested_at": timestamps(spans.start_ns[rows]),
            "decided_at": timestamps(spans.end_ns[rows]),
            "wait_ms": pa.array(spans.gate_wait_ms[rows].astype(np.uint64)),
            "target_kind": spans.gate_target_kind.take(rows).to_arrow(),
            "target_id": spans.gate_target_id.take(rows).to_arrow(),
        }
    )
