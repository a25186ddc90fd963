"""What spans cost by the price table: by the model that answered, else by the one that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from clew_processor.enrich.pricing import Costs
from clew_processor.grouping import dense

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.enrich.pricing import PriceBook
    from clew_processor.normalise.spans import Spans
    from clew_processor.words import Words

NS_PER_DAY: Final = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Billed:
    """What a provider bills calls by, one element a row; see `Spans` and `PriceBook.cost`."""

    provider: Words
    request_model: Words
    response_model: Words
    service_tier: Words
    start_ns: NDArray[np.int64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    cache_read_tokens: NDArray[np.int64]
    cache_write_tokens: NDArray[np.int64]
    reasoning_tokens: NDArray[np.int64]
    cache_write_1h_tokens: NDArray[np.int64]
    input_audio_tokens: NDArray[np.int64]
    cache_read_audio_tokens: NDArray[np.int64]
    output_audio_tokens: NDArray[np.int64]

    @classmethod
    def of(cls, spans: Spans) -> Self:
        """Of the spans of a batch."""
        return cls(**{name: getattr(spans, name) for name in cls.__slots__})


def cost_of(prices: PriceBook, calls: Billed, rows: NDArray[np.bool_]) -> Costs:
    """The cost of some calls.

    Args:
        prices: the table in force.
        calls: what they are billed by.
        rows: those to be priced; the others are unpriced.
    """
    costs = Costs(
        np.zeros(len(rows), np.int64),
        np.zeros(len(rows), np.bool_),
        np.zeros(len(rows), np.bool_),
    )
    for model in (calls.response_model.otherwise(calls.request_model), calls.request_model):
        left = np.flatnonzero(rows & ~costs.priced)
        if not len(left):
            break
        for told, found in zip(costs, _by_model(prices, calls, model, left), strict=True):
            told[left] = found
    return costs


def _by_model(prices: PriceBook, calls: Billed, model: Words, rows: NDArray[np.integer]) -> Costs:
    named = [words.take(rows) for words in (calls.provider, model, calls.service_tier)]
    pair, first = dense(named)
    provider, models, tier = (words.take(first).tolist() for words in named)
    start = calls.start_ns[rows]
    return prices.cost(
        provider=provider,
        model=models,
        tier=tier,
        pair=pair.astype(np.int32),
        day=(start // NS_PER_DAY).astype(np.int32),
        second=(start % NS_PER_DAY // 10**9).astype(np.int32),
        input_tokens=calls.input_tokens[rows],
        output_tokens=calls.output_tokens[rows],
        cache_read=calls.cache_read_tokens[rows],
        cache_write=calls.cache_write_tokens[rows],
        reasoning=calls.reasoning_tokens[rows],
        cache_write_1h=calls.cache_write_1h_tokens[rows],
        input_audio=calls.input_audio_tokens[rows],
        cache_read_audio=calls.cache_read_audio_tokens[rows],
        output_audio=calls.output_audio_tokens[rows],
    )
