"""Whose usage counts, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clew_processor.enrich.calls import CallIndex, Worth
from clew_processor.enrich.contributions import Contributions
from clew_processor.enrich.costs import Billed, cost_of
from clew_processor.normalise.spans import USAGE_OPS
from clew_processor.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.enrich.calls import Changed
    from clew_processor.enrich.pricing import PriceBook
    from clew_processor.normalise.spans import Spans

COST_SOURCES = frozenset({"provider", "sdk", "gateway", "computed", "estimated"})
MAX_REPORTED_USD = 9e8
"""A reported cost beyond it does not fit Decimal(18, 9) and is not believed; nor is one below zero."""


@dataclass(slots=True)
class Usage:
    """Verdicts per span of a batch, and what the batch adds to totals.

    Attributes:
        scope: own, rollup, duplicate or empty.
        own: usage that counts.
        estimated: tokens are a guess, the sender's or ours.
        duplicate: copies of a call that counts elsewhere.
        cost_nano: own cost in nano-dollars, rounded once; 0 elsewhere.
        computed_nano: what the price table says of the span's usage, wherever it counts; 0 if nothing.
        cost_source: where it comes from; `unpriced` for a model without price, or a call that succeeded without usage.
        pricing_version: the price table, on computed costs.
        counted: rows of the batch that count, aligned with `contributions`.
        contributions: what they add.
        superseded: earlier calls that no longer count; None where there are none.
        reinstated: earlier copies that count after all; None where there are none.
        late_duplicates: calls that count although a copy of them did, longer ago than copies are told.
    """

    scope: Words
    own: NDArray[np.bool_]
    estimated: NDArray[np.bool_]
    duplicate: NDArray[np.bool_]
    cost_nano: NDArray[np.int64]
    computed_nano: NDArray[np.int64]
    cost_source: Words
    pricing_version: Words
    counted: NDArray[np.integer]
    contributions: Contributions
    superseded: Changed | None
    reinstated: Changed | None
    late_duplicates: int


class UsageAccountant:
    """Decides scope and cost of each batch. Remembers recent calls to tell copies of them."""

    def __init__(self, prices: PriceBook, *, settle_s: float) -> None:
        self._prices = prices
        self._calls = CallIndex(settle_s)

    def use(self, prices: PriceBook) -> None:
        """Goes by these prices from the next batch on."""
        self._prices = prices

    def open_minutes(self) -> set[int]:
        """Minutes since the epoch in which a span ended whose cost or scope may still change."""
        return self._calls.minutes()

    def account(self, spans: Spans, now: int) -> Usage:
        """The verdicts for a batch.

        Args:
            spans: the batch.
            now: by the `ArrivalClock`.
        """
        copies = self._calls.judge(spans, now)
        duplicate = copies.duplicate
        # What each span is worth if it counts; a copy that does not may yet be reinstated.
        may_own = spans.op.isin(USAGE_OPS)
        # Tokens are told, or guessed where they are not (`guess`).
        has_usage = spans.has_usage | (spans.usage_estimated & (spans.input_tokens + spans.output_tokens > 0))
        used = may_own & has_usage
        told = spans.reported_cost_usd
        reported = may_own & (told >= 0) & (told < MAX_REPORTED_USD)
        model = spans.response_model.otherwise(spans.request_model)
        priced = cost_of(self._prices, Billed.of(spans), used)
        cost_nano = priced.nano.copy()
        cost_nano[reported] = np.rint(told[reported] * 1e9).astype(np.int64)
        computed = priced.priced & ~reported
        failed = spans.status.isin(("error", "cancelled", "interrupted"))
        unpriced = (used & ~computed & ~reported) | (may_own & ~has_usage & ~failed & ~reported)
        ours = np.where(unpriced, 3, np.where(computed, np.where(priced.estimated | spans.usage_estimated, 2, 1), 0))
        source = Words.choose(["", "computed", "estimated", "unpriced"], ours)
        said = spans.reported_cost_source.map(lambda word: word if word in COST_SOURCES else "sdk")
        source = source.overlaid(said, reported)
        self._calls.remember(
            spans,
            copies,
            Worth(
                contributions=_contributions(spans, copies.calls, used, model, cost_nano, unpriced),
                scope=Words.choose(["", "own"], (used | reported)[copies.calls]),
                cost_source=source.take(copies.calls),
            ),
        )

        own = used & ~duplicate
        rollup = has_usage & ~may_own
        counted = np.flatnonzero(spans.known & ~duplicate)
        return Usage(
            scope=Words.choose(
                ["", "own", "rollup", "duplicate"],
                np.where(duplicate, 3, np.where(used | reported, 1, np.where(rollup, 2, 0))),
            ),
            own=own,
            estimated=spans.usage_estimated,
            duplicate=duplicate,
            cost_nano=np.where(duplicate, 0, cost_nano),
            computed_nano=priced.nano,
            cost_source=source.overlaid(Words.constant("", spans.rows), duplicate),
            pricing_version=Words.choose(["", self._prices.version], computed),
            counted=counted,
            contributions=_contributions(spans, counted, own, model, cost_nano, unpriced),
            superseded=copies.superseded,
            reinstated=copies.reinstated,
            late_duplicates=copies.late,
        )

    def forget(self, now: int) -> None:
        """Forgets calls that copies are no longer told of by now (`ArrivalClock`)."""
        self._calls.forget(now)

    def state(self) -> object:
        """What it remembers."""
        return self._calls.state()

    def restore(self, state: Any) -> None:
        """Remembers that instead."""
        self._calls.restore(state)


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
        error=spans.error[rows],
        inference=spans.inference[rows],
        input_tokens=owned(spans.input_tokens),
        output_tokens=owned(spans.output_tokens),
        cache_read_tokens=owned(spans.cache_read_tokens),
        cache_write_tokens=owned(spans.cache_write_tokens),
        reasoning_tokens=owned(spans.reasoning_tokens),
        cost_nano=cost_nano[rows],
        unpriced=unpriced[rows],
        guessed=(spans.usage_estimated & ~spans.has_usage)[rows],
    )
