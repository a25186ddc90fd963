from __future__ import annotations

import socket

import numpy as np
import pytest

from clew_processor.enrich.price_table import MAX_NAME, PROVIDERS
from clew_processor.enrich.pricing import MAX_COST, PriceBook
from shared.prices import price


@pytest.fixture(scope="module")
def book():
    return PriceBook()


# List prices in dollars per million tokens: input, cache read, cache write, output.
LIST = [
    ("openai", "gpt-4o-mini", 0.15, 0.075, 0.15, 0.60),
    ("openai", "gpt-4o-mini-2024-07-18", 0.15, 0.075, 0.15, 0.60),
    ("openai", "o4-mini", 1.10, 0.275, 1.10, 4.40),
    ("anthropic", "claude-sonnet-4-5", 3, 0.30, 3.75, 15),
    ("anthropic", "claude-sonnet-4-5-20250929", 3, 0.30, 3.75, 15),
    ("gcp.gemini", "gemini-2.5-flash", 0.30, 0.03, 0.30, 2.50),
]


@pytest.mark.parametrize("listed", LIST)
def test_known_models_cost_their_list_price(book, listed):
    provider, model, plain, read, write, output = listed
    dollars = (1000 - 300 - 200) * plain + 300 * read + 200 * write + 77 * output
    assert price(book, provider, model, prompt=1000, output=77, read=300, write=200) == round(dollars * 1000)


def test_a_call_of_known_tokens_costs_to_the_last_digit(book):
    assert price(book, "openai", "gpt-4o-mini-2024-07-18", prompt=1203, output=57) == 214_650


def test_half_a_nano_dollar_rounds_to_even(book):
    # A cached token of this model cost 3.625 nano-dollars on that day: 7.25, 14.5 and 43.5.
    day = "2026-08-01T12:00:00"
    costs = [price(book, "deepseek", "deepseek-v4-pro", prompt=n, read=n, at=day) for n in (2, 4, 12)]
    assert costs == [7, 14, 44]


@pytest.mark.parametrize("model", ["no-such-model-1", "", " ", "gpt-4o" * 200_000, "a\x00\n\x1b[31m", "(a+)+$", "^.*$"])
@pytest.mark.parametrize("provider", ["openai", "", "no-such-provider", "openai" * 200_000])
def test_names_nobody_lists_are_unpriced_and_harmless(book, provider, model):
    assert price(book, provider, model, prompt=1000, output=1000) is None


def test_a_name_longer_than_any_listed_is_not_searched_for(book):
    assert price(book, "", "claude-sonnet-4-5", prompt=10) == 30_000
    assert price(book, "", "claude-sonnet-4-5".ljust(MAX_NAME + 1, "x"), prompt=10) is None


def test_a_model_listed_without_a_token_price_is_unpriced(book):
    assert price(book, "openai", "gpt-4o", prompt=1) == 2500
    assert price(book, "openai", "whisper-1", prompt=1000, output=1000) is None  # by the minute
    assert price(book, "openrouter", "qwen/qwen3-coder:free", prompt=1000, output=1000) is None  # none at all


def test_every_canonical_provider_with_a_list_is_in_the_data(book):
    # By each one's own cheapest proof: a model that only its list, or one it resells, holds.
    models = {
        "anthropic": "claude-sonnet-4-5",
        "aws.bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "azure.ai.inference": "gpt-4o-mini",
        "azure.ai.openai": "gpt-4o-mini",
        "cohere": "command-r-plus",
        "deepseek": "deepseek-chat",
        "gcp.gemini": "gemini-2.5-flash",
        "gcp.gen_ai": "gemini-2.5-flash",
        "gcp.vertex_ai": "claude-sonnet-4-5@20250929",
        "groq": "llama-3.3-70b-versatile",
        "mistral_ai": "mistral-large-latest",
        "moonshot_ai": "kimi-k2-0905-preview",
        "openai": "gpt-4o",
        "perplexity": "sonar",
        "x_ai": "grok-4",
    }
    assert models.keys() == {name for name, listed in PROVIDERS.items() if listed}
    unpriced = [name for name, model in models.items() if price(book, name, model, prompt=1000) is None]
    assert unpriced == []


def test_a_provider_without_a_list_is_not_priced_by_another(book):
    assert price(book, "ibm.watsonx.ai", "mistral-large-latest", prompt=1000) is None
    assert price(book, "openai", "claude-sonnet-4-5", prompt=1000) is None


def test_a_regional_price_is_not_the_makers_own(book):
    bedrock = price(book, "aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", prompt=1000)
    assert bedrock == 3_300_000
    assert price(book, "anthropic", "claude-sonnet-4-5-20250929", prompt=1000) == 3_000_000


