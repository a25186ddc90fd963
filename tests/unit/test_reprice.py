"""Pricing stored calls again: the tables say what they would if the prices had been there from the start."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from clew_processor.control.metrics import Metrics
from clew_processor.enrich.enricher import Enricher
from clew_processor.enrich.pricing import PriceBook
from clew_processor.pipeline import Pipeline
from clew_processor.prices import Prices
from clew_processor.reprice import changes, plan
from clew_processor.reprice.plan import FIRST, Order, next_spans, sums
from clew_processor.spool.record import Kind, Placed, Record
from clew_processor.write.partitions import cut
from shared.engine import fresh_store
from shared.genai import agent, at, chat, tool
from shared.otlp import request
from shared.pipeline import ARRIVAL, RULES, arrived, batch_of, new_stages

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

ALL = Order(0, 2**62)
HOUSE = """
models:
  - provider: acme
    model: house-*
    prices:
      - {input: 1, output: 2}
      - from: 2026-01-02
        input: 3
        output: 4.0001
        cache_read: 0.3333
        input_audio: 7
        above: [{prompt_tokens: 2000, input: 5}]
        service_tiers: {batch: 0.5}
  - {provider: openai, model: gpt-4o-mini, prices: {input: 0.2, output: 0.7}}
"""
DEARER = HOUSE.replace("input: 3", "input: 6").replace("input: 0.2,", "input: 0.4,")
MODELS = [("acme", "house-1"), ("acme", "house-2"), ("openai", "gpt-4o-mini"), ("openai", "gpt-4o"), ("x", "nobodys")]


def book(own: str) -> PriceBook:
    return PriceBook(Prices.of(own, b""))


class World:
    """A processor's stages before a store of its own."""

    def __init__(self, own: str = "", *, probability: float = 1.0) -> None:
        self.store = fresh_store()
        self.prices = book(own)
        self._pipeline = Pipeline(lambda _: self._stages(probability), RULES, Metrics())
        self._position = 0

    def _stages(self, probability: float) -> Any:
        made = new_stages(probability=probability)
        made.enricher = Enricher(self.prices, settle_s=600)
        return made

    def receive(self, *spans: Span) -> None:
        self._put(batch_of([arrived(request(*spans))], start=self._position))

    def reprice(self, prices: PriceBook, order: Order = ALL, open_minutes: Collection[int] = ()) -> plan.Outcome:
        """Plans, spools and stores; what was found."""
        outcome = plan.Outcome()
        parts = []
        after: plan.Key | None = FIRST
        while after is not None:
            part = next_spans(self.store.read, prices, order, after, open_minutes)
            parts.append(part)
            after = part.last
        parts.append(sums(self.store.read, prices, range(2**26), order.model, open_minutes))
        for part in parts:
            outcome.add(part.outcome)
            if part.changes is not None:
                record = Record(Kind.REPRICE, ARRIVAL, body=changes.to_bytes(part.changes))
                batch = batch_of([arrived(request())], start=self._position)
                self._put(replace(batch, records=[Placed(record, self._position, self._position + 1, 0)]))
        return outcome

    def _put(self, batch: Any) -> None:
        self._position = batch.end
        processed = self._pipeline.process(batch, ())
        pieces = [(f"{batch.id}", processed.tables), (f"{batch.id}", {"ledger_1m": processed.ledger.rows(ARRIVAL)})]
        pieces += [(f"{batch.id}:{start}", tables) for start, tables in processed.repriced.items()]
        for token, tables in pieces:
            for table, rows in tables.items():
                for partition, block in cut(table, rows) if rows is not None and rows.num_rows else ():
                    self.store.put(table, block, token=f"{token}:{table}:{partition}")

    def told(self) -> dict[str, list[Sequence[Any]]]:
        """What the tables say of cost."""
        columns = "service_name, agent_name, provider, model, op"
        queries = {
            "usage_1m": f"""
                SELECT minute, {columns}, sum(calls), sum(cost_usd), sum(unpriced_calls), sum(calls_without_usage),
                    sum(input_tokens) FROM usage_1m GROUP BY minute, {columns} ORDER BY ALL""",
            "runs": "SELECT trace_id, cost_usd, unpriced_calls, input_tokens, spans FROM runs ORDER BY trace_id",
            "spans": """
                SELECT TraceId, SpanId, UsageScope, CostUsd, CostSource, InputTokens, OutputTokens, CacheReadTokens,
                    UsageEstimated, UsageScope = 'own' AND PricingVersion != ''
                FROM otel_traces_full ORDER BY ALL""",
            "unpriced": "SELECT * FROM unpriced_models ORDER BY ALL",
        }
        return {name: self.store.read(sql, {}) for name, sql in queries.items()}


