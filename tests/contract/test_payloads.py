"""Captured payloads of the official instrumentations, replayed and read back by SQL, against what was really served.

Each file under each order and batching is a tenant of its own in one database, so one query answers for all of them.
"""

from __future__ import annotations

import json
import random
import struct
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.engine import fresh_store
from shared.pipeline import Recorder, arrived, new_pipeline, one_by_one

if TYPE_CHECKING:
    from collections.abc import Iterator

PAYLOADS = Path(__file__).parent / "payloads"
TRUTH = {line["file"]: line for line in map(json.loads, (PAYLOADS / "truth.jsonl").read_text("utf-8").splitlines())}
SHUFFLES = 2

TOKENS = {
    "input_tokens": "input_tokens_total",
    "output_tokens": "output_tokens_total",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "reasoning_tokens": "reasoning",
}
"""Column : total of the truth."""


def recovered(line: dict[str, Any]) -> bool:
    """Does the file hold every call that the server answered with usage?"""
    held = line["recoverable"]
    return held["model_calls_with_right_usage_in_a_span"] >= held["model_calls_with_usage_on_wire"]


def says_nothing(line: dict[str, Any]) -> bool:
    """The official Agents instrumentation alone emits no model call at all."""
    return line["instrumentation_package"].endswith("openai-agents") and not line["stacked"]


COVERED = sorted(file for file, line in TRUTH.items() if recovered(line) and not says_nothing(line))
UNCOVERED = sorted(TRUTH.keys() - set(COVERED))


def records(file: str) -> list[ExportTraceServiceRequest]:
    data, at, found = (PAYLOADS / file).read_bytes(), 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        found.append(ExportTraceServiceRequest.FromString(data[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


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
                   sum(cost_usd) AS cost
            FROM usage_1m GROUP BY tenant_id""",
        "otel_traces": f"""
            SELECT TenantId AS tenant_id, {own}, sum(CostUsd) AS cost
            FROM otel_traces LEFT ANTI JOIN span_corrections AS c
              ON c.tenant_id = TenantId AND c.trace_id = TraceId AND c.span_id = SpanId
            WHERE UsageScope = 'own' GROUP BY TenantId""",
        "spans": "SELECT TenantId AS tenant_id, count() AS spans FROM otel_traces GROUP BY TenantId",
    }  # fmt: skip
    answers = {}
    for name, sql in queries.items():
        rows = store.client.query(sql).named_results()
        answers[name] = {tuple(row.pop("tenant_id").split("|")): row for row in map(dict, rows)}
    return answers


def test_every_official_sample_is_here():
    assert len(COVERED) > 20
    assert {TRUTH[file]["library"] for file in COVERED} == {
        "openai-chat", "openai-responses", "anthropic", "langchain", "openai-agents+openai"
    }  # fmt: skip
    assert {TRUTH[file]["library"] for file in UNCOVERED} == {"openai-agents"}


@pytest.mark.parametrize(("file", "order"), [case for case in CASES if case[0] in COVERED])
def test_calls_tokens_tools_and_cost_equal_the_truth(replayed, file, order):
    truth, held = TRUTH[file]["truth"], TRUTH[file]["recoverable"]
    run = replayed["runs"][file, order]
    minutes = replayed["usage_1m"][file, order]
    spans = replayed["otel_traces"].get((file, order), dict.fromkeys([*TOKENS, "cost"], 0))  # all calls failed
    cost = Decimal(repr(truth["totals"]["cost_usd_at_list"]))

    assert (run["calls"], minutes["calls"]) == (truth["model_calls"],) * 2
    for column, total in TOKENS.items():
        assert (run[column], minutes[column], spans[column]) == (truth["totals"][total],) * 3, column
    assert (run["cost"], minutes["cost"], spans["cost"]) == (cost,) * 3
    assert run["runs"] == truth["runs"]
    assert run["known"] == ["complete"]
    assert run["unpriced"] == 0
    assert run["failed"] == (truth["model_calls_failed"] > 0)
    if held["tool_call_ids_in_spans"]:
        assert run["tool_calls"] == truth["tool_calls"]


@pytest.mark.parametrize(("file", "order"), [case for case in CASES if case[0] in UNCOVERED])
def test_a_file_without_its_calls_gives_no_cost_and_is_marked(replayed, file, order):
    run = replayed["runs"][file, order]
    assert run["known"] == ["missing"]
    assert [run["calls"], run["cost"], *(run[column] for column in TOKENS)] == [0, 0, 0, 0, 0, 0, 0]
    assert replayed["usage_1m"][file, order]["cost"] == 0
    assert (file, order) not in replayed["otel_traces"]


def test_no_span_gets_lost_on_the_way(replayed):
    for file, order in CASES:
        assert replayed["spans"][file, order]["spans"] == len(one_by_one(records(file))), (file, order)
