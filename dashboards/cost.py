"""The Cost board: what was spent, on what, and how much of it bought nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panels
from filters import sql

if TYPE_CHECKING:
    from grafana_foundation_sdk.models import dashboard

UID = "clew-cost"

_RUN_FILTERS = "The model filter does not apply here: one run may use several models."


def board() -> dashboard.Dashboard:
    """Return the Cost board."""
    return panels.board(
        "clew: Cost",
        UID,
        """
        What agents spent, per model, agent, run and successful run. Amounts are exact whatever is sampled:
        they come from rollups and run totals computed before sampling.
        """,
        [*_totals(), *_over_time(), *_details()],
    )


def _totals() -> list[panels.AnyPanel]:
    return [
        panels.stat(
            "Spend",
            """
            US dollars spent on model calls in this range, each call priced once. If it jumps, look below
            which model or agent it is, then open that agent's most expensive run.
            """,
            sql("SELECT sum(cost_usd) AS spend\nFROM usage_1m\nWHERE {usage}"),
            unit="currencyUSD",
            width=4,
        ),
        panels.stat(
            "Spend per run",
            f"""
            Average cost of a run that started in this range. If it grows while the work is the same, the
            context is growing (see tokens by kind) or runs take more steps. {_RUN_FILTERS}
            """,
            sql("SELECT toFloat64(sum(cost_usd)) / nullIf(count(), 0) AS per_run\nFROM runs\nWHERE {runs}"),
            unit="currencyUSD",
            width=5,
        ),
        panels.stat(
            "Cost per successful run",
            f"""
            What one success costs, failures included: the spend of all runs whose outcome was recorded,
            divided by those that succeeded. Far above spend per run means that money goes into runs that
            fail. Empty until agents report outcomes. {_RUN_FILTERS}
            """,
            sql("""
                SELECT toFloat64(sum(cost_usd)) / nullIf(countIf(outcome = 'success'), 0) AS per_success
                FROM runs
                WHERE {runs}
                  AND outcome NOT IN ('', 'unknown')
                """),
            unit="currencyUSD",
            width=5,
        ),
        panels.stat(
            "Cache share of input",
            """
            Part of all input tokens that providers served from their prompt cache, at a lower price. If it
            is low for an agent that resends its history, something at the start of the prompt changes on
            every call: put what varies (times, ids) at the end.
            """,
            sql("""
                SELECT sum(cache_read_tokens) / nullIf(sum(input_tokens), 0) AS cache_share
                FROM usage_1m
                WHERE {usage}
                """),
            unit="percentunit",
            width=5,
        ),
        panels.stat(
            "Wasted in loops",
            f"""
            Spend on repetitions that made no progress, and its share of the spend of all runs. Anything
            above zero has an entry on the Loops board: start there. {_RUN_FILTERS}
            """,
            sql("""
                SELECT
                  sum(loop_cost_usd) AS wasted,
                  toFloat64(sum(loop_cost_usd)) / nullIf(toFloat64(sum(cost_usd)), 0) AS share
                FROM runs
                WHERE {runs}
                """),
            unit="currencyUSD",
            units={"share": "percentunit"},
            width=5,
        ),
    ]


def _over_time() -> list[panels.AnyPanel]:
    return [
        panels.bars(
            "Spend by model",
            """
            Dollars per bar, by the model that answered. A new or unexpectedly expensive model here usually
            is a changed default or a fallback that fires.
            """,
            _spend_by("model"),
            unit="currencyUSD",
            width=12,
            by_name=True,
        ),
        panels.bars(
            "Spend by agent",
            """
            Dollars per bar, by agent; calls outside any agent are (none). If one agent grows alone, its
            runs got longer or looped; if all grow together, it is traffic or price.
            """,
            _spend_by("agent_name"),
            unit="currencyUSD",
            width=12,
            by_name=True,
        ),
        panels.bars(
            "Tokens by kind",
            """
            Tokens per bar, each counted in one kind only: input that was not cached, read from and written
            to the cache, visible output, reasoning. Fresh input that grows faster than output is history
            sent again without caching.
            """,
            sql("""
                SELECT
                  $__timeInterval(minute) AS time,
                  sum(input_tokens - cache_read_tokens - cache_write_tokens) AS fresh_input,
                  sum(cache_read_tokens) AS cache_read,
                  sum(cache_write_tokens) AS cache_write,
                  sum(output_tokens - reasoning_tokens) AS visible_output,
                  sum(reasoning_tokens) AS reasoning
                FROM usage_1m
                WHERE {usage}
                GROUP BY time
                ORDER BY time
                """),
            unit="short",
            width=12,
            by_name=False,
        ),
    ]


def _details() -> list[panels.AnyPanel]:
    return [
        panels.table(
            "Unpriced calls",
            """
            Model calls with no known price: their cost is missing from every amount on this board. Check
            that the model's name is the provider's own, then update the processor's price table; `clew
            doctor` lists them too.
            """,
            sql("""
                SELECT provider AS Provider, model AS Model, sum(unpriced_calls) AS Calls
                FROM usage_1m
                WHERE {usage}
                GROUP BY provider, model
                HAVING Calls > 0
                ORDER BY Calls DESC, Provider, Model
                """),
            units={},
            width=12,
        ),
        panels.table(
            "Most expensive runs",
            f"""
            The twenty runs that cost most. Click a run to see its spans, or ask `clew show` for it as a
            tree with cost per step. If Kept is 0 its spans were sampled away and only these totals remain.
            {_RUN_FILTERS}
            """,
            sql("""
                SELECT
                  started_at AS Started,
                  agent_name AS Agent,
                  trace_id AS Run,
                  cost_usd AS Cost,
                  steps AS Steps,
                  model_calls AS "Model calls",
                  input_tokens + output_tokens AS Tokens,
                  loops AS Loops,
                  outcome AS Outcome,
                  sampled AS Kept
                FROM runs
                WHERE {runs}
                ORDER BY cost_usd DESC, trace_id
                LIMIT 20
                """),
            units={"Cost": "currencyUSD", "Tokens": "short"},
            width=24,
            run_column="Run",
        ),
    ]


def _spend_by(column: str) -> str:
    return sql(
        """
        SELECT
          $__timeInterval(minute) AS time,
          if({column} = '', '(none)', {column}) AS series,
          sum(cost_usd) AS spend
        FROM usage_1m
        WHERE {usage}
        GROUP BY time, series
        HAVING spend != 0
        ORDER BY time, series
        """,
        column=column,
    )
