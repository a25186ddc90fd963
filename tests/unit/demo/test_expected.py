"""The hand calculation of the demo, against costs worked out on paper."""

from __future__ import annotations

from decimal import Decimal

import pytest

from clew.demo.errors import DemoError
from clew.demo.expected import expected_run
from clew.demo.prices import call_cost
from clew.demo.scenarios import INVOICE_BOT, SCENARIOS, SHIPMENT_TRACKER
from clew.demo.script import Served, Tokens

# US dollars per run, from the token counts in the scripts and the providers' list prices, by pen and paper:
# for example the third call of the travel planner is (226 * 0.15 + 1280 * 0.075 + 118 * 0.60) / 1e6.
ON_PAPER = {
    "travel-planner": "0.000548400",
    "support-desk": "0.007371100",
    "refund-desk": "0.017111400",
    "shipment-tracker": "0.000955500",
    "invoice-bot": "0.003448150",
    "market-researcher": "0.025210900",
}
MODELS = {
    "support-desk": "o4-mini",
    "market-researcher": "o4-mini",
    "refund-desk": "claude-sonnet-4-6",
}


def served_in_full(scenario) -> list[Served]:
    return [
        Served(scenario.agent, "", MODELS.get(scenario.agent, "gpt-4o-mini"), "", "", (), False, True, answer)
        for answer in scenario.script
    ]


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.agent != "invoice-bot"], ids=lambda s: s.agent)
def test_cost_of_a_run_is_what_it_is_on_paper(scenario):
    assert str(expected_run(scenario, served_in_full(scenario)).cost_usd) == ON_PAPER[scenario.agent]


def test_a_run_over_two_models_is_priced_call_by_call():
    served = served_in_full(INVOICE_BOT)
    last = served[-1]
    fallback = Served(last.run, "", "o4-mini", "", "", (), False, True, last.answer)
    assert str(expected_run(INVOICE_BOT, [*served[:-1], fallback]).cost_usd) == "0.003448150"


def test_a_429_the_client_retries_is_no_call_and_a_500_is():
    assert expected_run(INVOICE_BOT, served_in_full(INVOICE_BOT)).model_calls == 4


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [
        (Tokens(input=1, output=0), "1.5E-7"),
        (Tokens(input=1, output=0, cache_read=1), "7.5E-8"),
        (Tokens(input=0, output=1, reasoning=1), "6E-7"),
        (Tokens(input=1_000_000, output=1_000_000, cache_read=500_000), "0.7125"),
    ],
)
def test_call_cost_prices_cached_input_and_reasoning(tokens, cost):
    assert call_cost("gpt-4o-mini", tokens) == Decimal(cost)


def test_what_a_loop_wasted_is_its_calls_after_the_first():
    # (0.000144300 + 0.000158850 + 0.000172200 + 0.000112050 + 0.000125700), the last five of six.
    expected = expected_run(SHIPMENT_TRACKER, served_in_full(SHIPMENT_TRACKER))
    assert (expected.loops, str(expected.loop_cost_usd)) == (1, "0.000713100")


def test_anthropic_cache_writes_cost_more_than_input():
    assert call_cost("claude-sonnet-4-6", Tokens(input=1000, output=0, cache_write=1000)) == Decimal("0.00375")


@pytest.mark.parametrize("change", ["one missing", "one more", "none"])
def test_a_ledger_that_is_not_the_script_is_refused(change):
    served = served_in_full(SHIPMENT_TRACKER)
    served = {"one missing": served[:-1], "one more": [*served, served[0]], "none": []}[change]
    with pytest.raises(DemoError, match="shipment-tracker: the model server served"):
        expected_run(SHIPMENT_TRACKER, served)
