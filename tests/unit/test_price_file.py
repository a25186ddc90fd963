"""Prices of one's own: what they say, in what order they count, and what is said of a file that is wrong."""

from __future__ import annotations

import pytest

from clew_processor.enrich.price_file import PriceFileError, parsed
from clew_processor.enrich.pricing import PriceBook
from clew_processor.prices import Prices
from shared.prices import price

M = 1_000_000


def book(text: str) -> PriceBook:
    return PriceBook(Prices.of(text, b""))


def test_a_model_of_ones_own_costs_what_the_file_says():
    prices = book(
        """
        models:
          - provider: acme
            model: house-1
            prices: {input: 2, output: 8, cache_read: 0.5, cache_write: 2.5, cache_write_1h: 4, reasoning: 10,
                     input_audio: 20, output_audio: 40, cache_read_audio: 1, request: 0.01}
        """
    )
    assert price(prices, "acme", "house-1", prompt=M, output=M) == 10_010_000_000
    assert price(prices, "acme", "house-1", prompt=M, read=M) == 510_000_000
    assert price(prices, "acme", "house-1", prompt=M, write=M, write_1h=M // 2) == 3_260_000_000
    assert price(prices, "acme", "house-1", prompt=M, input_audio=M) == 20_010_000_000
    assert price(prices, "acme", "house-1", prompt=M, read=M, read_audio=M, input_audio=M) == 1_010_000_000
    assert price(prices, "acme", "house-1", output=M, reasoning=M // 2, output_audio=M // 2) == 25_010_000_000
    assert price(prices, "acme", "house-2", prompt=M) is None


def test_a_kind_without_a_price_costs_what_it_is_a_part_of():
    prices = book("models: [{model: m, prices: {input: 2, output: 8, cache_write: 3, input_audio: 5}}]")
    assert price(prices, "x", "m", prompt=M, read=M) == 2 * 10**9
    assert price(prices, "x", "m", prompt=M, write=M, write_1h=M) == 3 * 10**9
    assert price(prices, "x", "m", output=M, reasoning=M) == 8 * 10**9
    assert price(prices, "x", "m", prompt=M, read=M, input_audio=M, read_audio=M) == 5 * 10**9


def test_own_prices_go_before_the_list():
    plain = price(PriceBook(), "openai", "gpt-4o", prompt=M)
    prices = book("models: [{provider: openai, model: gpt-4o, prices: {input: 1.5, output: 6}}]")
    assert (plain, price(prices, "openai", "gpt-4o", prompt=M)) == (2_500_000_000, 1_500_000_000)
    assert price(prices, "azure.ai.openai", "gpt-4o", prompt=M) == plain
    assert price(prices, "openai", "gpt-4o-mini", prompt=M) == 150_000_000


def test_the_first_entry_counts_and_case_does_not():
    prices = book(
        """
        models:
          - {model: "House-*-Large", prices: {input: 3}}
          - {model: "house-*", prices: {input: 1}}
          - {model: "house-7-large", prices: {input: 9}}
        """
    )
    assert price(prices, "", "house-7-large", prompt=M) == 3 * 10**9
    assert price(prices, "Any", "HOUSE-7-LARGE", prompt=M) == 3 * 10**9
    assert price(prices, "", "house-7-large-2", prompt=M) == 10**9
    assert price(prices, "", "a-house-7", prompt=M) is None


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("a*", ["a", "ab"], ["", "ba"]),
        ("*a", ["a", "ba"], ["ab"]),
        ("a*a", ["aa", "aba"], ["a", "ab"]),
        ("*a*b*", ["ab", "xaxbx"], ["ba", "a"]),
        ("a**b", ["ab", "axb"], ["a"]),
        ("a.c", ["a.c"], ["abc"]),
    ],
)
def test_a_star_stands_for_any_text(pattern, fits, fits_not):
    prices = book(f"models: [{{model: '{pattern}', context_window: 1}}]")
    assert [prices.context_window("x", name) for name in fits if name] == [1] * len([name for name in fits if name])
    assert not any(prices.context_window("x", name) for name in fits_not)


def test_prices_start_on_their_day_and_before_it_the_list_counts():
    prices = book(
        """
        models:
          - provider: openai
            model: gpt-4o
            prices:
              - {from: 2026-11-01, input: 1}
              - {from: 2026-11-10, input: 4}
        """
    )
    days = {day: price(prices, "openai", "gpt-4o", prompt=M, at=f"2026-{day}T23:59:59") for day in DAYS}
    assert days == dict(zip(DAYS, [2_500_000_000, 10**9, 10**9, 4 * 10**9], strict=True))


DAYS = ["10-31", "11-01", "11-09", "11-10"]


def test_a_model_of_ones_own_has_no_price_before_its_first_day():
    prices = book("models: [{model: mine, prices: [{from: 2026-11-01, input: 1}]}]")
    assert price(prices, "x", "mine", prompt=M, at="2026-10-31T00:00:00") is None


def test_a_larger_prompt_costs_its_own_prices_for_all_of_its_tokens():
    prices = book(
        """
        models:
          - model: m
            prices:
              input: 1
              output: 2
              above:
                - {prompt_tokens: 500, input: 5}
                - {prompt_tokens: 100, input: 3, output: 4}
        """
    )
    costs = [price(prices, "x", "m", prompt=size, output=1000) for size in (100, 101, 500, 501)]
    assert costs == [100_000 + 2 * M, 303_000 + 4 * M, 1500_000 + 4 * M, 2505_000 + 4 * M]


