"""One run as the store has it: the spans with later corrections applied, its loops and its gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

    from clew.cli.endpoint import Endpoint, Row

#: Operations that are one call of a model (canonical operations of clew's `Op` column).
INFERENCE = frozenset({"chat", "text_completion", "generate_content", "embeddings"})

#: More spans of one run than this are not read: the run is cut, and `show` says so.
MAX_SPANS = 200_000

# A trace id says nothing about its days, so the companion table narrows the partitions first. The newest correction
# of a span wins over what was known when it was written.
_SPANS = """
WITH
    (
        SELECT (toDate(min(Start)), toDate(max(End)))
        FROM otel_traces_trace_id_ts
        WHERE TraceId = {trace_id:String}
    ) AS days
SELECT
    t.SpanId AS span_id, t.ParentSpanId AS parent_id, t.SpanName AS name, t.Op AS op,
    t.ToolName AS tool, t.AgentName AS agent, if(t.ResponseModel != '', t.ResponseModel, t.RequestModel) AS model,
    t.RequestModel AS request_model, t.InputTokens AS input_tokens, t.OutputTokens AS output_tokens,
    if(c.newest > 0, c.usage_scope, t.UsageScope) AS usage_scope,
    if(c.newest > 0, c.cost_usd, t.CostUsd) AS cost_usd,
    if(c.newest > 0, c.cost_source, t.CostSource) AS cost_source,
    toUnixTimestamp64Nano(t.Timestamp) AS start_ns, t.Duration AS duration_ns,
    t.Status AS status, t.ErrorType AS error_type, t.StatusMessage AS status_message,
    toString(t.ArgsHash) AS args_hash, t.StepKind AS step_kind, t.GateName AS gate_name, t.GateOutcome AS gate_outcome
FROM otel_traces AS t
LEFT JOIN
(
    SELECT
        span_id, max(span_corrections.version) AS newest, argMax(usage_scope, version) AS usage_scope,
        argMax(cost_usd, version) AS cost_usd, argMax(cost_source, version) AS cost_source
    FROM span_corrections
    WHERE trace_id = {trace_id:String} AND tenant_id = {tenant_id:String}
    GROUP BY span_id
) AS c ON c.span_id = t.SpanId
WHERE t.TraceId = {trace_id:String} AND t.TenantId = {tenant_id:String}
    AND toDate(t.Timestamp) BETWEEN days.1 AND days.2
ORDER BY t.Timestamp, t.SpanId
LIMIT {limit:UInt64}
"""

_LOOPS = """
SELECT
    agent_name, pattern, period, repetitions, first_span_id, last_span_id, tool_name,
    toString(fingerprint) AS fingerprint, toUnixTimestamp64Nano(started_at) AS started_ns,
    toUnixTimestamp64Nano(last_seen_at) AS last_seen_ns, wasted_tokens, wasted_cost_usd, action
FROM loops
WHERE trace_id = {trace_id:String} AND tenant_id = {tenant_id:String}
ORDER BY started_at, first_span_id
"""

_GATES = """
SELECT
    span_id, agent_name, gate_name, kind, phase, outcome, source, actor_type, reason, wait_ms, target_kind, target_id,
    toUnixTimestamp64Nano(requested_at) AS requested_ns, toUnixTimestamp64Nano(decided_at) AS decided_ns
FROM gates
WHERE trace_id = {trace_id:String} AND tenant_id = {tenant_id:String}
ORDER BY requested_at, span_id
"""


@dataclass(frozen=True, slots=True)
class Span:
    """One span, in the columns of ``otel_traces``; times in nanoseconds, ``args_hash`` "0" for none.

    One that has not ended has the status ``running``, lasts until now, and ``silence_ns`` says for how long its process
    was not heard of, where that is worth telling.
    """

    span_id: str
    parent_id: str
    name: str
    op: str
    tool: str
    agent: str
    model: str
    request_model: str
    input_tokens: int
    output_tokens: int
    usage_scope: str
    cost_usd: Decimal
    cost_source: str
    start_ns: int
    duration_ns: int
    status: str
    error_type: str
    status_message: str
    args_hash: str
    step_kind: str
    gate_name: str
    gate_outcome: str
    silence_ns: int = 0

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.status == "running"

    @property
    def duplicate(self) -> bool:
        """Whether another span already counts for the same call."""
        return self.usage_scope == "duplicate"

    @property
    def failed(self) -> bool:
        """Whether it ended in an error."""
        return self.status == "error" or bool(self.error_type)


@dataclass(frozen=True, slots=True)
class Loop:
    """One row of ``loops``."""

    agent_name: str
    pattern: str
    period: int
    repetitions: int
    first_span_id: str
    last_span_id: str
    tool_name: str
    fingerprint: str
    started_ns: int
    last_seen_ns: int
    wasted_tokens: int
    wasted_cost_usd: Decimal
    action: str


@dataclass(frozen=True, slots=True)
class Gate:
    """One row of ``gates``."""

    span_id: str
    agent_name: str
    gate_name: str
    kind: str
    phase: str
    outcome: str
    source: str
    actor_type: str
    reason: str
    wait_ms: int
    target_kind: str
    target_id: str
    requested_ns: int
    decided_ns: int


@dataclass(frozen=True, slots=True)
class Recording:
    """Everything `show` prints.

    Attributes:
        trace_id: the whole trace id.
        run: the row of ``runs``, None for a trace without GenAI spans.
        spans: in order of their start.
        cut: whether there are more spans than were read.
    """

    trace_id: str
    run: Row | None
    spans: list[Span]
    loops: list[Loop]
    gates: list[Gate]
    cut: bool


def read(endpoint: Endpoint, tenant_id: str, trace_id: str, run: Row | None) -> Recording:
    """The recording of one trace of one tenant."""
    key: dict[str, Any] = {"trace_id": trace_id, "tenant_id": tenant_id}
    spans = [Span(**row) for row in endpoint.rows(_SPANS, **key, limit=MAX_SPANS + 1)]
    return Recording(
        trace_id=trace_id,
        run=run,
        spans=spans[:MAX_SPANS],
        loops=[Loop(**row) for row in endpoint.rows(_LOOPS, **key)],
        gates=[Gate(**row) for row in endpoint.rows(_GATES, **key)],
        cut=len(spans) > MAX_SPANS,
    )
