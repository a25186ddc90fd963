"""`clew demo` from end to end: processor, model server, agents and summary, and the record read back by SQL."""

from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal

import pytest

from clew.demo.place import DemoPlace
from clew.demo.prices import call_cost
from clew.demo.scenarios import SCENARIOS, SHIPMENT_TRACKER
from clew.demo.script import Reply
from shared.demo import free_three, start

pytestmark = pytest.mark.slow

# The same sums as in the unit tests, worked out on paper.
COSTS = {
    "invoice-bot": "0.003448150",
    "market-researcher": "0.025210900",
    "refund-desk": "0.017111400",
    "shipment-tracker": "0.000955500",
    "support-desk": "0.007371100",
    "travel-planner": "0.000548400",
}
TRACE_ID = re.compile(r"[0-9a-f]{32}")


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    directory = tmp_path_factory.mktemp("once") / "demo"
    earlier = DemoPlace(directory)
    (directory / "left-over").write_text("of an earlier demo")
    earlier.close()
    ports = free_three()
    demo = start(directory, ports, once=True, as_json=True)
    output, errors = demo.communicate(timeout=180)
    assert demo.returncode == 0, errors
    assert ports.are_free()
    assert f"Emptied {directory}, the data of the last demo." in errors
    assert not (directory / "left-over").exists()
    return json.loads(output), directory


def test_summary_has_every_run_and_says_the_costs_are_equal(serving):
    for agent, cost in COSTS.items():
        assert re.search(rf"^{agent} .* {cost} ", serving.text, re.MULTILINE)
    assert "Every cost equals the hand calculation to the last digit: 6 runs," in serving.text


def test_summary_fits_eighty_columns(serving):
    table = serving.text[serving.text.index("agent  ") :]
    assert max(len(line) for line in table.splitlines()) <= 80


def test_last_lines_name_the_looping_run(serving):
    (looping,) = serving.rows("SELECT trace_id FROM loops")
    assert f"show {looping['trace_id']} --query 127.0.0.1:{serving.query}" in serving.text
    assert "export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:" in serving.text
    assert "http://localhost:3000" in serving.text


def test_once_prints_json_and_keeps_the_data(once):
    summary, directory = once
    assert summary["equals_hand_calculation"] is True
    assert summary["differences"] == []
    assert {run["agent_name"]: run["cost_usd"] for run in summary["runs"]} == COSTS
    assert all(TRACE_ID.fullmatch(run["trace_id"]) for run in summary["runs"])
    assert any((directory / "data").iterdir())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.agent)
def test_every_call_is_on_record_with_its_tokens_and_cost(serving, scenario):
    recorded = [
        (
            int(span["InputTokens"]),
            int(span["OutputTokens"]),
            int(span["CacheReadTokens"]),
            int(span["CacheWriteTokens"]),
            int(span["ReasoningTokens"]),
            Decimal(span["CostUsd"]),
        )
        for span in serving.spans(scenario.agent)
        if span["UsageScope"] == "own" and int(span["InputTokens"])
    ]
    models = {"support-desk": "o4-mini", "market-researcher": "o4-mini", "refund-desk": "claude-sonnet-4-6"}
    expected = []
    for answer in scenario.script:
        if isinstance(answer, Reply):
            tokens = answer.tokens
            model = models.get(scenario.agent, "o4-mini" if tokens.reasoning else "gpt-4o-mini")
            kinds = (tokens.input, tokens.output, tokens.cache_read, tokens.cache_write, tokens.reasoning)
            expected.append((*kinds, call_cost(model, tokens)))
    assert recorded == expected


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.agent)
def test_tools_and_gates_on_record_are_the_scenarios(serving, scenario):
    spans = serving.spans(scenario.agent)
    assert Counter(span["Op"] for span in spans)["execute_tool"] == scenario.tool_runs
    gates = Counter(span["GateOutcome"] for span in spans if span["GateName"])
    assert (gates["deny"], gates.total()) == (scenario.gates_denied, scenario.gates)


def test_tree_of_the_looping_run_is_on_record(serving):
    spans = serving.spans(SHIPMENT_TRACKER.agent)

    def subtree(parent: str) -> list:
        return [
            [span["ToolName"] if span["Op"] == "execute_tool" else span["Op"], *subtree(span["SpanId"])]
            for span in spans
            if span["ParentSpanId"] == parent
        ]

    assert subtree("") == [
        [
            "invoke_agent",
            ["step", ["chat"], ["find_order"]],
            *[["step", ["chat"], ["track_shipment"]]] * 6,
        ]
    ]


def test_the_loop_on_record_is_the_scripted_one(serving):
    (loop,) = serving.rows(
        "SELECT agent_name, tool_name, repetitions, wasted_tokens, toString(wasted_cost_usd) AS wasted FROM loops"
    )
    wasted = [answer.tokens for answer in SHIPMENT_TRACKER.script if isinstance(answer, Reply)][-5:]
    assert (loop["agent_name"], loop["tool_name"]) == ("shipment-tracker", "track_shipment")
    assert int(loop["repetitions"]) == SHIPMENT_TRACKER.repetitions
    assert int(loop["wasted_tokens"]) == sum(tokens.input + tokens.output for tokens in wasted)
    assert Decimal(loop["wasted"]) == Decimal("0.000713100")


def test_denied_gates_on_record_are_the_policy_and_the_budget(serving):
    denied = serving.rows(
        "SELECT agent_name, gate_name, kind, phase FROM gates WHERE outcome = 'deny' ORDER BY agent_name"
    )
    assert [tuple(row.values()) for row in denied] == [
        ("market-researcher", "run-budget", "budget", "input"),
        ("refund-desk", "refund-limit", "policy", "pre_tool"),
    ]