def traffic(seed: int, count: int = 300) -> list[Span]:
    """Calls of all kinds, around midnight of the day on which prices change."""
    chance = random.Random(seed)
    spans = [agent(1, "clerk", trace_id=1), tool(2, "search", trace_id=1), chat(3, trace_id=1, provider="acme")]
    for number in range(10, 10 + count):
        copy = chance.randint(1, 20) if chance.random() < 0.3 else 0
        provider, model = MODELS[copy % len(MODELS)] if copy else chance.choice(MODELS)
        attributes: dict[str, Any] = {}
        if chance.random() < 0.2 and not copy:
            attributes |= {"clew.cost.usd": chance.random(), "clew.cost.source": chance.choice(["gateway", "computed"])}
        if chance.random() < 0.3 and not copy:
            attributes["openai.response.service_tier"] = chance.choice(["batch", "default", "priority", "who-knows"])
        tokens = {"input": chance.randint(0, 3000), "output": chance.randint(0, 500)}
        if chance.random() < 0.3:
            tokens["read"] = chance.randint(0, tokens["input"])
        if chance.random() < 0.3 and not copy:
            attributes["gen_ai.usage.audio.input_tokens"] = chance.randint(0, tokens["input"])
        if chance.random() < 0.1:
            tokens = {}
        if chance.random() < 0.1:
            attributes["error.type"] = "E"
        start = at(chance.uniform(-12 * 3600, 12 * 3600) if not copy else 3600 * copy)
        spans.append(
            chat(
                number, trace_id=chance.randint(1, 9), provider=provider, model=model, tokens=tokens,
                attributes=attributes, response=f"r{copy}" if copy else "", start=start,
                end=start + chance.randint(1, 90 * 10**9),
            )
        )  # fmt: skip
    chance.shuffle(spans)
    return spans