@pytest.mark.parametrize("provider", ["", "my-gateway", "litellm"])
@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "anthropic/claude-sonnet-4-5", "Claude-Sonnet-4-5"])
def test_without_a_known_provider_the_name_of_the_model_decides(book, provider, model):
    assert price(book, provider, model, prompt=1000) == 3_000_000


def test_a_long_prompt_moves_every_token_into_the_dearer_tier(book):
    at_limit = price(book, "anthropic", "claude-sonnet-4-5", prompt=200_000, output=10)
    above = price(book, "anthropic", "claude-sonnet-4-5", prompt=200_001, output=10)
    assert at_limit == 200_000 * 3000 + 10 * 15_000
    assert above == 200_001 * 6000 + 10 * 22_500


def test_cache_tokens_beyond_the_input_are_billed_and_no_plain_ones(book):
    cost = price(book, "anthropic", "claude-sonnet-4-5", prompt=10, read=100, write=100, output=1)
    assert cost == 100 * 300 + 100 * 3750 + 15_000


def test_negative_counts_cost_nothing(book):
    cost = price(book, "openai", "gpt-4o", prompt=-5, output=-7, read=-1, write=-(2**63))
    assert cost == 0


def test_reasoning_is_part_of_the_output_unless_priced_apart(book):
    assert price(book, "openai", "o4-mini", output=100, reasoning=40) == 100 * 4400
    assert price(book, "perplexity", "sonar-deep-research", output=100, reasoning=40) == 60 * 8000 + 40 * 3000
    assert price(book, "perplexity", "sonar-deep-research", output=100, reasoning=400) == 100 * 3000
    assert price(book, "perplexity", "sonar-deep-research", output=100) == 100 * 8000


def test_a_fee_a_request_is_charged_only_if_the_call_used_tokens(book):
    assert price(book, "perplexity", "sonar-pro", prompt=1) == 14_000_000 + 3000
    assert price(book, "perplexity", "sonar-pro") == 0


def test_the_price_in_force_on_the_day_of_the_call_counts(book):
    days = {
        at: price(book, "deepseek", "deepseek-v4-pro", prompt=1000, at=at + "T12:00:00")
        for at in ("1970-01-01", "2026-08-16", "2026-08-17", "2026-08-18")
    }
    assert list(days.values()) == [435_000, 435_000, 660_000, 660_000]


def test_the_price_of_the_hour_counts_where_the_list_has_one(book):
    hours = ("00:59:59", "01:00:00", "03:59:59", "04:00:00", "06:00:00", "09:59:59", "10:00:00")
    costs = [price(book, "deepseek", "deepseek-v4-pro", prompt=1000, at=f"2026-11-01T{hour}") for hour in hours]
    assert costs == [660_000, 1_320_000, 1_320_000, 660_000, 1_320_000, 1_320_000, 660_000]


def test_a_rate_that_is_not_a_whole_pico_dollar_is_calculated_exactly(book):
    # Listed at 0.0833333333333333 dollars a million; whole pico-dollars would make it 249,999,000.
    cost = price(book, "openrouter", "google/gemini-2.5-flash", prompt=3_000_000, write=3_000_000)
    assert cost == 250_000_000
    assert price(book, "openrouter", "google/gemini-2.5-flash", prompt=3_000_000) == 900_000_000


def test_writes_to_the_cache_for_an_hour_cost_twice_the_input_and_for_five_minutes_a_quarter_more(book):
    costs = [price(book, "anthropic", "claude-sonnet-4-5", prompt=1000, write=1000, write_1h=n) for n in (0, 400, 1000)]
    assert costs == [3_750_000, 4_650_000, 6_000_000]


def test_more_written_for_an_hour_than_at_all_is_all(book):
    assert price(book, "anthropic", "claude-sonnet-4-5", prompt=1000, write=1000, write_1h=5000) == 6_000_000


def test_sound_has_prices_of_its_own(book):
    def cost(**tokens):
        return price(book, "openai", "gpt-realtime", **tokens)

    assert cost(prompt=1000, input_audio=600) == 400 * 4000 + 600 * 32_000
    assert cost(prompt=1000, read=500, input_audio=600, read_audio=300) == 200 * 4000 + 500 * 400 + 300 * 32_000
    assert cost(output=1000, output_audio=900) == 100 * 16_000 + 900 * 64_000
    assert cost(prompt=1000, input_audio=5000, output=10, output_audio=50) == 1000 * 32_000 + 10 * 64_000