def test_service_tiers_are_factors_or_prices():
    prices = book(
        """
        models:
          - model: m
            prices:
              input: 2
              output: 8
              cache_read: 1
              service_tiers:
                batch: 0.5
                flex: {factor: 0.5, undiscounted: [cache_read]}
                priority: {input: 5}
        """
    )

    def cost(tier):
        return price(prices, "x", "m", prompt=3 * M, read=M, output=M, tier=tier)

    assert cost("") == cost("default") == cost("Standard") == 13 * 10**9
    assert cost("batch") == cost("BATCH") == 6_500_000_000
    assert cost("flex") == 7 * 10**9
    assert cost("priority") == 19 * 10**9


def test_service_tiers_of_the_lists_prices():
    prices = book("models: [{provider: openai, model: 'gpt-4o*', service_tiers: {batch: 0.25, house: 3}}]")
    assert price(prices, "openai", "gpt-4o", prompt=M, tier="batch") == 625_000_000
    assert price(prices, "openai", "gpt-4o", prompt=M, tier="house") == 7_500_000_000


def test_own_prices_know_nothing_of_the_lists_service_tiers():
    prices = book("models: [{provider: openai, model: gpt-4o, prices: {input: 1, output: 2}}]")
    assert price(prices, "openai", "gpt-4o", prompt=M, tier="priority", with_estimate=True) == (10**9, True)
    assert price(prices, "openai", "gpt-4o", prompt=M, tier="batch", with_estimate=True) == (500_000_000, False)


def test_context_windows_are_the_files_and_else_the_lists():
    prices = book(
        """
        models:
          - {provider: openai, model: gpt-4o, context_window: 4096}
          - {model: mine, prices: {input: 1}}
          - {model: "m*", context_window: 77}
        """
    )
    assert prices.context_window("openai", "gpt-4o") == 4096
    assert prices.context_window("openai", "gpt-4.1") == 1_000_000
    assert prices.context_window("x", "mine") == 77
    assert prices.context_window("x", "nobody's") is None
    assert prices.context_window("x", "m" * 10_000) is None
    assert price(prices, "openai", "gpt-4o", prompt=M) == 2_500_000_000


def test_the_version_names_what_the_prices_are_from():
    plain, one, other = PriceBook(), book("models: [{model: a, prices: {input: 1}}]"), book("models: []")
    assert plain.version == other.version
    assert one.version.startswith(f"{plain.version}, own ")
    assert book("# said otherwise\nmodels:\n- model: a\n  prices:\n    input: 1\n").version == one.version
    assert book("models: [{model: a, prices: {input: 2}}]").version != one.version


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: [{model: a, prices: {input: -1}}]", ["models[0].prices[0].input", "'a'", "-1", "greater than"]),
        ("models: [{model: a, prices: {input: cheap}}]", ["models[0].prices[0].input", "'cheap'", "valid decimal"]),
        ("models: [{model: a, prices: {input: .nan}}]", ["models[0].prices[0].input", "nan", "finite"]),
        ("models: [{model: a, prices: {input: 2e9}}]", ["less than or equal to 1000000"]),
        ("models: [{model: a, prices: {inputs: 1}}]", ["'inputs'", "did you mean 'input'"]),
        ("models: [{model: a, prices: [{input: 1, start: 2026-01-01}]}]", ["'start'", "known: ", "from"]),
        ("models: [{model: a, prices: {cache_read: 1}}]", ["models[0].prices[0]", "price for input or output"]),
        ("models: [{model: a, prices: [{input: 1}, {output: 1}]}]", ["models[0]", "start on the same day"]),
        ("models: [{model: a, prices: {input: 1, from: soon}}]", ["from", "'soon'", "date"]),
        ("models: [{model: a}]", ["models[0]", "prices, service_tiers or context_window"]),
        ("models: [{prices: {input: 1}}]", ["models[0].model", "is missing"]),
        ("models: [{model: a, context_window: 0}]", ["context_window", "0", "greater than or equal to 1"]),
        ("models: [{model: a, service_tiers: {batch: half}}]", ["service_tiers.batch.factor", "'half'"]),
        ("models: [{model: a, service_tiers: {batch: {}}}]", ["service_tiers.batch", "a factor, or prices"]),
        (
            "models: [{model: a, service_tiers: {batch: {factor: 1, undiscounted: [cached]}}}]",
            ["service_tiers.batch", "'cached'", "cache_read"],
        ),
        ("models: [{model: a, prices: {input: 1}, service_tiers: {batch: 1}}]", ["belong into the prices"]),
        ("models: [{model: a, prices: {input: 1, above: [{input: 1}]}}]", ["above[0].prompt_tokens", "is missing"]),
        ("model: [{model: a}]", ["'model'", "did you mean 'models'"]),
        ("models: 5", ["models", "5", "tuple"]),
        ("models: [7]", ["models[0]", "7"]),
        ("- a", ["holds list, expected the key models"]),
        ("a: [", ["not YAML"]),
        ("[" * 5000, ["nested too deep"]),
    ],
)
def test_a_wrong_file_is_told_by_key_value_and_what_is_allowed(text, says):
    with pytest.raises(PriceFileError) as error:
        parsed(text)
    assert all(part in str(error.value) for part in says), str(error.value)


def test_an_empty_file_is_a_file_without_entries():
    assert parsed("").models == parsed("# later\n").models == ()
