"""What coding agents that sent nothing but log records did, read back by SQL, against what was really served."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared.engine import fresh_store
from shared.payloads import bodies
from shared.pipeline import Recorder, arrived_logs, new_pipeline

AGENTS = Path(__file__).parents[1] / "corpus" / "agents"
TRUTH = {
    line["file"]: line
    for line in map(json.loads, (AGENTS / "truth.jsonl").read_text("utf-8").splitlines())
    if line["file"] == line["logs"]
}
CAPTURED = 1_795_300_000_000_000_000
"""A day later than all of them."""

NO_TURN = "no record says of which turn it is"
NO_RECORD = "nothing is sent about this decision"
EXCEPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "codex__codex__native__two.logs.otlp": ({"runs": 1}, NO_TURN),
    "codex__codex__native__two.resumed.logs.otlp": ({"runs": 1}, NO_TURN),
    "codex__codex__native__S7.logs.otlp": ({"model_calls": 0}, "no record tells attempts from calls that failed"),
    "codex__codex__native__S4.mcp.logs.otlp": ({"gates": {}}, NO_RECORD),
    "claude-code__claude-code__native__denied.nobody.logs.otlp": ({"gates": {}}, NO_RECORD),
    "claude-code__hostile__hand__logs.logs.otlp": (
        {"model_calls": 2, "runs": 2},
        "a call whose usage cannot be read and which is of no prompt is a call",
    ),
}
"""File : (what to expect instead of the truth, why)."""
UNKNOWN = {"codex__codex__hand__S4.websocket.logs.otlp"}
"""Files with a gate whose outcome the agent's table does not know."""


@pytest.fixture(scope="module")
def replayed() -> dict[str, dict[str, Any]]:
    """Each file, every record a request of its own and the whole file again afterwards, as a tenant of its name."""
    sink, store = Recorder(), fresh_store()
    pipeline = new_pipeline(sink, resend_horizon_s=600)
    for name in TRUTH:
        for again in (0, 1):
            pipeline.process([arrived_logs(body, tenant=name, at=CAPTURED + again) for body in bodies(AGENTS / name)])
    sink.copy_to(store)
    runs = store.client.query(
        "SELECT tenant_id, count() AS runs, sum(model_calls) AS model_calls, sum(tool_calls) AS tool_calls, "
        "sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, sum(cache_read_tokens) AS cache_read, "
        "sum(cache_write_tokens) AS cache_write, sum(cost_usd) AS cost FROM runs GROUP BY tenant_id"
    )
    gates = store.client.query("SELECT tenant_id, outcome, count() FROM gates GROUP BY ALL").result_rows
    found = {row.pop("tenant_id"): row for row in runs.named_results()}
    for tenant, row in found.items():
        row["gates"] = {outcome: count for of, outcome, count in gates if of == tenant}
    return found


def test_there_are_files_of_each_agent():
    assert len(TRUTH) > 30
    assert {line["family"] for line in TRUTH.values()} == {"claude-code", "codex", "gemini-cli"}
    assert EXCEPTIONS.keys() | UNKNOWN <= TRUTH.keys()


@pytest.mark.parametrize("name", TRUTH)
def test_calls_tokens_tools_gates_and_cost_equal_the_truth(replayed, name):
    truth, found = TRUTH[name]["truth"], replayed[name]
    totals = truth["totals"]
    wanted = {column: truth[column] for column in ("runs", "model_calls", "tool_calls")}
    wanted |= {"input_tokens": totals["input_tokens_total"], "output_tokens": totals["output_tokens_total"]}
    wanted |= {column: totals[column] for column in ("cache_read", "cache_write")}
    wanted |= {"cost": Decimal(totals["cost_usd_at_list"])}
    wanted |= {"gates": dict(Counter(gate["outcome"] for gate in truth["gates"]))}
    wanted |= EXCEPTIONS.get(name, ({}, ""))[0]
    if name in UNKNOWN:
        assert found.pop("gates").get("unknown")
        del wanted["gates"]
    assert found == wanted
