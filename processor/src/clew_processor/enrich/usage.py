"""Whose usage counts, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clew_processor.enrich.calls import CallIndex, Superseded
from clew_processor.enrich.contributions import Contributions
from clew_processor.normalise.spans import INFERENCE_OPS, USAGE_OPS
from clew_processor.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.enrich.pricing import PriceBook
    from clew_processor.normalise.spans import Spans

NS_PER_DAY = 86_400 * 10**9
COST_SOURCES = frozenset({"provider", "sdk", "gateway", "computed", "estimated"})
MAX_REPORTED_USD = 9e8
"""A reported cost beyond it does not fit Decimal(18, 9) and is not believed; nor is one below zero."""


@dataclass(slots=True)
class Usage:
    """Verdicts per span of a batch, and what the batch adds to totals.

    Attributes:
        scope: own, rollup, duplicate or empty.
        own: usage that counts.
        duplicate: copies of a call that counts elsewhere.
        cost_nano: own cost in nano-dollars, rounded once; 0 elsewhere.
        cost_source: where it comes from; `unpriced` for a model without price, or a call that succeeded without usage.
        pricing_version: the price table, on computed costs.
        counted: rows of the batch that count, aligned with `contributions`.
        contributions: what they add.
        superseded: earlier calls that no longer count.
    """

    scope: Words
    own: NDArray[np.bool_]
    duplicate: NDArray[np.bool_]
    cost_nano: NDArray[np.int64]
    cost_source: Words
    pricing_version: Words
    counted: NDArray[np.integer]
    contributions: Contributions
    superseded: list[Superseded]


class UsageAccountant:
    """Decides scope and cost of each batch. Remembers recent calls to tell copies of them."""

    def __init__(self, prices: PriceBook, *, settle_s: float) -> None:
        self._prices = prices
        self._calls = CallIndex(settle_s)

    def account(self, spans: Spans) -> Usage:
        """The verdicts for a batch."""
        duplicate, superseded = self._calls.duplicates(spans)
        may_own = spans.op.isin(USAGE_OPS) & ~duplicate
        own = may_own & spans.has_usage
        rollup = spans.has_usage & ~may_own & ~duplicate
        told = spans.reported_cost_usd
        reported = may_own & (told >= 0) & (told < MAX_REPORTED_USD)
        scope = Words.choose(
            ["", "own", "rollup", "duplicate"],
            np.where(own | reported, 1, np.where(rollup, 2, np.where(duplicate, 3, 0))),
        )

        model = spans.response_model.otherwise(spans.request_model)
        cost_nano, computed = self._cost(spans, own, model)
        cost_nano[reported] = np.rint(told[reported] * 1e9).astype(np.int64)
        failed = spans.status.isin(("error", "cancelled", "interrupted"))
        unpriced = (own & ~computed & ~reported) | (may_own & ~spans.has_usage & ~failed & ~reported)
        source = Words.choose(
            ["", "computed", "unpriced"], np.where(unpriced, 2, np.where(own & computed & ~reported, 1, 0))
        )
        said = spans.reported_cost_source.map(lambda word: word if word in COST_SOURCES else "sdk")
        source = source.overlaid(said, reported)

        counted = np.flatnonzero(spans.known & ~duplicate)
        contributions = _contributions(spans, counted, own, model, cost_nano, unpriced)
        self._calls.remember(spans, contributions, counted)
        return Usage(
            scope=scope,
            own=own,
            duplicate=duplicate,
            cost_nano=cost_nano,
            cost_source=source,
            pricing_version=Words.choose(["", self._prices.version], own & computed & ~reported),
            counted=counted,
            contributions=contributions,
            superseded=superseded,
        )

    def _cost(self, spans: Spans, own: NDArray[np.bool_], model: Words) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Computed cost per row and whether a price was found: by the model that answered, else the one asked for."""
        cost = np.zeros(spans.rows, np.int64)
        priced = np.zeros(spans.rows, np.bool_)
        for named in (model, spans.request_model):
            rows = np.flatnonzero(own & ~priced)
            if not len(rows):
                break
            codes = spans.provider.codes[rows].astype(np.int64) * len(named.words) + named.codes[rows]
            distinct, pair = np.unique(codes, return_inverse=True)
            cost[rows], priced[rows] = self._prices.cost(
                provider=[spans.provider.words[code // len(named.words)] for code in distinct.tolist()],
                model=[named.words[code % len(named.words)] for code in distinct.tolist()],
                pair=pair.astype(np.int32),
                day=(spans.start_ns[rows] // NS_PER_DAY).astype(np.int32),
                input_tokens=spans.input_tokens[rows],
                output_tokens=spans.output_tokens[rows],
                cache_read=spans.cache_read_tokens[rows],
                cache_write=spans.cache_write_tokens[rows],
                second=(spans.start_ns[rows] % NS_PER_DAY // 10**9).astype(np.int32),
                reasoning=spans.reasoning_tokens[rows],
            )
        return cost, priced


def _contributions(
    spans: Spans,
    rows: NDArray[np.integer],
    own: NDArray[np.bool_],
    model: Words,
    cost_nano: NDArray[np.int64],
    unpriced: NDArray[np.bool_],
) -> Contributions:
    def owned(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(own[rows], tokens[rows], 0)

    return Contributions(
        tenant=spans.tenant.take(rows),
        trace=spans.trace.take(rows),
        service=spans.service.take(rows),
        agent_name=spans.agent_name.take(rows),
        agent_version=spans.agent_version.take(rows),
        provider=spans.provider.take(rows),
        model=model.take(rows),
        tool_name=spans.tool_name.take(rows),
        op=spans.op.take(rows),
        end_ns=spans.end_ns[rows],
        duration_ns=spans.duration_ns[rows],
        error=spans.status.isin(("error",))[rows],
        inference=spans.op.isin(INFERENCE_OPS)[rows],
        input_tokens=owned(spans.input_tokens),
        output_tokens=owned(spans.output_tokens),
        cache_read_tokens=owned(spans.cache_read_tokens),
        cache_write_tokens=owned(spans.cache_write_tokens),
        reasoning_tokens=owned(spans.reasoning_tokens),
        cost_nano=cost_nano[rows],
        unpriced=unpriced[rows],
    )
