"""`PriceBook` against the price library's own calculation, which is slow and right."""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
from genai_prices import Usage, calc_price
from genai_prices.data import providers
from hypothesis import given, settings
from hypothesis import strategies as st

from clew_processor.enrich.pricing import PriceBook

BOOK = PriceBook()
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MODELS = [(provider.id, model.id) for provider in providers for model in provider.models]
# Where prices change: half the drawn models have some date, hour or prompt size at which they do.
CHANGING = [
    (provider.id, model.id)
    for provider in providers
    for model in provider.models
    if isinstance(model.prices, list) or "tiers" in repr(model.prices)
]
NAMES = st.one_of(
    st.sampled_from(MODELS),
    st.sampled_from(CHANGING),
    st.tuples(st.sampled_from([p.id for p in providers]), st.sampled_from([model for _, model in MODELS])),
    st.tuples(st.sampled_from([p.id for p in providers]), st.text(min_size=1, max_size=40)),
)
SMALL = st.integers(0, 50_000)
# Around every prompt size at which some model's price changes.
EDGES = st.builds(
    int.__add__,
    st.sampled_from([32_000, 100_000, 128_000, 200_000, 256_000, 272_000, 512_000, 524_288]),
    st.integers(-2, 2),
)


def seconds(first, last):
    """Moments between two days, in seconds since the epoch."""
    return st.integers(*(int(dt.datetime.fromisoformat(day + "T00Z").timestamp()) for day in (first, last)))


CALLS = st.fixed_dictionaries(
    {
        "name": NAMES,
        "at": st.one_of(seconds("2023-01-01", "2027-12-31"), seconds("0001-01-02", "9999-12-30")),
        "input": st.one_of(SMALL, EDGES, st.integers(0, 10**9)),
        "read": st.one_of(st.just(0), SMALL),
        "write": st.one_of(st.just(0), SMALL),
        "output": st.one_of(SMALL, st.integers(0, 10**9)),
        "reasoning": st.one_of(st.just(0), SMALL),
    }
)


def expected(call):
    """Nano-dollars by the library, or None where it has no price per token."""
    provider, model = call["name"]
    prompt = max(call["input"], call["read"] + call["write"])  # the library refuses a prompt below its parts
    usage = Usage(
        input_tokens=prompt,
        cache_read_tokens=call["read"],
        cache_write_tokens=call["write"],
        output_tokens=call["output"],
        output_reasoning_tokens=min(call["reasoning"], call["output"]),
    )
    try:
        at = EPOCH + dt.timedelta(seconds=call["at"])
        found = calc_price(usage, model, provider_id=provider, genai_request_timestamp=at)
    except LookupError:
        return None
    listed = found.model_price
    if listed.input_mtok is None and listed.output_mtok is None:
        return None  # priced by the page or the hour: the library says 0, which would be a lie
    if not prompt and not call["output"]:
        return 0  # a call without tokens failed: no fee
    return int(found.total_price.quantize(Decimal("1e-9"), ROUND_HALF_EVEN).scaleb(9))


@settings(max_examples=150, deadline=None)
@given(st.lists(CALLS, min_size=1, max_size=12))
def test_costs_equal_the_price_librarys_to_the_last_digit(calls):
    pairs = sorted({call["name"] for call in calls})

    def column(key):
        return np.array([call[key] for call in calls], np.int64)

    cost, priced = BOOK.cost(
        provider=[provider for provider, _ in pairs],
        model=[model for _, model in pairs],
        pair=np.array([pairs.index(call["name"]) for call in calls], np.int32),
        day=(column("at") // 86_400).astype(np.int32),
        second=(column("at") % 86_400).astype(np.int32),
        input_tokens=column("input"),
        output_tokens=column("output"),
        cache_read=column("read"),
        cache_write=column("write"),
        reasoning=column("reasoning"),
    )
    got = [int(nano) if known else None for nano, known in zip(cost, priced, strict=True)]
    assert got == [expected(call) for call in calls]
