"""Whose usage counts and what it costs, as a span's columns in otel_traces say it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from shared.engine import fresh_store
from shared.genai import agent, chat, tool
from shared.otlp import message, messages_json, request, span
from shared.pipeline import Recorder, arrived, new_pipeline

TOKENS = {"input": 1000, "output": 100}
USD = Decimal("0.000210000")  # gpt-4o-mini: 0.15 in, 0.60 out per million
REPEATED = {
    "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100,
    "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
}  # fmt: skip


def only(*spans, scope: str = "test.scope") -> dict[str, Any]:
    """The row of the first span."""
    sink = Recorder()
    new_pipeline(sink).process([arrived(request(*spans, scope=scope))])
    return sink.rows("otel_traces")[0]


def at_day(*day: int) -> int:
    """Noon of a day, Unix ns."""
    return int(dt.datetime(*day, 12, tzinfo=dt.UTC).timestamp()) * 10**9


def verdict(row: dict[str, Any]) -> tuple[str, Decimal, str]:
    return row["UsageScope"], row["CostUsd"], row["CostSource"]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([chat(1, tokens=TOKENS)], ("own", USD, "computed")),
        ([chat(1, tokens=TOKENS, attributes={"gen_ai.operation.name": "text_completion"})], ("own", USD, "computed")),
        ([chat(1, tokens=TOKENS, attributes={"gen_ai.operation.name": "generate_content"})], ("own", USD, "computed")),
        ([agent(1, attributes=REPEATED), chat(2, parent_id=1, tokens=TOKENS)], ("rollup", 0, "")),
        ([tool(1, attributes=REPEATED), chat(2, parent_id=1, tokens=TOKENS)], ("rollup", 0, "")),
        ([agent(1, attributes=REPEATED), chat(2, parent_id=1)], ("own", USD, "computed")),
        ([agent(1, attributes=REPEATED), chat(2, tokens=TOKENS)], ("own", USD, "computed")),
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


def test_an_agents_told_cost_repeats_its_childrens_where_they_tell_any():
    agents = agent(1, attributes={"clew.cost.usd": 0.5})
    assert verdict(only(agents)) == ("own", Decimal("0.500000000"), "sdk")
    assert verdict(only(agents, chat(2, parent_id=1))) == ("own", Decimal("0.500000000"), "sdk")
    assert verdict(only(agents, chat(2, parent_id=1, tokens=TOKENS))) == ("rollup", 0, "")
    assert verdict(only(agents, chat(2, parent_id=1, attributes={"clew.cost.usd": 0.4}))) == ("rollup", 0, "")


def test_an_agent_that_says_it_cost_nothing_tells_nothing():
    assert verdict(only(agent(1, attributes={"clew.cost.usd": 0.0}))) == ("", 0, "")


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


CLIENT = "com.anthropic.sdk.python"
"""The client library's own spans tell for how long caches were written."""
FINER = {
    "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 300,
    "gen_ai.usage.audio.input_tokens": 200,
    "gen_ai.usage.audio.output_tokens": 50,
    "gen_ai.usage.audio.cache_read.input_tokens": 20,
    "openai.response.service_tier": "flex",
}


def test_what_a_call_is_billed_by_is_kept():
    tokens = {"input": 1000, "output": 100, "read": 400, "write": 400}
    row = only(chat(1, tokens=tokens, attributes=FINER), scope=CLIENT)
    expected = {
        "CacheWrite1hTokens": 300,
        "InputAudioTokens": 200,
        "OutputAudioTokens": 50,
        "CacheReadAudioTokens": 20,
        "ServiceTier": "flex",
        "UsageEstimated": 0,
    }
    assert {name: row[name] for name in expected} == expected


