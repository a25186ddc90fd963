"""The Loops board: agents that repeat themselves, what it wastes, and what gates, errors and retries say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panels
from filters import sql

if TYPE_CHECKING:
    from grafana_foundation_sdk.models import dashboard

UID = "clew-loops"

_RUN_FILTERS = "The model filter does not apply here: one run may use several models."


def board() -> dashboard.Dashboard:
    """Return the Loops board."""
    return panels.board(
        "clew: Loops",
        UID,
        """
        Repetition without progress: where it happens, what it wastes, and the signs around it (denied
        gates, failing tools, retries). All exact whatever is sampled.
        """,
        [*_totals(), *_where(), *_signs()],
    )


def _totals() -> list[panels.AnyPanel]:
    return [
        panels.stat(
            "Loops",
            f"""
            Loops that began in this range. One is worth a look: open it in the list below. A loop that
            later spans disprove disappears again. {_RUN_FILTERS}
            """,
            sql("SELECT count() AS found\nFROM loops\nWHERE {loops}"),
            unit="short",
            width=6,
            bad_from=1,
        ),
        panels.stat(
            "Runs with a loop",
            f"""
            Share of the runs of this range in which at least one loop was found. If it rises after a
            release, compare prompts and tool results before and after. {_RUN_FILTERS}
            """,
            sql("SELECT countIf(loops > 0) / nullIf(count(), 0) AS looping\nFROM runs\nWHERE {runs}"),
            unit="percentunit",
            width=6,
            bad_from=0.05,
        ),
        panels.stat(
            "Wasted on loops",
            f"""
            Dollars for the model calls that led to the second and later repetitions. Stopping the worst
            agent of the table below saves most of it. {_RUN_FILTERS}
            """,
            sql("SELECT sum(wasted_cost_usd) AS wasted\nFROM loops\nWHERE {loops}"),
            unit="currencyUSD",
            width=6,
        ),
        panels.stat(
            "Wasted tokens",
            f"""
            Tokens of the same model calls. Tokens without dollars mean that the model has no known price
            (see unpriced calls on the Cost board). {_RUN_FILTERS}
            """,
            sql("SELECT sum(wasted_tokens) AS tokens\nFROM loops\nWHERE {loops}"),
            unit="short",
            width=6,
        ),
    ]


def _where() -> list[panels.AnyPanel]:
    return [
        panels.bars(
            "Loops over time",
            f"""
            Loops by the time they began and by pattern. A burst across agents points at a shared tool or
            model that stopped giving useful answers. {_RUN_FILTERS}
            """,
            sql("""
                SELECT $__timeInterval(started_at) AS time, pattern AS series, count() AS found
                FROM loops
                WHERE {loops}
                GROUP BY time, series
                ORDER BY time, series
                """),
            unit="short",
            width=12,
            by_name=True,
        ),
        panels.table(
            "Waste by agent, tool and pattern",
            f"""
            What loops wasted, worst first. The same tool in many agents: fix what the tool returns when it
            has nothing (let it say so). One agent alone: fix its prompt or give it a limit. {_RUN_FILTERS}
            """,
            sql("""
                SELECT
                  agent_name AS Agent,
                  tool_name AS Tool,
                  pattern AS Pattern,
                  count() AS Loops,
                  sum(repetitions) AS Repetitions,
                  sum(wasted_tokens) AS Tokens,
                  sum(wasted_cost_usd) AS Wasted
                FROM loops
                WHERE {loops}
                GROUP BY agent_name, tool_name, pattern
                ORDER BY Wasted DESC, Tokens DESC, Agent, Tool, Pattern
                """),
            units={"Tokens": "short", "Wasted": "currencyUSD"},
            width=12,
        ),
        panels.table(
            "Loops found",
            f"""
            The newest hundred loops. Click a run to see its spans, or ask `clew show` for it as a tree in
            which the repeats are folded. {_RUN_FILTERS}
            """,
            sql("""
                SELECT
                  started_at AS Began,
                  last_seen_at AS "Last seen",
                  trace_id AS Run,
                  agent_name AS Agent,
                  tool_name AS Tool,
                  pattern AS Pattern,
                  repetitions AS Repetitions,
                  wasted_tokens AS Tokens,
                  wasted_cost_usd AS Wasted,
                  action AS Action
                FROM loops
                WHERE {loops}
                ORDER BY started_at DESC, trace_id, first_span_id
                LIMIT 100
                """),
            units={"Tokens": "short", "Wasted": "currencyUSD"},
            width=24,
            run_column="Run",
        ),
    ]


def _signs() -> list[panels.AnyPanel]:
    return [
        panels.table(
            "Denied gates",
            """
            Decisions at each gate and how many of them denied. A gate that denies most of what it sees is
            either misconfigured or guards something the agent should be told not to try; an agent that is
            denied and tries again shows up as a loop. The model filter does not apply here.
            """,
            sql("""
                SELECT
                  gate_name AS Gate,
                  kind AS Kind,
                  count() AS Decisions,
                  countIf(outcome = 'deny') AS Denied,
                  countIf(outcome = 'deny') / count() AS Share
                FROM gates
                WHERE {gates}
                GROUP BY gate_name, kind
                HAVING Denied > 0
                ORDER BY Denied DESC, Gate, Kind
                """),
            units={"Share": "percentunit"},
            width=8,
        ),
        panels.table(
            "Errors by tool",
            """
            Tool executions that ended in an error. A failing tool is the usual start of a loop: make its
            error message tell the model what to do differently.
            """,
            sql("""
                SELECT
                  tool_name AS Tool,
                  sum(calls) AS Calls,
                  sum(errors) AS Errors,
                  sum(errors) / nullIf(sum(calls), 0) AS Rate
                FROM usage_1m
                WHERE {usage}
                  AND op = 'execute_tool'
                GROUP BY tool_name
                HAVING Errors > 0
                ORDER BY Errors DESC, Tool
                """),
            units={"Rate": "percentunit"},
            width=8,
        ),
        panels.bars(
            "Retries by agent",
            f"""
            Retries in the runs that began then. A steady level is a flaky dependency; a burst is an outage
            or a rate limit. {_RUN_FILTERS}
            """,
            sql("""
                SELECT
                  $__timeInterval(started_at) AS time,
                  if(agent_name = '', '(none)', agent_name) AS series,
                  sum(retries) AS retried
                FROM runs
                WHERE {runs}
                GROUP BY time, series
                HAVING retried > 0
                ORDER BY time, series
                """),
            unit="short",
            width=8,
            by_name=True,
        ),
    ]