TIERS = [  # provider, model, tier, day, part of the standard price for input and output, is it estimated
    ("openai", "gpt-5", "priority", "2026-11-01", 2, False),
    ("openai", "gpt-5", "flex", "2026-11-01", 0.5, False),
    ("openai", "gpt-5", "batch", "2026-11-01", 0.5, False),
    ("openai", "gpt-5", "default", "2026-11-01", 1, False),
    ("openai", "gpt-5", "auto", "2026-11-01", 1, False),
    ("openai", "gpt-5", "scale", "2026-11-01", 1, True),
    # Listed from 12 October 2026 on: before, it is taken to have cost as much more.
    ("openai", "gpt-5", "priority", "2026-05-01", 2, True),
    # Also listed from then on, but the provider says of all models and times what it costs.
    ("openai", "gpt-5", "flex", "2026-05-01", 0.5, False),
    ("openai", "gpt-5", "batch", "2026-05-01", 0.5, False),
    ("openai", "o1-pro", "batch", "2026-05-01", 0.5, False),
    ("anthropic", "claude-sonnet-4-5", "batch", "2026-05-01", 0.5, False),
    ("anthropic", "claude-3-5-haiku-latest", "batch", "2026-11-01", 0.5, False),
    ("anthropic", "claude-sonnet-4-5", "priority", "2026-11-01", 1, True),
    ("anthropic", "claude-opus-5", "fast", "2026-11-01", 2, False),
    ("azure.ai.openai", "gpt-4o", "batch", "2026-11-01", 0.5, False),
    ("azure.ai.openai", "gpt-4o", "priority", "2026-11-01", 1, True),
    ("aws.bedrock", "amazon.nova-pro-v1:0", "batch", "2026-11-01", 0.5, False),
    ("aws.bedrock", "amazon.nova-pro-v1:0", "flex", "2026-11-01", 1, True),
    ("gcp.gemini", "gemini-2.5-pro", "flex", "2026-11-01", 0.5, False),
    ("gcp.vertex_ai", "gemini-2.5-pro", "batch", "2026-11-01", 0.5, False),
    ("deepseek", "deepseek-v4-pro", "batch", "2026-11-01", 1, True),
]


@pytest.mark.parametrize("told", TIERS, ids=lambda told: "-".join(map(str, told[1:4])))
def test_service_tiers_cost_their_price_and_unknown_ones_the_standard_price_marked_as_an_estimate(book, told):
    provider, model, tier, day, part, estimated = told

    def cost(tier):
        at = f"{day}T12:00:00"
        return price(book, provider, model, prompt=10_000, output=1000, at=at, tier=tier, with_estimate=True)

    standard, _ = cost("")
    assert cost(tier) == (standard * part, estimated)


def test_cached_input_is_not_cheaper_in_a_batch_where_no_such_price_is_published(book):
    cost = price(book, "openai", "gpt-4.1", prompt=2000, read=1000, tier="batch", at="2026-05-01T00:00:00")
    assert cost == 1000 * 1000 + 1000 * 500


def test_a_tier_nobody_could_have_typed_is_harmless(book):
    assert price(book, "openai", "gpt-4o", prompt=1, tier="x" * 10**6, with_estimate=True) == (2500, True)


@pytest.mark.parametrize("tokens", [2**40, 2**62, 2**63 - 1])
def test_absurd_counts_cost_the_most_a_column_holds_and_disturb_no_neighbour(book, tokens):
    column = np.array([tokens, 1000, tokens], np.int64)
    cost, priced, _ = book.cost(
        provider=["openai", "openai"],
        model=["gpt-4o", "no-such-model"],
        pair=np.array([0, 0, 1], np.int32),
        day=np.full(3, 20_000, np.int32),
        input_tokens=column,
        output_tokens=column,
        cache_read=np.zeros(3, np.int64),
        cache_write=np.zeros(3, np.int64),
    )
    assert priced.tolist() == [True, True, False]
    assert cost.tolist() == [min(MAX_COST, tokens * 12_500), 12_500_000, 0]


def test_an_empty_batch_has_no_costs(book):
    nothing, index = np.zeros(0, np.int64), np.zeros(0, np.int32)
    cost, priced, _ = book.cost(
        provider=[],
        model=[],
        pair=index,
        day=index,
        input_tokens=nothing,
        output_tokens=nothing,
        cache_read=nothing,
        cache_write=nothing,
    )
    assert (len(cost), len(priced)) == (0, 0)


def test_prices_need_no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a price book must not connect anywhere")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    book = PriceBook()
    assert book.version.startswith("genai-prices ")
    assert price(book, "openai", "gpt-4o", prompt=1) == 2500
