"""Captured payloads of real instrumentations, replayed and read back by SQL, against what was really served.

Each file under each order and batching is a tenant of its own in one database, so one query answers for all of them.
"""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.engine import fresh_store
from shared.payloads import PAYLOADS, bodies, truth
from shared.pipeline import Recorder, arrived, new_pipeline, one_by_one

if TYPE_CHECKING:
    from collections.abc import Iterator

TRUTH = truth()
SHUFFLES = 2

TOKENS = {
    "input_tokens": "input_tokens_total",
    "output_tokens": "output_tokens_total",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "reasoning_tokens": "reasoning",
}
"""Column : total of the truth."""

UNRECORDED_REASONING = "its spans have no reasoning tokens; the output total holds them, so the cost is right"
TRACE_OF_ITS_OWN = "the span that creates the agent is a trace of its own, without a call"
EXCEPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "openllmetry__langchain__openllmetry__S5.otlp": ({"reasoning_tokens": 0}, UNRECORDED_REASONING),
    "openlit__openai-chat__openlit__S5.otlp": ({"reasoning_tokens": 0}, UNRECORDED_REASONING),
    "openlit__langchain__openlit__S5.otlp": ({"reasoning_tokens": 0}, UNRECORDED_REASONING),
    "strands__strands__strands-native__S5.otlp": ({"reasoning_tokens": 0}, UNRECORDED_REASONING),
    "openllmetry__langchain__openllmetry__S4.otlp": ({"runs": 2}, TRACE_OF_ITS_OWN),
    "openllmetry__langchain__openllmetry__S4.nocontent.otlp": ({"runs": 2}, TRACE_OF_ITS_OWN),
    "adk__google-adk__adk-native__S5.otlp": ({"cost": None}, "the truth has no list price for this model's cache"),
}
"""File : (what to expect instead of the truth, why)."""


def recovered(line: dict[str, Any]) -> bool:
    """Does the file hold every call that the server answered with usage?"""
    held = line["recoverable"]
    return held["model_calls_with_right_usage_in_a_span"] >= held["model_calls_with_usage_on_wire"]


def says_nothing(line: dict[str, Any]) -> bool:
    """The official Agents instrumentation alone emits no model call at all."""
    return line["instrumentation_package"].endswith("openai-agents") and not line["stacked"]


def tells_tools(line: dict[str, Any]) -> bool:
    """Are the tool calls anywhere in the spans: as spans of their own, or as calls the model asked for?"""
    has_spans = not any(note.startswith("0 tool spans") for note in line["notes"])
    return bool(has_spans or line["recoverable"]["tool_call_ids_in_spans"])


COVERED = sorted(file for file, line in TRUTH.items() if recovered(line) and not says_nothing(line))
UNCOVERED = sorted(TRUTH.keys() - set(COVERED))


def records(file: str) -> list[ExportTraceServiceRequest]:
    return [ExportTraceServiceRequest.FromString(body) for body in bodies(PAYLOADS / file)]


def orders(file: str) -> Iterator[tuple[str, list[list[ExportTraceServiceRequest]]]]:
    """(name, batches of requests): the file's spans as they came and as they might have come."""
    captured = records(file)
    single = one_by_one(captured)
    yield "as captured", [[body] for body in captured]
    if len(single) == 1:
        return
    yield "in one batch", [captured]
    yield "in one batch backwards", [single[::-1]]
    yield "each span alone", [[body] for body in single]
    yield "each span alone backwards", [[body] for body in single[::-1]]
    for seed in range(SHUFFLES):
        shuffled = random.Random(f"{file} {seed}").sample(single, len(single))
        yield f"shuffled {seed}", [[body] for body in shuffled]
    half = len(single) // 2
    yield "halves swapped", [batch for batch in (single[half:], single[:half]) if batch]


CASES = [(file, order) for file in sorted(TRUTH) for order, _ in orders(file)]