@pytest.mark.parametrize("seed", range(3))
def test_the_tables_say_what_they_would_had_the_prices_been_there(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SPANS_AT_ONCE", 37)
    spans = traffic(seed)
    late, early = World(), World(HOUSE)
    for some in (spans[:100], spans[100:]):
        late.receive(*some)
        early.receive(*some)
    assert late.told() != early.told()
    outcome = late.reprice(early.prices)
    assert late.told() == early.told()
    assert sum(outcome.unpriced.values()) == early.store.read("SELECT sum(calls) FROM unpriced_models", {})[0][0]
    again = late.reprice(early.prices)
    assert (again.changed, again.unchanged > 0) == ({}, True)
    dearer = World(DEARER)
    for some in (spans[:100], spans[100:]):
        dearer.receive(*some)
    assert late.reprice(dearer.prices).changed
    assert late.told() == dearer.told()
    late.reprice(early.prices)
    assert late.told() == early.told()


def test_what_is_open_is_left_and_priced_later() -> None:
    late, early = World(), World(HOUSE)
    for world in (late, early):
        world.receive(*traffic(7, 60))
    minutes = {row[0] // 60 for row in late.store.read("SELECT DISTINCT toUnixTimestamp(minute) FROM usage_1m", {})}
    some = set(sorted(minutes)[::2])
    first = late.reprice(early.prices, open_minutes=some)
    assert first.unsettled > 0
    told = late.told()
    assert late.reprice(early.prices, open_minutes=minutes).changed == {}
    assert late.told() == told != early.told()
    late.reprice(early.prices)
    assert late.told() == early.told()


def test_totals_are_exact_though_most_spans_were_sampled_out() -> None:
    flat = "models: [{provider: acme, model: 'house-*', prices: {input: 3, output: 0.005}}]"
    late, early = World(probability=0.2), World(flat, probability=0.2)
    chance = random.Random(3)
    spans = [
        chat(
            number, trace_id=number * 2**50, provider="acme", model=f"house-{number % 2}", start=at(number % 7 * 40),
            tokens={"input": chance.randint(0, 99), "output": chance.randint(1, 9) * 200, "reasoning": number % 3},
        )
        for number in range(1, 200)
    ]  # fmt: skip
    spans += [chat(number, trace_id=number * 2**50, provider="acme", model="house-1") for number in range(300, 320)]
    for world in (late, early):
        world.receive(*spans)
    kept = late.store.read("SELECT count() FROM otel_traces WHERE Provider = 'acme'", {})[0][0]
    outcome = late.reprice(early.prices)
    assert outcome.sampled_out > 0
    assert 0 < kept < sum(one.calls for one in outcome.changed.values())
    cost = """
        SELECT minute, model, sum(cost_usd), sum(unpriced_calls) FROM usage_1m WHERE provider = 'acme'
        GROUP BY ALL ORDER BY ALL"""
    assert outcome.unsure == {}
    assert late.store.read(cost, {}) == early.store.read(cost, {})
    assert late.told()["spans"] == early.told()["spans"]
    again = late.reprice(early.prices)
    assert (again.changed, again.sampled_out) == ({}, 0)


@pytest.mark.parametrize(
    "own",
    [
        "{input: 3, output: 0.0005}",  # half nano-dollars: each call was rounded
        "{input: 3, output: 5, cache_read_audio: 1, cache_read: 2}",
        "{input: 3, output: 5, request: 1}",
        "{input: 3, output: 5, above: [{prompt_tokens: 10, input: 4}]}",
        "{input: 3, output: 5, service_tiers: {batch: 1}}",
        "[{input: 3, output: 5}, {from: 2026-01-02, input: 4, output: 5}]",
    ],
)
def test_sums_are_not_priced_where_they_do_not_tell(own: str) -> None:
    prices = book(f"models: [{{provider: acme, model: 'house-*', prices: {own}}}]")
    world = World(probability=1e-9)
    world.receive(
        *(chat(n, trace_id=n, provider="acme", model="house-1", tokens={"input": 9, "output": 9}) for n in range(1, 9))
    )
    kept = world.store.read("SELECT count() FROM otel_traces", {})[0][0]
    outcome = world.reprice(prices)
    assert sum(outcome.unsure.values()) == 8 - kept
    assert outcome.sampled_out == 0


@pytest.mark.parametrize("content", [b"", b"nonsense", changes.to_bytes(changes.SCHEMA.empty_table())[:-40]])
def test_changes_that_cannot_be_read_leave_costs_as_they_are(content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    pipeline = Pipeline(lambda _: new_stages(), RULES, Metrics())
    batch = replace(
        batch_of([arrived(request())]), records=[Placed(Record(Kind.REPRICE, ARRIVAL, body=content), 0, 1, 0)]
    )
    assert pipeline.process(batch, ()).repriced == {}
    assert "costs stay as they are" in caplog.text


def test_changes_of_another_form_are_refused() -> None:
    sink = pa.BufferOutputStream()
    table = pa.table({"a": [1]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(ValueError, match="another version"):
        changes.from_bytes(sink.getvalue().to_pybytes())
