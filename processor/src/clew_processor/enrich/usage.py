"""Whose usage counts, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from clew_processor.enrich.calls import CallIndex, Worth
from clew_processor.enrich.carriers import Carriers
from clew_processor.enrich.contributions import (
    TOKENS,
    Changed,
    Contributions,
    Corrected,
    all_changed,
    all_corrected,
)
from clew_processor.enrich.costs import Billed, cost_of
from clew_processor.enrich.remembered import KIND_OF_OP, TOOL
from clew_processor.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from clew_processor.enrich.pricing import PriceBook
    from clew_processor.enrich.remembered import Numbers
    from clew_processor.normalise.spans import Spans

ECHO_OPS = frozenset({"fetch_response", "other"})
"""An answer that is fetched again costs nothing, and of a part of a call nobody knows which one it is."""
COST_SOURCES = frozenset({"provider", "sdk", "gateway", "computed", "estimated"})
MAX_REPORTED_USD = 9e8
"""A reported cost beyond it does not fit Decimal(18, 9) and is not believed; nor is one below zero."""


@dataclass(slots=True)
class Usage:
    """Verdicts per span of a batch, and what the batch adds to totals.

    Attributes:
        scope: own, rollup, duplicate or empty.
        own: usage that counts.
        told: the span, or a copy of it, told all its tokens.
        estimated: tokens are a guess, the sender's or ours, or only a part was told.
        duplicate: copies of a call that counts elsewhere.
        tokens: by kind, as the span tells them, or a more complete copy of it where that counts by this one.
        requested: how many tool calls the answer asks for, likewise.
        cost_nano: own cost in nano-dollars, rounded once; 0 elsewhere.
        computed_nano: what the price table says of the span's usage, wherever it counts; 0 if nothing.
        cost_source: where it comes from; `unpriced` for a model without price, or a call that succeeded without usage.
        pricing_version: the price table, on computed costs.
        contributions: what the rows that count add.
        superseded: what earlier spans added and add no longer; None where there are none.
        reinstated: what earlier spans did not add and add now; None where there are none.
        corrected: what is to be told of both.
        late_duplicates: calls that count although a copy of them did, longer ago than copies are told.
    """

    scope: Words
    own: NDArray[np.bool_]
    told: NDArray[np.bool_]
    estimated: NDArray[np.bool_]
    duplicate: NDArray[np.bool_]
    tokens: dict[str, NDArray[np.int64]]
    requested: NDArray[np.int64]
    cost_nano: NDArray[np.int64]
    computed_nano: NDArray[np.int64]
    cost_source: Words
    pricing_version: Words
    contributions: Contributions
    superseded: Changed | None
    reinstated: Changed | None
    corrected: Corrected | None
    late_duplicates: int


class UsageAccountant:
    """Decides scope and cost of each batch. Remembers recent calls to tell copies of them."""

    def __init__(self, prices: PriceBook, *, settle_s: float) -> None:
        self._prices = prices
        self._calls = CallIndex(settle_s)
        self._carriers = Carriers(settle_s)

    def use(self, prices: PriceBook) -> None:
        """Goes by these prices from the next batch on."""
        self._prices = prices

    def open_minutes(self) -> set[int]:
        """Minutes since the epoch in which a span ended whose cost or scope may still change."""
        return self._calls.minutes() | self._carriers.minutes()

    def account(self, spans: Spans, now: int) -> Usage:
        """The verdicts for a batch.

        Args:
            spans: the batch.
            now: by the `ArrivalClock`.
        """
        kind = np.array([KIND_OF_OP.get(op, -1) for op in spans.op.words], np.int8)[spans.op.codes]
        calls = (kind >= 0) & (kind != TOOL)
        usd = spans.reported_cost_usd
        reported = spans.known & (usd >= 0) & (usd < MAX_REPORTED_USD)
        # Tokens are told, or guessed where they are not (`guess`).
        told, guessed = spans.has_usage & ~spans.usage_estimated, spans.usage_estimated
        has_usage = spans.has_usage | (guessed & (spans.input_tokens + spans.output_tokens > 0))
        echoes = spans.op.isin(ECHO_OPS)
        tells = spans.known & (has_usage | (reported & (usd > 0))) & ~echoes
        kind[tells & (kind == TOOL)] = -1  # it carries usage, and counts for that: no other span can stand for it
        carriers, turned = self._carriers.judge(spans, tells, tells & calls, now)
        # What each span is worth if it counts; a copy that does not may yet be reinstated.
        may_own = calls.copy()
        may_own[carriers.owners] = may_own[carriers.doubtful] = True
        used = may_own & has_usage
        reported &= may_own
        model = spans.response_model.otherwise(spans.request_model)
        priced = cost_of(self._prices, Billed.of(spans), used)
        computed_nano = priced.nano
        cost_nano = priced.nano.copy()
        cost_nano[reported] = np.rint(usd[reported] * 1e9).astype(np.int64)
        computed = priced.priced & ~reported
        failed = spans.status.isin(("error", "cancelled", "interrupted"))
        unpriced = (used & ~computed & ~reported) | (may_own & ~has_usage & ~failed & ~reported)
        estimated = spans.usage_estimated
        ours = np.where(unpriced, 3, np.where(computed, np.where(priced.estimated | estimated, 2, 1), 0))
        source = Words.choose(["", "computed", "estimated", "unpriced"], ours)
        said = spans.reported_cost_source.map(lambda word: word if word in COST_SOURCES else "sdk")
        source = source.overlaid(said, reported)
        adds = _contributions(spans, used, model, cost_nano, unpriced, guessed)
        owns = used | reported
        copies = self._calls.judge(spans, Worth(adds, Words.choose(["", "own"], owns), source, kind), now)
        open_ones = np.concatenate([carriers.owners, carriers.doubtful])
        if len(open_ones):
            self._carriers.remember(spans, carriers, adds.take(open_ones), source.take(open_ones).tolist(), now)

        tokens = {name: getattr(spans, name) for name in TOKENS}
        requested = spans.asked_calls
        if copies.borrowed:
            adds, source = _completed(adds, source, copies.borrowed)
            rows = np.array(list(copies.borrowed))
            others = list(copies.borrowed.values())
            owns[rows] = [other.scope == "own" for other in others]
            used[rows] = [any(other.tokens) for other in others]
            requested = requested.copy()
            requested[rows] = [other.requested for other in others]
            computed[rows] = source.isin(("computed", "estimated"))[rows]
            computed_nano[rows] = np.where(computed[rows], adds.cost_nano[rows], 0)
            estimated, told = estimated.copy(), told.copy()
            estimated[rows] = [other.estimated for other in others]
            told[rows] = [any(other.tokens) and not other.estimated for other in others]
            for name, counts in tokens.items():
                tokens[name] = counts.copy()
                tokens[name][rows] = getattr(adds, name)[rows]
        idle = copies.duplicate
        echoed = echoes & has_usage
        if len(carriers.repeats) or echoed.any():
            idle = copies.duplicate | echoed
            idle[carriers.repeats] = True
            adds = adds.with_usage(~idle)
        counted = spans.known & ~copies.duplicate
        return Usage(
            scope=Words.choose(
                ["", "own", "rollup", "duplicate"], np.where(copies.duplicate, 3, np.where(idle, 2, owns))
            ),
            own=used & ~idle,
            told=told,
            estimated=estimated,
            duplicate=copies.duplicate,
            tokens=tokens,
            requested=requested,
            cost_nano=np.where(idle, 0, adds.cost_nano),
            computed_nano=computed_nano,
            cost_source=source.overlaid(Words.constant("", spans.rows), idle),
            pricing_version=Words.choose(["", self._prices.version], computed),
            contributions=adds if counted.all() else adds.take(np.flatnonzero(counted)),
            superseded=_all(all_changed, [copies.superseded, *(one.before for one in turned)]),
            reinstated=_all(all_changed, [copies.reinstated, *(one.after for one in turned)]),
            corrected=_all(all_corrected, [copies.corrected, *(one.corrected for one in turned)]),
            late_duplicates=copies.late,
        )

    def forget(self, now: int) -> None:
        """Forgets calls that copies are no longer told of by now (`ArrivalClock`)."""
        self._calls.forget(now)
        self._carriers.forget(now)

    def state(self) -> object:
        """What it remembers."""
        return self._calls.state(), self._carriers.state()

    def restore(self, state: Any) -> None:
        """Remembers that instead."""
        calls, carriers = state
        self._calls.restore(calls)
        self._carriers.restore(carriers)


_Part = TypeVar("_Part")


def _all(join: Callable[[list[_Part]], _Part], parts: list[_Part | None]) -> _Part | None:
    """All parts that there are as one; None where there are none."""
    some = [part for part in parts if part is not None]
    return join(some) if some else None


def _completed(adds: Contributions, source: Words, borrowed: dict[int, Numbers]) -> tuple[Contributions, Words]:
    """What rows add, and where their cost is from, with other tokens and cost for some of them."""
    rows, others = np.array(list(borrowed)), list(borrowed.values())
    columns: dict[str, Any] = {
        name: getattr(adds, name).copy() for name in (*TOKENS, "cost_nano", "unpriced", "guessed")
    }
    tokens = np.array([other.tokens for other in others], np.int64)
    for i, name in enumerate(TOKENS):
        columns[name][rows] = tokens[:, i]
    columns["cost_nano"][rows] = [other.cost_nano for other in others]
    columns["unpriced"][rows] = [other.unpriced for other in others]
    columns["guessed"][rows] = [other.estimated for other in others]
    words = dict.fromkeys(other.cost_source for other in others)
    codes = np.zeros(len(source), np.int32)
    codes[rows] = [list(words).index(other.cost_source) for other in others]
    mask = np.zeros(len(source), np.bool_)
    mask[rows] = True
    return replace(adds, **columns), source.overlaid(Words(codes, list(words)), mask)


def _contributions(
    spans: Spans,
    used: NDArray[np.bool_],
    model: Words,
    cost_nano: NDArray[np.int64],
    unpriced: NDArray[np.bool_],
    guessed: NDArray[np.bool_],
) -> Contributions:
    tokens = {name: np.where(used, getattr(spans, name), 0) for name in TOKENS}
    return Contributions(
        tenant=spans.tenant,
        trace=spans.trace,
        service=spans.service,
        agent_name=spans.agent_name,
        agent_version=spans.agent_version,
        provider=spans.provider,
        model=model,
        tool_name=spans.tool_name,
        op=spans.op,
        end_ns=spans.end_ns,
        duration_ns=spans.duration_ns,
        error=spans.error,
        inference=spans.inference,
        cost_nano=cost_nano,
        unpriced=unpriced,
        guessed=guessed,
        **tokens,
    )