@pytest.fixture(scope="module")
def replayed() -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
    """What each table says: table -> (file, order) -> row."""
    gathered = Recorder()
    for file in TRUTH:
        at = 1 + max(
            s.end_time_unix_nano
            for b in records(file)
            for r in b.resource_spans
            for c in r.scope_spans
            for s in c.spans
        )
        for order, batches in orders(file):
            pipeline = new_pipeline(gathered)
            for batch in batches:
                pipeline.process([arrived(body, tenant=f"{file}|{order}", at=at) for body in batch])
    store = fresh_store()
    gathered.copy_to(store)
    sums = ", ".join(f"sum({name}) AS {name}" for name in TOKENS)
    upper = {name: "".join(word.title() for word in name.split("_")) for name in TOKENS}
    own = ", ".join(f"sum({column}) AS {name}" for name, column in upper.items())
    queries = {
        "runs": f"""
            SELECT tenant_id, count() AS runs, sum(model_calls) AS calls, {sums}, sum(cost_usd) AS cost,
                   sum(tool_calls) AS tool_calls, groupUniqArray(usage_known) AS known, sum(unpriced_calls) AS unpriced,
                   sum(errors) > 0 AS failed
            FROM runs GROUP BY tenant_id""",
        "usage_1m": f"""
            SELECT tenant_id, sumIf(calls, op IN ('chat', 'text_completion', 'generate_content')) AS calls, {sums},
                   sum(cost_usd) AS cost, groupUniqArrayIf(provider, usage_1m.input_tokens > 0) AS providers
            FROM usage_1m GROUP BY tenant_id""",
        "otel_traces": f"""
            SELECT TenantId AS tenant_id, {own}, sum(CostUsd) AS cost
            FROM otel_traces_full WHERE UsageScope = 'own' GROUP BY TenantId""",
        "spans": "SELECT TenantId AS tenant_id, count() AS spans FROM otel_traces GROUP BY TenantId",
    }  # fmt: skip
    answers = {}
    for name, sql in queries.items():
        rows = store.client.query(sql).named_results()
        answers[name] = {tuple(row.pop("tenant_id").split("|")): row for row in map(dict, rows)}
    return answers


def test_every_sample_is_here():
    assert len(COVERED) > 100
    assert {TRUTH[file]["instrumentation"] for file in COVERED} == {
        "genai", "openinference", "openllmetry", "openlit", "logfire", "native", "langfuse", "ai-sdk", "adk-native",
        "strands-native",
    }  # fmt: skip
    assert {TRUTH[file]["library"] for file in UNCOVERED} == {"openai-agents"}
    assert EXCEPTIONS.keys() <= set(COVERED)


@pytest.mark.parametrize(("file", "order"), [case for case in CASES if case[0] in COVERED])
def test_calls_tokens_tools_and_cost_equal_the_truth(replayed, file, order):
    line = TRUTH[file]
    truth = line["truth"]
    listed = truth["totals"]["cost_usd_at_list"]
    wanted = {column: truth["totals"][total] for column, total in TOKENS.items()}
    wanted |= {"runs": truth["runs"], "cost": None if listed is None else Decimal(repr(listed))}
    wanted |= EXCEPTIONS.get(file, ({}, ""))[0]

    run = replayed["runs"][file, order]
    minutes = replayed["usage_1m"][file, order]
    spans = replayed["otel_traces"].get((file, order), dict.fromkeys([*TOKENS, "cost"], 0))  # all calls failed
    assert (run["calls"], minutes["calls"]) == (truth["model_calls"],) * 2
    for column in TOKENS:
        assert (run[column], minutes[column], spans[column]) == (wanted[column],) * 3, column
    cost = run["cost"] if wanted["cost"] is None else wanted["cost"]
    assert (run["cost"], minutes["cost"], spans["cost"]) == (cost,) * 3
    assert (cost > 0) == (wanted["input_tokens"] > 0)
    assert run["runs"] == wanted["runs"]
    assert run["known"] == ["complete"]
    assert run["unpriced"] == 0
    assert run["failed"] == (truth["model_calls_failed"] > 0)
    if tells_tools(line):
        assert run["tool_calls"] == truth["tool_calls"]


@pytest.mark.parametrize(("file", "order"), [case for case in CASES if case[0] in UNCOVERED])
def test_a_file_without_its_calls_gives_no_cost_and_is_marked(replayed, file, order):
    run = replayed["runs"][file, order]
    assert run["known"] == ["missing"]
    assert [run["calls"], run["cost"], *(run[column] for column in TOKENS)] == [0, 0, 0, 0, 0, 0, 0]
    assert replayed["usage_1m"][file, order]["cost"] == 0
    assert (file, order) not in replayed["otel_traces"]


VENDORS = {"openai.chat": "openai", "openai.responses": "openai", "anthropic": "anthropic", "google": "gcp.gemini"}


@pytest.mark.parametrize("file", COVERED)
def test_calls_are_counted_under_the_vendor_that_answered(replayed, file):
    vendors = {VENDORS[call["api"]] for call in TRUTH[file]["truth"]["per_call"] if call["input_tokens_total"]}
    assert set(replayed["usage_1m"][file, "as captured"]["providers"]) == vendors


def test_no_span_gets_lost_on_the_way(replayed):
    for file, order in CASES:
        assert replayed["spans"][file, order]["spans"] == len(one_by_one(records(file))), (file, order)
