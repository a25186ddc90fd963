"""What each span says: names and attributes of agents, tools, steps, gates and outcomes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

import clew
from clew import _content, _guard
from clew.testing import record


def test_agent_span_follows_the_conventions(recorded):
    @clew.agent(name="planner", version="2")
    def run():
        pass

    run()
    span = recorded.only()
    assert span.name == "invoke_agent planner"
    assert span.kind is SpanKind.INTERNAL
    assert span.attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "planner",
        "gen_ai.agent.version": "2",
        "clew.status": "ok",
    }


def test_agent_without_a_name_has_its_functions(recorded):
    @clew.agent
    def research():
        pass

    research()
    assert recorded.only().name == "invoke_agent research"


def test_tool_span_has_arguments_by_name_and_result(recorded):
    @clew.tool(name="search")
    def find(query, limit=5, *more, deep=False):
        """Finds things.

        At length.
        """
        return {"hits": [query] * 2}

    find("a", 3, "x", deep=True)
    span = recorded.only()
    assert span.name == "execute_tool search"
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.description": "Finds things.",
        "gen_ai.tool.call.arguments": '{"query":"a","limit":3,"more":["x"],"deep":true}',
        "gen_ai.tool.call.result": '{"hits":["a","a"]}',
        "clew.status": "ok",
    }


def test_arguments_are_recorded_as_they_were_given(recorded):
    @clew.tool
    def empties(items):
        items.clear()

    empties([1, 2])
    assert recorded.only().attributes["gen_ai.tool.call.arguments"] == '{"items":[1,2]}'


def test_no_content_is_put_on_spans_where_it_is_not_recorded():
    @clew.tool
    def find(query):
        return query

    with record(content="off") as spans:
        find("secret")
        with clew.step("plan") as step:
            step.decide("secret", options=["secret"], reason="secret", confidence=0.5)
            step.summarise("secret")
        with clew.gate("g", kind="policy") as gate:
            gate.deny("secret")
        clew.outcome("failure", expected="secret")
    assert "secret" not in spans.to_json()
    spans.assert_attributes("step plan", {"clew.decision.confidence": 0.5})


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    at: datetime


class Opaque:
    pass


class Breaks:
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Zürich", "Zürich"),
        ({"a": (1, None, True)}, {"a": [1, None, True]}),
        (Colour.RED, "red"),
        (Point(1, datetime(2026, 1, 2, tzinfo=UTC)), {"x": 1, "at": "2026-01-02T00:00:00+00:00"}),
        ({3, 1, 2}, [1, 2, 3]),
        (b"abc", "abc"),
        (Decimal("1.10"), "1.10"),
        (Opaque(), "<Opaque>"),
        (Breaks(), "<Breaks>"),
        ([math.nan], "[nan]"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
)
def test_any_value_becomes_valid_json(value, expected):
    assert json.loads(_content.to_json(value)) == expected


def test_a_cycle_becomes_valid_json():
    cycle = []
    cycle.append(cycle)
    assert json.loads(_content.to_json(cycle)) == "[[...]]"


def test_steps_are_numbered_within_one_agent_invocation(recorded):
    @clew.agent(name="inner")
    def inner():
        with clew.step("act", name="inner first"):
            pass

    @clew.agent(name="outer")
    def outer():
        with clew.step("plan", name="first"):
            inner()
            with clew.step("reflect", name="second"):
                pass
        with clew.step("act", name="third"):
            pass

    outer()
    indexes = {
        span.name: span.attributes["clew.step.index"] for span in recorded if span.attributes.get("clew.op") == "step"
    }
    assert indexes == {"step first": 1, "step inner first": 1, "step second": 2, "step third": 3}
    assert recorded.named("step inner first").attributes["gen_ai.agent.name"] == "inner"


def test_step_outside_of_an_agent_has_no_index(recorded):
    with clew.step("reason"):
        pass
    assert dict(recorded.only().attributes) == {"clew.op": "step", "clew.step.kind": "reason", "clew.status": "ok"}


def test_step_records_what_was_decided(recorded):
    with clew.step("route", name="who goes on") as step:
        step.decide(
            "billing",
            options=["billing", "sales"],
            rejected=["sales"],
            rejected_reasons=["no order"],
            confidence=0.75,
            reason="asks for an invoice",
        )
        step.summarise("the customer wants an invoice")
        step.finished("continue")
    assert dict(recorded.only().attributes) == {
        "clew.op": "step",
        "clew.step.kind": "route",
        "clew.step.name": "who goes on",
        "clew.decision.chosen": "billing",
        "clew.decision.options": ("billing", "sales"),
        "clew.decision.rejected": ("sales",),
        "clew.decision.rejected_reasons": ("no order",),
        "clew.decision.confidence": 0.75,
        "clew.decision.reason": "asks for an invoice",
        "clew.step.summary": "the customer wants an invoice",
        "clew.step.finish_reason": "continue",
        "clew.status": "ok",
    }


@pytest.mark.parametrize(
    ("decide", "outcome"),
    [
        (lambda gate: gate.allow(), "allow"),
        (lambda gate: gate.deny("r"), "deny"),
        (lambda gate: gate.modify("r"), "modify"),
        (lambda gate: gate.warn("r"), "warn"),
        (lambda gate: gate.require_approval("r"), "require_approval"),
        (lambda gate: gate.timeout("r"), "timeout"),
        (lambda gate: gate.abort("r"), "abort"),
        (lambda _gate: None, "unknown"),
        (lambda gate: (gate.require_approval(), gate.allow()), "allow"),
    ],
)
def test_gate_records_the_last_decision(recorded, decide, outcome):
    with clew.gate("refunds", kind="policy") as gate:
        decide(gate)
    assert recorded.only().name == "gate refunds"
    assert recorded.only().attributes["clew.gate.outcome"] == outcome


def test_gate_records_what_it_guards_and_who_decided(recorded):
    with clew.gate(
        "refunds",
        kind="human",
        phase="pre_tool",
        target="tool_call",
        target_id="call_1",
        policy="refund-policy",
        policy_version="7",
    ) as gate:
        gate.allow("looks right", scope="session")
        gate.decided_by("user", actor="human", actor_id="u-17", rule="r-1", score=1)
    assert dict(recorded.only().attributes) == {
        "clew.op": "gate",
        "clew.gate.name": "refunds",
        "clew.gate.kind": "human",
        "clew.gate.phase": "pre_tool",
        "clew.gate.target.kind": "tool_call",
        "clew.gate.target.id": "call_1",
        "clew.gate.policy_id": "refund-policy",
        "clew.gate.policy_version": "7",
        "clew.gate.outcome": "allow",
        "clew.gate.reason": "looks right",
        "clew.gate.scope": "session",
        "clew.gate.source": "user",
        "clew.gate.actor.type": "human",
        "clew.gate.actor.id": "u-17",
        "clew.gate.rule_id": "r-1",
        "clew.gate.wait_ms": 0,
        "clew.gate.score": 1.0,
        "clew.status": "ok",
    }


@pytest.mark.parametrize(
    ("decide", "waited_ms"),
    [
        (lambda clock, gate: (clock.advance(1.5), gate.allow(), clock.advance(60)), 1500),  # the action is not the wait
        (lambda clock, gate: (clock.advance(1), gate.require_approval(), clock.advance(2), gate.deny()), 3000),
        (lambda clock, gate: (clock.advance(1), gate.require_approval(), clock.advance(2)), 3000),  # nobody answered
        (lambda clock, _gate: clock.advance(0.25), 250),
    ],
)
def test_gate_measures_the_time_to_the_decision(recorded, decide, waited_ms):
    with clew.gate("g", kind="human") as gate:
        decide(recorded.clock, gate)
    assert recorded.only().attributes["clew.gate.wait_ms"] == waited_ms


def test_outcome_goes_to_the_agent_whatever_is_current(recorded):
    @clew.agent(name="agent")
    def run():
        with clew.step("act"), trace.get_tracer("else").start_as_current_span("inner"):
            clew.outcome(
                "partial",
                score=0.5,
                expected="e",
                actual="a",
                complexity="medium",
                labels=["late", "vip"],
                source="evaluator",
            )

    run()
    outcome = {
        name: value
        for name, value in recorded.named("invoke_agent agent").attributes.items()
        if name.startswith("clew.outcome")
    }
    assert outcome == {
        "clew.outcome.status": "partial",
        "clew.outcome.score": 0.5,
        "clew.outcome.expected": "e",
        "clew.outcome.actual": "a",
        "clew.outcome.complexity": "medium",
        "clew.outcome.labels": ("late", "vip"),
        "clew.outcome.source": "evaluator",
    }


def test_outcome_outside_of_an_agent_goes_to_the_current_span(recorded):
    with trace.get_tracer("else").start_as_current_span("request"):
        clew.outcome("success")
    assert recorded.only().attributes["clew.outcome.status"] == "success"


def test_outcome_without_any_span_is_harmless(recorded):
    clew.outcome("success")
    assert not len(recorded)


@pytest.mark.parametrize(
    ("record", "kept"),
    [
        (lambda: clew.step("itrate").__enter__().__exit__(None, None, None), {"clew.step.kind": "other"}),
        (lambda: clew.gate("g", kind="polcy").__enter__().__exit__(None, None, None), {"clew.gate.name": "g"}),
    ],
)
def test_unknown_word_is_said_once_with_the_nearest_known(recorded, caplog, record, kept):
    record()
    record()
    [line] = [entry.getMessage() for entry in caplog.records if entry.name == "clew"]
    assert "did you mean 'iterate'" in line or "did you mean 'policy'" in line
    for span in recorded:
        assert kept.items() <= dict(span.attributes).items()


def test_words_of_a_wrong_type_are_no_matter(recorded):
    with clew.step(["plan"]) as step, clew.gate("g", kind={}) as gate:
        step.finished([])
        gate.allow(scope=[])
    clew.outcome(["success"])
    assert recorded.named("gate g").attributes["clew.gate.outcome"] == "allow"


def test_failure_of_clew_itself_does_not_reach_the_agent(recorded, monkeypatch, caplog):
    monkeypatch.setattr(_guard, "strict", False)
    monkeypatch.setattr("clew._spans.scope.set_span_in_context", lambda *_: 1 / 0)

    @clew.agent
    def run():
        return "answer"

    assert run() == run() == "answer"
    [line] = [entry for entry in caplog.records if entry.name == "clew"]
    assert "recording an agent" in line.getMessage()


def test_decorated_code_runs_in_silence_where_nothing_is_set_up():
    code = """
import clew
@clew.tool
def tool(): return 1
@clew.agent
def agent():
    with clew.step("plan") as step, clew.gate("g", kind="policy") as gate:
        step.decide("x"); gate.allow("y"); clew.outcome("success")
        return tool()
assert agent() == 1
assert clew.flush() is True
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
