"""The project's own payloads, replayed and read back by SQL: equal to golden rows, and those to what was served."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
import yaml

from corpus.golden import FOLDERS, GOLDEN, HERE, Payload, corpus, rows, text
from corpus.record.scrub import strings

CORPUS = {payload.name: payload for payload in corpus()}
KNOWN = yaml.safe_load((HERE / "known.yaml").read_text("utf-8"))
"""Test -> payload -> why its golden rows do not yet agree with the truth."""
NOBODYS_HOME = re.compile(r"/home/dev/[\w./-]*")
TOKENS = {
    "input_tokens": "input_tokens_total",
    "output_tokens": "output_tokens_total",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "reasoning_tokens": "reasoning",
}
"""Column of `runs` : kind of the truth."""


@pytest.fixture(scope="module")
def replayed() -> dict[str, list[dict[str, Any]]]:
    return rows(CORPUS.values())


def cases(test: str) -> list[Any]:
    """Payloads, those that are known to disagree marked as such: agreeing all of a sudden is noticed, too."""
    known = KNOWN[test] or {}
    assert set(known) <= set(CORPUS), "payloads that are not there"
    return [
        pytest.param(name, marks=pytest.mark.xfail(reason=known[name])) if name in known else name for name in CORPUS
    ]


def held(payload: Payload, kind: str) -> bool:
    """Does the file hold this kind of tokens of every call that was served with usage?"""
    found = payload.line["recoverable"]
    if kind in ("input_tokens_total", "output_tokens_total"):
        return found["model_calls_with_right_usage_in_a_span"] == found["model_calls_with_usage_on_wire"]
    return found.get(f"{kind}_in_a_span", 0) == found.get(f"{kind}_truth", 0)


def expected(payload: Payload, kind: str) -> Decimal:
    """What was served and stands in the file: the model calls, and the embeddings where their usage is recorded."""
    truth, found = payload.line["truth"], payload.line["recoverable"]
    embedded = truth["per_embedding"] if found.get("embeddings_with_right_usage_in_a_span") else []
    parts = [truth["totals_on_wire"], *embedded]
    return sum((Decimal(str(part.get(kind) or 0)) for part in parts), Decimal(0))


def runs(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line["run"] for line in lines if "run" in line]


def total(lines: list[dict[str, Any]], column: str) -> Decimal:
    return sum((Decimal(str(run.get(column, 0))) for run in runs(lines)), Decimal(0))


def test_every_file_has_its_truth_and_the_other_way_round():
    for folder in FOLDERS:
        there = {path.name for path in (HERE / folder).glob("*.otlp")}
        lines = [payload.line for payload in CORPUS.values() if payload.folder == folder]
        said = [name for line in lines for name in {line["file"], line["logs"]} - {None}]
        assert sorted(said) == sorted(there), folder


def test_the_corpus_is_wide():
    lines = [payload.line for payload in CORPUS.values()]
    assert len(lines) >= 150
    assert {line["dialect"] for line in lines} >= {
        "otel_genai", "otel_genai_1_36", "openinference", "openllmetry", "openlit", "vercel_ai", "pydantic_ai",
        "logfire", "langfuse", "langsmith", "mlflow", "google_adk", "semantic_kernel", "autogen", "agent_framework",
        "strands", "haystack", "livekit", "litellm", "agentops", "laminar", "mcp", "claude_code", "codex_cli",
        "gemini_cli", "copilot_cli",
    }  # fmt: skip
    assert {line["scenario"] for line in lines} >= {*(f"S{number}" for number in range(1, 13)), "C1"}
    assert sum(line["stacked"] for line in lines) >= 20
    assert sum(not line["content"] for line in lines) >= 10
    assert sum(line["captured"] for line in lines) >= 150


@pytest.mark.parametrize("name", CORPUS)
def test_no_payload_tells_where_it_was_recorded(name):
    payload = CORPUS[name]
    for request in (*payload.traces(), *payload.logs()):
        for said in strings(request):
            told = NOBODYS_HOME.sub("", said)
            assert not [word for word in ("/root/", "/home/", "/tmp/", "/work/", "/Users/") if word in told], said


@pytest.mark.parametrize("name", CORPUS)
def test_rows_are_the_golden_ones(replayed, name):
    golden = (GOLDEN / f"{name}.jsonl").read_text("utf-8")
    assert text(replayed[name]).splitlines() == golden.splitlines()


@pytest.mark.parametrize("name", cases("usage"))
def test_golden_rows_agree_with_what_was_served(name):
    payload = CORPUS[name]
    truth, found = payload.line["truth"], payload.line["recoverable"]
    lines = [json.loads(line) for line in (GOLDEN / f"{name}.jsonl").read_text("utf-8").splitlines()]
    counted = [run for run in runs(lines) if run.get("model_calls")]
    unsent = any(not call["usage_on_wire"] for call in truth["per_call"])
    if unsent or not held(payload, "input_tokens_total"):
        # What stands nowhere in the file is not made up: calls that are there without it are marked.
        assert total(lines, "model_calls") <= truth["model_calls"]
        if total(lines, "model_calls") == len(truth["per_call"]):
            assert [run for run in counted if run["usage_known"] != "complete"]
        return
    if not truth["model_calls_failed"] or found.get("failed_call_in_a_span"):
        assert total(lines, "model_calls") == truth["model_calls"]
    for column, kind in TOKENS.items():
        if held(payload, kind):
            assert total(lines, column) == expected(payload, kind), column
    priced = truth["totals_on_wire"]["cost_usd_at_list"] is not None
    if priced and all(held(payload, kind) for kind in TOKENS.values()):
        assert total(lines, "cost_usd") == expected(payload, "cost_usd_at_list")


@pytest.mark.parametrize("name", cases("tools"))
def test_golden_rows_have_the_tool_calls_that_ran(name):
    payload = CORPUS[name]
    truth, found = payload.line["truth"], payload.line["recoverable"]
    lines = [json.loads(line) for line in (GOLDEN / f"{name}.jsonl").read_text("utf-8").splitlines()]
    if not (found["tool_spans"] or found.get("tool_logs")):
        return
    # Frameworks that hand over or end by a tool of their own make spans of it; a tool that asks first is there twice.
    more = truth["handoffs"] + truth.get("final_answer_calls", 0) + len(truth["gates"])
    assert truth["tool_calls"] <= total(lines, "tool_calls") + len(truth["gates"])
    assert total(lines, "tool_calls") <= truth["tool_calls"] + more
    if truth["gates"] and not truth["http_errors"]:
        assert total(lines, "errors") == 0, "waiting for somebody is no error"


def test_one_conversation_costs_the_same_through_every_instrumentation():
    seen: dict[str, set[tuple[str, ...]]] = {}
    conversations: dict[str, set[str]] = {}
    for payload in CORPUS.values():
        line = payload.line
        if (
            line["scenario"] != "C1"
            or payload.name in KNOWN["usage"]
            or not all(held(payload, kind) for kind in TOKENS.values())
        ):
            continue
        model = line["truth"]["per_call"][0]["model_requested"]
        lines = [json.loads(text) for text in payload.golden.read_text("utf-8").splitlines()]
        told = tuple(str(total(lines, column)) for column in (*TOKENS, "cost_usd"))
        seen.setdefault(model, set()).add(told)
        how = f"{line['instrumentation']}{'+' if line['stacked'] else ''} {line['library']}"
        conversations.setdefault(model, set()).add(how)
    assert len(conversations["o4-mini"]) >= 10
    assert sum("+ " in how for how in conversations["o4-mini"]) >= 3
    assert {model: len(told) for model, told in seen.items()} == dict.fromkeys(seen, 1)
