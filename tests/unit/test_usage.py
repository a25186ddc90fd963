"""Whose usage counts and what it costs, as a span's columns in otel_traces say it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from shared.genai import agent, chat, tool
from shared.otlp import request, span
from shared.pipeline import Recorder, arrived, new_pipeline

TOKENS = {"input": 1000, "output": 100}
USD = Decimal("0.000210000")  # gpt-4o-mini: 0.15 in, 0.60 out per million


def only(*spans) -> dict[str, Any]:
    """The row of the first span."""
    sink = Recorder()
    new_pipeline(sink).process([arrived(request(*spans))])
    return sink.rows("otel_traces")[0]


def verdict(row: dict[str, Any]) -> tuple[str, Decimal, str]:
    return row["UsageScope"], row["CostUsd"], row["CostSource"]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([chat(1, tokens=TOKENS)], ("own", USD, "computed")),
        ([chat(1, tokens=TOKENS, attributes={"gen_ai.operation.name": "text_completion"})], ("own", USD, "computed")),
        ([chat(1, tokens=TOKENS, attributes={"gen_ai.operation.name": "generate_content"})], ("own", USD, "computed")),
        ([agent(1, attributes={"gen_ai.usage.input_tokens": 1000})], ("rollup", 0, "")),
        ([tool(1, attributes={"gen_ai.usage.input_tokens": 1000})], ("rollup", 0, "")),
        ([agent(1)], ("", 0, "")),
        ([span("GET /")], ("", 0, "")),
        ([chat(1, tokens=TOKENS, model="nobody-knows-1")], ("own", 0, "unpriced")),
        ([chat(1)], ("", 0, "unpriced")),
        ([chat(1, attributes={"error.type": "Overloaded"})], ("", 0, "")),
        ([chat(1, attributes={"clew.status": "cancelled"})], ("", 0, "")),
        ([chat(2, tokens=TOKENS, response="r"), chat(1, tokens=TOKENS, response="r")], ("duplicate", 0, "")),
    ],
)
def test_scope_cost_and_its_source(spans, expected):
    assert verdict(only(*spans)) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"clew.cost.usd": 0.5}, ("own", Decimal("0.500000000"), "sdk")),
        ({"clew.cost.usd": 0.5, "clew.cost.source": "provider"}, ("own", Decimal("0.500000000"), "provider")),
        ({"clew.cost.usd": 0.5, "clew.cost.source": "made-up"}, ("own", Decimal("0.500000000"), "sdk")),
        ({"clew.cost.usd": 0.0}, ("own", 0, "sdk")),
        ({"clew.cost.usd": "0.25"}, ("own", Decimal("0.250000000"), "sdk")),
        # rounded once, half to even
        ({"clew.cost.usd": 0.0000000005}, ("own", 0, "sdk")),
        ({"clew.cost.usd": 0.0000000015}, ("own", Decimal("0.000000002"), "sdk")),
        # not believed
        ({"clew.cost.usd": -0.5}, ("own", USD, "computed")),
        ({"clew.cost.usd": float("nan")}, ("own", USD, "computed")),
        ({"clew.cost.usd": float("inf")}, ("own", USD, "computed")),
        ({"clew.cost.usd": 1e9}, ("own", USD, "computed")),
        ({"clew.cost.usd": "free"}, ("own", USD, "computed")),
    ],
)
def test_a_cost_that_was_told_goes_before_a_computed_one(told, expected):
    assert verdict(only(chat(1, tokens=TOKENS, attributes=told))) == expected


def test_a_told_cost_without_tokens_is_own_and_known():
    assert verdict(only(chat(1, attributes={"clew.cost.usd": 0.5}))) == ("own", Decimal("0.500000000"), "sdk")


def test_an_agents_told_cost_repeats_its_childrens():
    assert verdict(only(agent(1, attributes={"clew.cost.usd": 0.5}))) == ("", 0, "")


def test_the_model_that_answered_is_priced_before_the_one_asked_for():
    answered = {"gen_ai.response.model": "gpt-4o-2024-08-06"}  # 2.50 in, 10.00 out per million
    assert only(chat(1, tokens=TOKENS, attributes=answered))["CostUsd"] == Decimal("0.003500000")
    renamed = {"gen_ai.response.model": "nobody-knows-1"}
    assert only(chat(1, tokens=TOKENS, attributes=renamed))["CostUsd"] == USD


@pytest.mark.parametrize(
    ("model", "provider", "tokens", "usd"),
    [
        ("gpt-4o-mini", "openai", {"input": 1000, "output": 100, "read": 600}, "0.000165000"),
        ("o4-mini", "openai", {"input": 2311, "output": 457, "read": 1536, "reasoning": 320}, "0.003285700"),
        ("claude-sonnet-4-5", "anthropic", {"input": 1000, "output": 100, "read": 600, "write": 100}, "0.002955000"),
    ],
)
def test_cache_and_reasoning_tokens_are_priced_as_listed(model, provider, tokens, usd):
    assert only(chat(1, model=model, provider=provider, tokens=tokens))["CostUsd"] == Decimal(usd)


def test_computed_costs_name_the_price_table():
    assert only(chat(1, tokens=TOKENS))["PricingVersion"].startswith("genai-prices ")
    assert only(chat(1, tokens=TOKENS, attributes={"clew.cost.usd": 1.0}))["PricingVersion"] == ""
