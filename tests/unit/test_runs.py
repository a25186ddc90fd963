"""The view `runs`: what a run's spans make of it. Each case is a tenant of one store; most arrive span by span."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from shared.engine import fresh_store
from shared.genai import agent, at, chat, gate, outcome, tool
from shared.otlp import T0, Span, request, span
from shared.pipeline import Recorder, arrived, new_pipeline

TOKENS = {"input": 100, "output": 10}
UNKNOWN = 77  # a parent that has not arrived

root_ok = agent(1, "boss", start=at(0), end=at(9))
root_failed = agent(1, "boss", start=at(0), end=at(9), attributes={"error.type": "Timeout"})
inner_failed = agent(2, "clerk", parent_id=1, start=at(1), end=at(5), attributes={"error.type": "Timeout"})
call = chat(3, tokens=TOKENS, parent_id=2, response="r", start=at(2), end=at(3))

CASES: dict[str, tuple[list[Span], dict[str, Any]]] = {
    "runs while neither its root nor an agent has ended": (
        [chat(3, tokens=TOKENS, parent_id=UNKNOWN)],
        {"status": "running", "agent_name": "", "model_calls": 1},
    ),
    "runs while only a tool has failed": ([tool(3, failed=True, parent_id=UNKNOWN)], {"status": "running",
    "errors": 1}),
    "ends as its root ends": ([call, inner_failed, root_ok], {"status": "ok", "agent_name": "boss", "errors": 1}),
    "fails as its root fails": ([root_failed, call], {"status": "error"}),
    "ends as its outermost agent does where the root is not ours": (
        [call, inner_failed], {"status": "error", "agent_name": "clerk"},
    ),
    "has a root that is no GenAI span": (
        # it is not counted, so it cannot tell the status
        [span("GET /", span_id=1), agent(2, parent_id=1)], {"status": "ok", "spans": 1, "service_name": "test"},
    ),
    "is interrupted by control flow": (
        [agent(1, attributes={"error.type": "langgraph.errors.GraphInterrupt"})], {"status": "interrupted",
        "errors": 0},
    ),
    "takes the agent's name from a span that only names it": (
        [chat(3, tokens=TOKENS, parent_id=UNKNOWN, attributes={"gen_ai.agent.name": "clerk"})],
        {"status": "running", "agent_name": "clerk"},
    ),
    "prefers the agent that was invoked to one that is named": (
        [chat(3, start=at(-5), attributes={"gen_ai.agent.name": "named"}, parent_id=UNKNOWN), inner_failed],
        {"agent_name": "clerk"},
    ),
    "keeps conversation, user and version": (
        [agent(1, attributes={"gen_ai.conversation.id": "c", "user.id": "u", "gen_ai.agent.version": "2"}), call],
        {"conversation_id": "c", "user_id": "u", "agent_version": "2"},
    ),
    "lasts from its first start to its last end": (
        [call, root_ok],
        {
            "started_at": datetime.fromtimestamp(T0 // 10**9, UTC),
            "ended_at": datetime.fromtimestamp(T0 // 10**9 + 9, UTC),
            "duration_ms": 9000,
        },
    ),
    "counts steps where it has them": (
        [span("step", {"clew.step.kind": "plan"}, span_id=i, parent_id=1) for i in (5, 6)] + [call],
        {"steps": 2, "model_calls": 1},
    ),
    "counts model calls as steps where it has none": ([call, root_ok], {"steps": 1}),
    "counts tool spans where it has them": (
        [chat(3, tokens=TOKENS, asks=[("a", {}), ("b", {})]), tool(4, "a", {})], {"tool_calls": 1},
    ),
    "counts what models asked for where it has none": (
        [chat(3, tokens=TOKENS, asks=[("a", {}), ("b", {})])], {"tool_calls": 2},
    ),
    "adds up tokens and money": (
        [call, chat(4, tokens=TOKENS, response="s"), chat(5, tokens={"input": 1, "output": 0, "read": 1},
        response="t")],
        {
            "input_tokens": 201, "output_tokens": 20, "cache_read_tokens": 1, "model_calls": 3,
            "cost_usd": Decimal("0.000042075"), "usage_known": "complete", "unpriced_calls": 0,
        },
    ),
    "is unpriced, not free, by an unknown model": (
        [chat(3, tokens=TOKENS, model="nobody-knows-1")], {"cost_usd": 0, "unpriced_calls": 1, "input_tokens": 100},
    ),
    "has no agent's sum counted on top": (
        [agent(1, attributes={"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}), call],
        {"input_tokens": 100, "cost_usd": Decimal("0.000021000")},
    ),
    "misses its usage where agents tell of no call": ([root_ok, tool(4)], {"usage_known": "missing", "cost_usd": 0}),
    "knows its usage from the agent where calls are not told of": (
        [agent(1, attributes={"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}), tool(4)],
        {"usage_known": "complete", "input_tokens": 100, "model_calls": 0},
    ),
    "knows part of its usage where a call told none": (
        [call, chat(4, response="s")], {"usage_known": "partial", "unpriced_calls": 1},
    ),
    "misses nothing where the call without usage failed": (
        [call, chat(4, attributes={"error.type": "Overloaded"})], {"usage_known": "complete", "errors": 1},
    ),
    "counts its gates": (
        [
            gate(4, "deny"), gate(5, "allow"), gate(6, "abort", name="budget"),
            span("gate", {"clew.gate.name": "human", "clew.gate.outcome": "allow", "clew.gate.wait_ms": 1500},
            span_id=7),
        ],
        {"gates": 4, "gates_denied": 2, "gate_wait_ms": 1500},
    ),
    "has no outcome unless told": ([root_ok], {"outcome": "", "outcome_score": None}),
    "takes a user's outcome before its agent's later one": (
        [
            outcome(4, "failure", source="user", score=0.25, start=at(1)),
            outcome(5, "success", source="agent", score=1.0, start=at(2)),
        ],
        {"outcome": "failure", "outcome_score": 0.25},
    ),
    "takes an evaluator's outcome before the system's and the agent's": (
        [
            outcome(4, "success", source="agent", start=at(3)), outcome(5, "partial", source="evaluator", start=at(1)),
            outcome(6, "failure", source="system", start=at(2)),
        ],
        {"outcome": "partial", "outcome_score": None},
    ),
    "takes the latest of equally strong outcomes": (
        [outcome(4, "failure", source="user", start=at(2)), outcome(5, "success", source="user", start=at(3))],
        {"outcome": "success"},
    ),
    "holds a score to 0..1": ([outcome(4, "success", score=7.0)], {"outcome_score": 1.0}),
    "has no score that is no number": ([outcome(4, "success", score=float("nan"))], {"outcome_score": None}),
    "is kept": ([root_ok], {"sampled": 1}),
}  # fmt: skip


@pytest.fixture(scope="module")
def runs() -> dict[tuple[str, str], dict[str, Any]]:
    """(case, how it arrived) -> its row."""
    sink = Recorder()
    for name, (spans, _) in CASES.items():
        for how, batches in {
            "at once": [spans],
            "one by one": [[each] for each in spans],
            "backwards": [[each] for each in spans[::-1]],
        }.items():
            pipeline = new_pipeline(sink)
            for batch in batches:
                pipeline.process([arrived(request(*batch), tenant=f"{name}|{how}")])
    store = fresh_store()
    sink.copy_to(store)
    rows = store.client.query("SELECT * FROM runs", tz_mode="aware").named_results()
    return {tuple(row["tenant_id"].split("|")): row for row in rows}


@pytest.mark.parametrize("how", ["at once", "one by one", "backwards"])
@pytest.mark.parametrize("name", CASES)
def test_a_run(runs, name, how):
    row = runs[name, how]
    expected = CASES[name][1]
    assert {column: row[column] for column in expected} == expected


def test_order_leaves_no_trace_in_any_column(runs):
    for name in CASES:
        rows = [{**runs[name, how], "tenant_id": ""} for how in ("at once", "one by one", "backwards")]
        assert rows[0] == rows[1] == rows[2], name


def test_what_is_neither_genai_nor_clew_is_no_run():
    sink = Recorder()
    new_pipeline(sink).process([arrived(request(span("GET /"), span("SELECT", {"db.system": "x"}, span_id=2)))])
    assert sink.rows("run_deltas") == []
    assert sink.rows("usage_1m") == []
    assert len(sink.rows("otel_traces")) == 2


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_trace_left_with_nothing_but_copies_is_no_run(order):
    sink, store = Recorder(), fresh_store()
    pipeline = new_pipeline(sink)
    for number in order:
        copy = chat(number, tokens=TOKENS, response="r", trace_id=number)
        pipeline.process([arrived(request(copy))])
    sink.copy_to(store)
    assert store.client.query("SELECT trace_id FROM runs").result_columns == [[f"{1:032x}"]]
