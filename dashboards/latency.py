"""The Latency board: how long models, tools, gates and whole runs take, and how often they fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panels
from filters import INFERENCE, bucket_counts, percentile, sql

if TYPE_CHECKING:
    from grafana_foundation_sdk.models import dashboard

UID = "clew-latency"

_EXACT = "Counted over all calls before sampling; a duration is known to 9 %."
_TIME = {"time": "$__timeInterval(minute)"}
_PERCENTILES = {"p50": percentile(0.5), "p95": percentile(0.95), "p99": percentile(0.99)}


def board() -> dashboard.Dashboard:
    """Return the Latency board."""
    return panels.board(
        "clew: Latency",
        UID,
        """
        How long model calls, tools, gates and runs take. Percentiles over all calls come from the
        per-minute duration buckets, which are exact whatever is sampled; time to first token is read from
        kept spans, each counted with its sampling weight.
        """,
        [*_models(), *_tools_and_gates(), *_details()],
    )


def _models() -> list[panels.AnyPanel]:
    return [
        panels.lines(
            "Model call latency",
            f"""
            Half, 95 % and 99 % of model calls were faster than this. If p99 leaves p50 behind, look for the
            slowest model on the right and for retries on the Loops board. {_EXACT}
            """,
            sql(
                """
                SELECT time, {p50} AS p50, {p95} AS p95, {p99} AS p99
                FROM {counts}
                GROUP BY time
                ORDER BY time
                """,
                counts=bucket_counts(_TIME, INFERENCE),
                **_PERCENTILES,
            ),
            unit="s",
            width=12,
            by_name=False,
        ),
        panels.lines(
            "Model call latency p95 by model",
            f"""
            95 % of a model's calls were faster than this. If one model alone gets slower, its provider is;
            if all do, prompts got longer or the network is at fault. {_EXACT}
            """,
            _p95_by("model", INFERENCE),
            unit="s",
            width=12,
            by_name=True,
        ),
        panels.lines(
            "Time to first token",
            """
            How long a streaming call waited for its first token, over kept spans weighted by SampleWeight.
            It grows with the length of the prompt and falls with prompt caching. No line: nothing streams,
            or the instrumentation does not report it.
            """,
            sql(
                """
                SELECT
                  $__timeInterval(Timestamp) AS time,
                  {p50} AS p50,
                  {p95} AS p95
                FROM otel_traces
                WHERE {spans}
                  AND TimeToFirstTokenMs > 0
                  AND UsageScope NOT IN ('rollup', 'duplicate')
                GROUP BY time
                ORDER BY time
                """,
                p50=_first_token(0.5),
                p95=_first_token(0.95),
            ),
            unit="ms",
            width=12,
            by_name=False,
        ),
        panels.lines(
            "Error rate",
            """
            Part of the calls of each operation that ended in an error. Failing model calls are rate limits
            or timeouts more often than not; failing tool calls are listed by tool on the Loops board.
            """,
            sql("""
                SELECT
                  $__timeInterval(minute) AS time,
                  op AS series,
                  sum(errors) / nullIf(sum(calls), 0) AS error_rate
                FROM usage_1m
                WHERE {usage}
                GROUP BY time, series
                ORDER BY time, series
                """),
            unit="percentunit",
            width=12,
            by_name=True,
        ),
    ]


def _tools_and_gates() -> list[panels.AnyPanel]:
    return [
        panels.lines(
            "Tool latency p95",
            f"""
            95 % of a tool's executions were faster than this. A tool that nears its timeout shows here
            before it shows as errors. {_EXACT}
            """,
            _p95_by("tool_name", "op = 'execute_tool'"),
            unit="s",
            width=12,
            by_name=True,
        ),
        panels.table(
            "Gate waiting time",
            """
            How long agents stood still at each gate until the decision. Long waits at a human gate mean
            that nobody is there to approve; at a policy or guardrail, that the check itself is slow. The
            model filter does not apply here.
            """,
            sql("""
                SELECT
                  gate_name AS Gate,
                  kind AS Kind,
                  count() AS Decisions,
                  quantileExactWeighted(0.5)(wait_ms, 1) AS p50,
                  quantileExactWeighted(0.95)(wait_ms, 1) AS p95,
                  max(wait_ms) AS Longest,
                  sum(wait_ms) AS "In all"
                FROM gates
                WHERE {gates}
                GROUP BY gate_name, kind
                ORDER BY "In all" DESC, Gate
                """),
            units={"p50": "ms", "p95": "ms", "Longest": "ms", "In all": "ms"},
            width=12,
        ),
    ]


def _details() -> list[panels.AnyPanel]:
    return [
        panels.table(
            "Latency by operation and model",
            f"""
            Percentiles over the whole range for every operation with its model or tool, slowest first. Read
            Calls before the rest: p99 of a few calls is just the slowest one. {_EXACT}
            """,
            sql(
                """
                SELECT
                  operation AS Operation,
                  target AS "Model or tool",
                  sum(weight) AS Calls,
                  {p50} AS p50,
                  {p95} AS p95,
                  {p99} AS p99
                FROM {counts}
                GROUP BY operation, target
                ORDER BY p95 DESC, operation, target
                """,
                counts=bucket_counts({"operation": "op", "target": "if(model != '', model, tool_name)"}),
                **_PERCENTILES,
            ),
            units={"p50": "s", "p95": "s", "p99": "s"},
            width=24,
        ),
        panels.table(
            "What runs now",
            """
            Where runs stand: the innermost agents, steps, tools and waiting gates that have not ended, the
            oldest first. One far older than its kind usually takes hangs, or waits for somebody. A process
            says every minute that its spans are open: one that was last heard of longer ago was killed. The
            model filter does not apply here.
            """,
            sql("""
                SELECT
                  started_at AS Since,
                  dateDiff('millisecond', started_at, last_seen_at) AS "Open for",
                  name AS Span,
                  agent_name AS Agent,
                  service_name AS Service,
                  trace_id AS Run,
                  last_seen_at AS "Last heard of"
                FROM open_spans
                WHERE {open}
                  AND (tenant_id, trace_id, span_id) NOT IN (
                    SELECT tenant_id, trace_id, parent_span_id
                    FROM open_spans
                  )
                ORDER BY started_at, trace_id, span_id
                LIMIT 100
                """),
            units={"Open for": "ms"},
            width=24,
            run_column="Run",
        ),
        panels.table(
            "Slowest runs",
            """
            The twenty runs that took longest, from their first span to their last. Compare Duration with
            Gate wait: the difference is the agent's own time. Click a run to see its spans, or ask `clew
            show` for it as a tree. The model filter does not apply here.
            """,
            sql("""
                SELECT
                  started_at AS Started,
                  agent_name AS Agent,
                  trace_id AS Run,
                  duration_ms AS Duration,
                  gate_wait_ms AS "Gate wait",
                  steps AS Steps,
                  model_calls AS "Model calls",
                  tool_calls AS "Tool calls",
                  status AS Status,
                  sampled AS Kept
                FROM runs
                WHERE {runs}
                ORDER BY duration_ms DESC, trace_id
                LIMIT 20
                """),
            units={"Duration": "ms", "Gate wait": "ms"},
            width=24,
            run_column="Run",
        ),
    ]


def _p95_by(column: str, where: str) -> str:
    keys = {**_TIME, "series": f"if({column} = '', '(none)', {column})"}
    return sql(
        """
        SELECT time, series, {p95} AS p95
        FROM {counts}
        GROUP BY time, series
        ORDER BY time, series
        """,
        p95=percentile(0.95),
        counts=bucket_counts(keys, where),
    )


def _first_token(level: float) -> str:
    # A weight must be whole; thousandths keep the fraction of weights like 1.25.
    return f"quantileExactWeighted({level})(TimeToFirstTokenMs, toUInt64(round(SampleWeight * 1000)))"
