"""Which costs are others by the prices in force, read from the store.

It is read between two batches: what is stored then and what the stages remember belong together. Calls that may still
be corrected (a copy of them may come) are left for another time, by the minute in which they ended: their cost is
remembered, and would be taken away as it was.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from clew_processor.enrich.costs import Billed, cost_of
from clew_processor.reprice.changes import CORRECTED, DIMENSIONS, SCHEMA
from clew_processor.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from clew_processor.enrich.price_table import Rates
    from clew_processor.enrich.pricing import PriceBook

SPANS_AT_ONCE: Final = 10_000
MINUTE_NS: Final = 60 * 10**9

_TOKENS: Final = {
    "input_tokens": "InputTokens",
    "output_tokens": "OutputTokens",
    "cache_read_tokens": "CacheReadTokens",
    "cache_write_tokens": "CacheWriteTokens",
    "reasoning_tokens": "ReasoningTokens",
    "cache_write_1h_tokens": "CacheWrite1hTokens",
    "input_audio_tokens": "InputAudioTokens",
    "cache_read_audio_tokens": "CacheReadAudioTokens",
    "output_audio_tokens": "OutputAudioTokens",
}
"""Field of `Billed` -> column of otel_traces."""
_NAMES: Final = {
    "provider": "Provider",
    "request_model": "RequestModel",
    "response_model": "ResponseModel",
    "service_tier": "ServiceTier",
}


def _effective(name: str) -> str:
    """A count as otel_traces_full has it."""
    column = f"span.{_TOKENS[name]}"
    return f"ifNull(verdict.{name}, {column})" if name in CORRECTED else column


_SPANS: Final = f"""
WITH
    if(verdict.version > 0, verdict.usage_scope, span.UsageScope) AS scope,
    if(verdict.version > 0, verdict.cost_usd, span.CostUsd) AS cost,
    if(verdict.version > 0, verdict.cost_source, span.CostSource) AS source,
    if(verdict.pricing_version != '', verdict.pricing_version, span.PricingVersion) AS priced_by
SELECT
    span.TenantId, span.TraceId, span.SpanId,
    toUnixTimestamp64Nano(span.Timestamp), span.Duration,
    span.ServiceName, span.AgentName, span.AgentVersion, span.ToolName, span.Op,
    {", ".join(f"span.{column}" for column in _NAMES.values())},
    {", ".join(map(_effective, _TOKENS))},
    ifNull(verdict.usage_estimated, span.UsageEstimated), cost, source,
    {", ".join(f"verdict.{name}" for name in CORRECTED)}, verdict.usage_estimated
FROM otel_traces AS span
LEFT JOIN (SELECT * FROM span_corrections FINAL) AS verdict
    ON verdict.tenant_id = span.TenantId AND verdict.trace_id = span.TraceId AND verdict.span_id = span.SpanId
WHERE span.Timestamp >= fromUnixTimestamp64Nano({{since:Int64}})
    AND span.Timestamp < fromUnixTimestamp64Nano({{until:Int64}})
    AND (span.TenantId, span.TraceId, span.SpanId) > ({{tenant:String}}, {{trace:String}}, {{span:String}})
    AND {{model:String}} IN ('', span.ResponseModel, span.RequestModel)
    AND scope = 'own'
    AND (source = 'unpriced' OR (source IN ('computed', 'estimated') AND priced_by NOT IN ('', {{version:String}})))