def test_writes_for_an_hour_and_sound_are_priced_as_such():
    hour = {"anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 1000}
    tokens = {"input": 1000, "write": 1000}
    written = chat(1, model="claude-sonnet-4-5", provider="anthropic", tokens=tokens, attributes=hour)
    assert only(written, scope=CLIENT)["CostUsd"] == Decimal("0.006000000")
    heard = chat(1, model="gpt-realtime", tokens={"input": 1000}, attributes={"gen_ai.usage.audio.input_tokens": 1000})
    assert only(heard)["CostUsd"] == Decimal("0.032000000")


@pytest.mark.parametrize(
    ("tier", "part", "source"),
    [("flex", "0.5", "computed"), ("priority", "2", "computed"), ("default", "1", "computed"), ("x", "1", "estimated")],
)
def test_service_tiers_have_their_price_and_an_unknown_one_is_an_estimate(tier, part, source):
    told = {"openai.response.service_tier": tier}
    row = only(chat(1, model="gpt-5", tokens=TOKENS, attributes=told, start=at_day(2026, 11, 1)))
    assert verdict(row) == ("own", Decimal("0.002250000") * Decimal(part), source)
    assert row["PricingVersion"].startswith("genai-prices ")


def test_the_tables_cost_is_kept_beside_a_reported_one():
    row = only(chat(1, tokens=TOKENS, attributes={"clew.cost.usd": 0.5}))
    assert (row["CostUsd"], row["ComputedCostUsd"], row["PricingVersion"]) == (Decimal("0.500000000"), USD, "")
    assert only(chat(1, tokens=TOKENS))["ComputedCostUsd"] == USD
    assert only(chat(1, tokens=TOKENS, model="nobody-knows-1"))["ComputedCostUsd"] == 0
    assert only(chat(1, attributes={"clew.cost.usd": 0.5}))["ComputedCostUsd"] == 0


def test_copilots_own_unit_is_no_cost():
    row = only(chat(1, tokens=TOKENS, attributes={"github.copilot.cost": 7.0}))
    assert verdict(row) == ("own", USD, "computed")


def test_a_copy_knows_what_it_would_cost():
    row = only(chat(2, tokens=TOKENS, response="r"), chat(1, tokens=TOKENS, response="r"))
    assert (row["CostUsd"], row["ComputedCostUsd"]) == (0, USD)


def talk(number: int, *, asked: str = "", answered: str = "", **fields: Any) -> Any:
    """A model call that tells no tokens, with its texts."""
    told = dict(fields.pop("attributes", {}))
    if asked:
        told["gen_ai.input.messages"] = messages_json(message("user", asked))
    if answered:
        told["gen_ai.output.messages"] = messages_json(message("assistant", answered))
    return chat(number, attributes=told, **fields)


def tokens_of(row: dict[str, Any]) -> tuple[int, int, bool, str]:
    return row["InputTokens"], row["OutputTokens"], bool(row["UsageEstimated"]), row["CostSource"]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (talk(1, asked="x" * 401, answered="ü" * 4), (101, 2, True, "estimated")),
        (talk(1, asked="x" * 400), (100, 0, True, "estimated")),
        (talk(1, answered="x"), (0, 1, True, "estimated")),
        (talk(1, asked="x" * 400, attributes={"gen_ai.system_instructions": "y" * 40}), (110, 0, True, "estimated")),
        (talk(1, asked="x" * 400, model="nobody-knows-1"), (100, 0, True, "unpriced")),
        (talk(1), (0, 0, False, "unpriced")),
        (talk(1, asked="x" * 400, tokens={"input": 7}), (7, 0, False, "computed")),
        (talk(1, asked="x" * 400, attributes={"error.type": "Overloaded"}), (0, 0, False, "")),
        (talk(1, asked="x" * 400, attributes={"clew.cost.usd": 0.5}), (0, 0, False, "sdk")),
    ],
)
def test_tokens_of_an_answered_call_that_tells_none_are_guessed_from_its_text_and_marked(call, expected):
    assert tokens_of(only(call)) == expected


def test_a_guess_is_own_and_costs():
    row = only(talk(1, asked="x" * 4000, answered="y" * 400))
    assert verdict(row) == ("own", Decimal("0.000210000"), "estimated")
    assert row["PricingVersion"].startswith("genai-prices ")


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("told_first", [False, True])
def test_what_was_told_goes_before_a_guess_of_the_same_call(apart, told_first):
    calls = [chat(2, tokens={"input": 9}, response="r"), talk(1, asked="x" * 4000, response="r")]
    calls = calls if told_first else calls[::-1]
    sink, store = Recorder(), fresh_store()
    pipeline = new_pipeline(sink)
    for some in [[call] for call in calls] if apart else [calls]:
        pipeline.process([arrived(request(*some))])
    sink.copy_to(store)
    run = "SELECT input_tokens, model_calls, usage_known, unpriced_calls FROM runs"
    assert store.read(run, {}) == [(9, 1, "complete", 0)]
    assert store.read("SELECT sum(input_tokens), sum(calls), sum(calls_without_usage) FROM usage_1m", {}) == [(9, 1, 0)]


