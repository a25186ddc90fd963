"""Every panel of every board, read through the query endpoint from the demo's data, against the demo's script."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import clickhouse_connect
import pytest

from clew.demo.prices import call_cost
from clew.demo.scenarios import SCENARIOS
from clew.demo.script import Reply
from shared.grafana_macros import Selection
from shared.grafana_panels import panel_results, panel_sql

pytestmark = pytest.mark.slow
REPLIES = [answer for scenario in SCENARIOS for answer in scenario.script if isinstance(answer, Reply)]
RUNS = len(SCENARIOS)
LOOPING = next(scenario for scenario in SCENARIOS if scenario.repetitions)


@pytest.fixture(scope="module")
def panels(serving):
    client = clickhouse_connect.get_client(host="127.0.0.1", port=serving.query, database="clew")
    now = datetime.now(UTC)
    selection = Selection(now - timedelta(hours=1), now + timedelta(minutes=1))
    yield panel_results(lambda sql: list(client.query(sql).named_results()), selection)
    client.close()


@pytest.fixture(scope="module")
def costs(serving):
    """Cost of each agent's run on record, which other tests hold equal to the hand calculation."""
    return {
        row["agent_name"]: Decimal(row["cost"])
        for row in serving.rows("SELECT agent_name, toString(cost_usd) AS cost FROM runs WHERE agent_name != ''")
    }


def only(rows):
    (row,) = rows
    (value,) = row.values()
    return value


def test_every_panel_answers(panels):
    assert panels.keys() == panel_sql().keys()
    empty = {key for key, rows in panels.items() if not rows}
    assert not panels["clew-latency", "What runs now"], "every run has ended"
    none = {("clew-cost", "Unpriced calls"), ("clew-latency", "What runs now")}
    assert empty <= none, "a panel without a row on data that has everything"


def test_cost_board_shows_what_the_script_costs(panels, costs):
    total = sum(costs.values())
    assert only(panels["clew-cost", "Spend"]) == total == Decimal("0.054645450")
    assert only(panels["clew-cost", "Spend per run"]) == pytest.approx(float(total) / RUNS)
    assert {row["Agent"]: row["Cost"] for row in panels["clew-cost", "Most expensive runs"]} == costs
    by_agent: dict[str, Decimal] = {}
    for row in panels["clew-cost", "Spend by agent"]:
        by_agent[row["series"]] = by_agent.get(row["series"], Decimal(0)) + row["spend"]
    assert {agent: spend for agent, spend in by_agent.items() if spend} == costs
    assert sum(row["spend"] for row in panels["clew-cost", "Spend by model"]) == total
    assert not panels["clew-cost", "Unpriced calls"]


def test_cost_board_shows_the_scripted_tokens(panels):
    read = sum(reply.tokens.cache_read for reply in REPLIES)
    written = sum(reply.tokens.cache_write for reply in REPLIES)
    whole = sum(reply.tokens.input for reply in REPLIES)
    kinds = panels["clew-cost", "Tokens by kind"]
    assert sum(row["cache_read"] for row in kinds) == read
    assert sum(row["cache_write"] for row in kinds) == written
    assert sum(row["fresh_input"] for row in kinds) == whole - read - written
    assert only(panels["clew-cost", "Cache share of input"]) == pytest.approx(read / whole)


def test_loops_board_shows_the_scripted_loop(panels):
    replies = [answer for answer in LOOPING.script if isinstance(answer, Reply)]
    wasted = replies[1 - LOOPING.repetitions :]
    dollars = sum((call_cost("gpt-4o-mini", reply.tokens) for reply in wasted), Decimal(0))
    (loop,) = panels["clew-loops", "Loops found"]
    assert (loop["Agent"], loop["Repetitions"], loop["Wasted"]) == (LOOPING.agent, LOOPING.repetitions, dollars)
    assert loop["Tokens"] == sum(reply.tokens.input + reply.tokens.output for reply in wasted)
    assert only(panels["clew-loops", "Loops"]) == 1
    assert only(panels["clew-loops", "Wasted on loops"]) == dollars
    assert only(panels["clew-loops", "Wasted tokens"]) == loop["Tokens"]
    assert only(panels["clew-loops", "Runs with a loop"]) == pytest.approx(1 / RUNS)


def test_loops_board_shows_denied_gates_and_failing_tools(panels):
    denied = {row["Gate"]: row["Denied"] for row in panels["clew-loops", "Denied gates"]}
    assert sum(denied.values()) == sum(scenario.gates_denied for scenario in SCENARIOS)
    failing = {row["Tool"]: row["Errors"] for row in panels["clew-loops", "Errors by tool"] if row["Errors"]}
    assert failing == {"fetch_invoices": 2}


def test_latency_board_counts_every_call(panels, serving):
    rows = panels["clew-latency", "Latency by operation and model"]
    chats = sum(row["Calls"] for row in rows if row["Operation"] == "chat")
    (on_record,) = serving.rows("SELECT toInt64(sum(model_calls)) AS calls FROM runs")
    assert chats == int(on_record["calls"])
    assert all(0 < row["p50"] <= row["p95"] <= row["p99"] < 60 for row in rows)
    slowest = {row["Agent"] for row in panels["clew-latency", "Slowest runs"]}
    assert slowest == {scenario.agent for scenario in SCENARIOS}