ORDER BY span.TenantId, span.TraceId, span.SpanId
LIMIT {{limit:UInt64}} WITH TIES
"""
"""Spans whose cost is ours, or missing. A reported cost has no version of prices."""

Key = tuple[str, str, str]
"""Tenant, trace and span id."""
FIRST: Final[Key] = ("", "", "")
"""Before every key."""
MINUTES_AT_ONCE: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class Order:
    """What to price again.

    Attributes:
        since_ns: calls that started from then on, Unix ns.
        until_ns: and before then.
        model: only of this model; empty for all.
    """

    since_ns: int
    until_ns: int
    model: str = ""

    def days(self) -> list[range]:
        """Its whole minutes since the epoch, a day's at a time."""
        first, last = -(-self.since_ns // MINUTE_NS), self.until_ns // MINUTE_NS
        return [range(day, min(day + MINUTES_AT_ONCE, last)) for day in range(first, last, MINUTES_AT_ONCE)]


class Model(NamedTuple):
    """Whose price."""

    provider: str
    model: str


@dataclass(slots=True)
class Changed:
    """Of one model: how many calls, and their cost in nano-dollars."""

    calls: int = 0
    before: int = 0
    after: int = 0

    def add(self, other: Changed) -> None:
        """More of it."""
        self.calls += other.calls
        self.before += other.before
        self.after += other.after


@dataclass(slots=True)
class Outcome:
    """What was found, all told in calls.

    Attributes:
        changed: by model.
        unpriced: still without a price, by model.
        unchanged: cost the same by the prices in force.
        unsettled: may still be corrected, and were left.
        sampled_out: of those in `changed`, calls that were sampled out.
        unsure: sampled out, and left: what they cost cannot be told from sums; by model.
    """

    changed: dict[Model, Changed] = field(default_factory=dict)
    unpriced: Counter[Model] = field(default_factory=Counter)
    unchanged: int = 0
    unsettled: int = 0
    sampled_out: int = 0
    unsure: Counter[Model] = field(default_factory=Counter)

    def add(self, other: Outcome) -> None:
        """More of it."""
        for model, changed in other.changed.items():
            self.changed.setdefault(model, Changed()).add(changed)
        self.unpriced.update(other.unpriced)
        self.unsure.update(other.unsure)
        self.unchanged += other.unchanged
        self.unsettled += other.unsettled
        self.sampled_out += other.sampled_out

    def told(self) -> dict[str, Any]:
        """As JSON has it; money as text, exact."""

        def named(counts: Counter[Model]) -> list[dict[str, Any]]:
            return [model._asdict() | {"calls": calls} for model, calls in sorted(counts.items())]

        return {
            "changed": [
                model._asdict() | {"calls": one.calls, "before_usd": _usd(one.before), "after_usd": _usd(one.after)}
                for model, one in sorted(self.changed.items())
            ],
            "unpriced": named(self.unpriced),
            "unchanged_calls": self.unchanged,
            "unsettled_calls": self.unsettled,
            "sampled_out_calls": self.sampled_out,
            "unsure": named(self.unsure),
        }


def _usd(nano: int) -> str:
    return f"{Decimal(nano).scaleb(-9):f}"


class Part(NamedTuple):
    """Of the work, so much as is done at once.

    Attributes:
        changes: of `changes.SCHEMA`; None where there are none.
        outcome: what was found.
        last: where the next part begins; None when there is no more.
    """

    changes: pa.Table | None
    outcome: Outcome
    last: Key | None


def next_spans(
    read: Callable[[str, dict[str, Any]], Sequence[Sequence[Any]]],
    prices: PriceBook,
    order: Order,
    after: Key,
    open_minutes: Collection[int],
) -> Part:
    """The next spans in order of their key.

    Args:
        read: answers a SELECT.
        prices: in force.
        order: what to price.
        after: the last key of the part before; empty texts at the beginning.
        open_minutes: minutes since the epoch in which a call ended that may still be corrected.
    """
    tenant, trace, span = after
    limit = SPANS_AT_ONCE
    found = read(
        _SPANS,
        {
            "since": order.since_ns, "until": order.until_ns, "model": order.model, "version": prices.version,
            "tenant": tenant, "trace": trace, "span": span, "limit": limit,
        },
    )  # fmt: skip
    if not found:
        return Part(None, Outcome(), None)
    columns = _Columns(found)
    changes, outcome = _priced(columns, prices, open_minutes)
    last = (columns.texts[0][-1], columns.texts[1][-1], columns.texts[2][-1]) if len(found) >= limit else None
    return Part(changes, outcome, last)


def sums(
    read: Callable[[str, dict[str, Any]], Sequence[Sequence[Any]]],
    prices: PriceBook,
    minutes: range,
    model: str,
    open_minutes: Collection[int],
) -> Part:
    """Calls without a price of which no span is kept, by minute: what usage_1m has beyond the spans of otel_traces.

    They can be priced where a model has one price for each token, whatever the call was, in whole nano-dollars: then
    the sum of the calls' costs, each rounded, is the sum of the tokens' prices. Runs of theirs keep the cost they have.

    Args:
        read: answers a SELECT.
        prices: in force.
        minutes: in which they ended, since the epoch.
        model: only of this model; empty for all.
        open_minutes: see `next_spans`.
    """
    ((sampled_out, dead),) = read(_MISSING, {})
    if not sampled_out:
        return Part(None, Outcome(), None)
    found = read(_SUMS, {"first": minutes.start * 60, "last": minutes.stop * 60, "model": model})
    outcome = Outcome()
    chosen: list[dict[str, Any]] = []
    for minute, *row in found:
        names, (calls, cost, *tokens) = row[: len(DIMENSIONS)], row[len(DIMENSIONS) :]
        group = dict(zip(DIMENSIONS, names, strict=True))
        whose = Model(group["provider"], group["model"])
        if minute // 60 in open_minutes:
            outcome.unsettled += calls
            continue
        rates = prices.plain_rates(*whose, day=minute // 86_400)
        # A dead letter is in the totals too, and its span may yet be stored, and then priced by itself.
        nano = None if rates is None or cost != 0 or dead else _whole_nano(rates, tokens)
        if nano is None:
            known = prices.is_priced(*whose, day=minute // 86_400)
            (outcome.unsure if known else outcome.unpriced)[whose] += calls
            continue
        outcome.sampled_out += calls
        outcome.changed.setdefault(whose, Changed()).add(Changed(calls, 0, nano))
        chosen.append(
            group
            | {"trace_id": "", "span_id": "", "minute": minute, "old_nano": 0, "new_nano": nano, "priced_calls": calls}
            | {"cost_source": "", "pricing_version": prices.version}
        )
    return Part(pa.Table.from_pylist(chosen, schema=SCHEMA) if chosen else None, outcome, None)


_MISSING: Final = """
SELECT
    (SELECT sum(sampled_out) FROM ledger_1m WHERE signal = 'traces'),
    (SELECT count() FROM dead_letter WHERE `where` = 'otel_traces')
"""
_SUMMED: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
_SUMS: Final = f"""
SELECT
    toUnixTimestamp(minute), {", ".join(DIMENSIONS)},
    toInt64(sum(calls)) AS unpriced, sum(cost) AS missed,
    {", ".join(f"toInt64(sum({name})) AS {name}" for name in _SUMMED)}
FROM
(
    SELECT
        minute, {", ".join(DIMENSIONS)}, unpriced_calls - calls_without_usage AS calls, cost_usd AS cost,
        {", ".join(_SUMMED)}
    FROM usage_1m
    WHERE minute >= toDateTime({{first:Int64}}) AND minute < toDateTime({{last:Int64}})
        AND {{model:String}} IN ('', model)
    UNION ALL
    SELECT
        toStartOfMinute(toDateTime(fromUnixTimestamp64Nano(toInt64(
            toUnixTimestamp64Nano(span.Timestamp) + span.Duration)), 'UTC')) AS minute,
        span.TenantId, span.ServiceName, span.AgentName, span.AgentVersion, span.Provider,
        if(span.ResponseModel != '', span.ResponseModel, span.RequestModel) AS model,
        span.ToolName, span.Op,
        -toInt64(if(verdict.version > 0, verdict.cost_source, span.CostSource) = 'unpriced') AS calls,
        -toDecimal128(if(verdict.version > 0, verdict.cost_usd, span.CostUsd), 9) AS cost,
        {", ".join(f"-toInt64({_effective(name)})" for name in _SUMMED)}
    FROM otel_traces AS span
    LEFT JOIN (SELECT * FROM span_corrections FINAL) AS verdict
        ON verdict.tenant_id = span.TenantId AND verdict.trace_id = span.TraceId AND verdict.span_id = span.SpanId
    WHERE span.Timestamp < toDateTime({{last:Int64}}) AND minute >= toDateTime({{first:Int64}})
        AND minute < toDateTime({{last:Int64}})
        AND {{model:String}} IN ('', model)
        AND if(verdict.version > 0, verdict.usage_scope, span.UsageScope) = 'own'
)
GROUP BY minute, {", ".join(DIMENSIONS)}
HAVING unpriced > 0 AND {" + ".join(_SUMMED)} > 0
ORDER BY minute, {", ".join(DIMENSIONS)}
"""
"""What is in the totals and in no kept span. A span is counted in the minute in which it ended."""


def _whole_nano(rates: Rates, tokens: Sequence[int]) -> int | None:
    """What these tokens cost, if a token of each kind among them costs whole nano-dollars."""
    prompt, output, read, write, reasoning = tokens
    counts = {
        "input": prompt - read - write,
        "cache_read": read,
        "cache_write": write,
        "output": output - reasoning,
        "reasoning": reasoning,
    }
    parts = [(getattr(rates, kind) / 1000, count) for kind, count in counts.items() if count]
    if min(counts.values()) < 0 or any(rate.denominator != 1 for rate, _ in parts):
        return None
    return int(sum(rate * count for rate, count in parts))


class _Columns:
    """The answer to `_SPANS` by column."""

    def __init__(self, rows: Sequence[Sequence[Any]]) -> None:
        columns = list(zip(*rows, strict=True))
        self.texts: list[tuple[str, ...]] = columns[:3]
        start, duration, *columns = columns[3:]
        self.start_ns = np.array(start, np.int64)
        self.end_ns = self.start_ns + np.array(duration, np.int64)
        (self.service, self.agent, self.agent_version, self.tool, self.op), columns = columns[:5], columns[5:]
        names: dict[str, Any] = {name: _words(column) for name, column in zip(_NAMES, columns, strict=False)}
        columns = columns[len(_NAMES) :]
        tokens: dict[str, Any] = {
            name: np.array(column, np.int64) for name, column in zip(_TOKENS, columns, strict=False)
        }
        (estimated, cost, source), self.corrected = columns[len(_TOKENS) :][:3], columns[len(_TOKENS) + 3 :]
        self.billed = Billed(start_ns=self.start_ns, **names, **tokens)
        self.estimated = np.array(estimated, np.bool_)
        self.cost_nano = np.array([int(value.scaleb(9)) for value in cost], np.int64)
        self.source = np.array(source, object)

    def __len__(self) -> int:
        return len(self.start_ns)


def _priced(columns: _Columns, prices: PriceBook, open_minutes: Collection[int]) -> tuple[pa.Table | None, Outcome]:
    billed = columns.billed
    minute = columns.end_ns // MINUTE_NS
    settled = ~np.isin(minute, np.fromiter(open_minutes, np.int64, len(open_minutes)))
    told = sum(getattr(billed, name) for name in _TOKENS) > 0
    costs = cost_of(prices, billed, settled & told)
    source = np.where(costs.estimated | columns.estimated, "estimated", "computed").astype(object)
    other = costs.priced & ((costs.nano != columns.cost_nano) | (source != columns.source))
    model = billed.response_model.otherwise(billed.request_model)
    named = [Model(*names) for names in zip(billed.provider.tolist(), model.tolist(), strict=True)]
    without = settled & told & ~costs.priced & (columns.source == "unpriced")
    outcome = Outcome(
        unpriced=Counter(named[row] for row in np.flatnonzero(without).tolist()),
        unchanged=int((costs.priced & ~other).sum()),
        unsettled=int((~settled & told).sum()),
    )
    chosen = np.flatnonzero(other)
    if not len(chosen):
        return None, outcome
    old, new = columns.cost_nano[chosen], costs.nano[chosen]
    for row, before, after in zip(chosen.tolist(), old.tolist(), new.tolist(), strict=True):
        outcome.changed.setdefault(named[row], Changed()).add(Changed(1, before, after))

    def texts(column: Sequence[str]) -> pa.Array:
        return pa.array([column[row] for row in chosen.tolist()], pa.utf8())

    tenant, trace, span = columns.texts
    values = {
        "trace_id": texts(trace),
        "span_id": texts(span),
        "minute": pa.array((minute[chosen] * 60).astype(np.uint32)),
        "tenant_id": texts(tenant),
        "service_name": texts(columns.service),
        "agent_name": texts(columns.agent),
        "agent_version": texts(columns.agent_version),
        "provider": texts(billed.provider.tolist()),
        "model": texts(model.tolist()),
        "tool_name": texts(columns.tool),
        "op": texts(columns.op),
        "old_nano": pa.array(old),
        "new_nano": pa.array(new),
        "priced_calls": pa.array((columns.source[chosen] == "unpriced").astype(np.int64)),
        "cost_source": texts(source.tolist()),
        "pricing_version": pa.array([prices.version] * len(chosen)),
    }
    values |= {
        name: pa.array([None if column[row] is None else int(column[row]) for row in chosen.tolist()], pa.uint64())
        for name, column in zip((*CORRECTED, "usage_estimated"), columns.corrected, strict=True)
    }
    values["usage_estimated"] = values["usage_estimated"].cast(pa.bool_())
    return pa.table(values, schema=SCHEMA), outcome


def _words(texts: Sequence[str]) -> Words:
    place = {text: code for code, text in enumerate(dict.fromkeys(texts))}
    return Words(np.fromiter(map(place.__getitem__, texts), np.int32, len(texts)), list(place) or [""])