STREAM = {"gen_ai.request.stream": True}
CANCELLED = {"clew.status": "cancelled"}
ENDED = {"gen_ai.response.finish_reasons": ["stop"]}
PROMPT = {"input": 1000}


@pytest.mark.parametrize(
    ("call", "known"),
    [
        (talk(1, answered="In Paris", tokens=TOKENS, attributes=CANCELLED), "partial"),
        (talk(1, answered="In Paris", tokens=TOKENS, attributes={"clew.status": "interrupted"}), "partial"),
        (talk(1, answered="In Paris", tokens=TOKENS, attributes=CANCELLED | ENDED), "complete"),
        (talk(1, answered="In Paris", tokens=TOKENS, attributes=STREAM), "partial"),
        (talk(1, answered="In Paris", tokens=TOKENS, attributes=STREAM | ENDED), "complete"),
        (talk(1, answered="In Paris", tokens=TOKENS, attributes=STREAM | {"error.type": "Reset"}), "complete"),
        (talk(1, answered="In Paris", tokens=TOKENS), "complete"),
        (talk(1, answered="In Paris", tokens=PROMPT), "partial"),
        (talk(1, answered="In Paris", tokens=PROMPT, attributes=CANCELLED), "partial"),
        (talk(1, tokens=PROMPT), "complete"),
    ],
)
def test_usage_of_a_call_that_was_cut_off_is_known_in_part_and_stays_as_it_was_told(call, known):
    sink, store = Recorder(), fresh_store()
    new_pipeline(sink).process([arrived(request(call))])
    sink.copy_to(store)
    [(usage_known, tokens)] = store.read("SELECT usage_known, input_tokens + output_tokens FROM runs", {})
    [(told, estimated, cost, source)] = store.read(
        "SELECT InputTokens + OutputTokens, UsageEstimated, CostUsd > 0, CostSource FROM otel_traces", {}
    )
    part = known == "partial"
    assert (usage_known, tokens) == (known, told)
    assert (estimated, cost, source) == (part, True, "estimated" if part else "computed")


WHOLE = chat(2, tokens={"input": 1000, "output": 83}, response="r", attributes=ENDED)
CUT_OFF = talk(1, answered="x" * 40, tokens={"input": 1000, "output": 1}, response="r", attributes=STREAM)
GUESSED = talk(3, asked="x" * 400, response="r")


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("copies", "tokens", "known"),
    [
        ([WHOLE, CUT_OFF], 1083, "complete"),
        ([CUT_OFF, WHOLE], 1083, "complete"),
        ([CUT_OFF, GUESSED], 1001, "partial"),
        ([GUESSED, CUT_OFF], 1001, "partial"),
        ([GUESSED, CUT_OFF, WHOLE], 1083, "complete"),
    ],
)
def test_a_whole_copy_of_a_call_goes_before_one_that_was_cut_off_and_this_before_a_guess(copies, tokens, known, apart):
    sink, store = Recorder(), fresh_store()
    pipeline = new_pipeline(sink)
    for some in [[copy] for copy in copies] if apart else [copies]:
        pipeline.process([arrived(request(*some))])
    sink.copy_to(store)
    runs = "SELECT input_tokens + output_tokens, usage_known, model_calls FROM runs"
    assert store.read(runs, {}) == [(tokens, known, 1)]


def test_a_run_with_guessed_tokens_is_known_in_part():
    sink, store = Recorder(), fresh_store()
    new_pipeline(sink).process([arrived(request(talk(1, asked="x" * 4000)))])
    sink.copy_to(store)
    assert store.read("SELECT input_tokens, usage_known, cost_usd > 0 FROM runs", {}) == [(1000, "partial", 1)]
