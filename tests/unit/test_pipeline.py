"""A batch from the spool through the stages: what is in force, what is set aside, what is counted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from clew_processor.control.metrics import Metrics
from clew_processor.enrich.pricing import PriceBook
from clew_processor.pipeline import Pipeline, Processed
from clew_processor.prices import Prices
from clew_processor.spool.record import Kind, Placed, Record
from clew_processor.state import packed
from shared.genai import chat, tool
from shared.otlp import request
from shared.pipeline import ARRIVAL, RULES, arrived, batch_of, new_stages

if TYPE_CHECKING:
    from clew_processor.rules import Rules
    from clew_processor.spool.batches import Batch


def pipeline(rules: Rules = RULES) -> Pipeline:
    """Whose stages go by the rules."""
    return Pipeline(lambda rules: new_stages(probability=rules.probability, settle_s=rules.settle_s), rules, Metrics())


def spans(*numbers: int, tenant: str = "default") -> Batch:
    return batch_of([arrived(request(*(chat(number, trace_id=number) for number in numbers)), tenant=tenant)])


def special(kind: Kind, *, body: bytes = b"", count: int = 0) -> Batch:
    """A batch of one record that is no request."""
    batch = spans(1)
    return replace(batch, records=[Placed(Record(kind, ARRIVAL, "default", count, body), 0, 1, 0)])


def ledger(processed: Processed) -> dict[tuple[str, str], tuple[int, ...]]:
    """(received, stored, sampled out, rejected, dead) by tenant and reason."""
    columns = ("received", "stored", "sampled_out", "rejected", "dead_letter")
    return {
        (row["tenant_id"], row["reason"]): tuple(row[column] for column in columns)
        for row in processed.ledger.rows(ARRIVAL).to_pylist()
    }


def rows(processed: Processed, table: str) -> int:
    found = processed.tables.get(table)
    return 0 if found is None else found.num_rows


class Poisoned:
    """A normaliser that stumbles over some model."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def normalise(self, batch: Any) -> Any:
        spans = self._inner.normalise(batch)
        if "poison" in spans.request_model.words:
            raise ZeroDivisionError("poison")
        return spans


def fragile() -> Pipeline:
    def stages(_: Rules) -> Any:
        made = new_stages()
        made.normaliser = Poisoned(made.normaliser)
        return made

    return Pipeline(stages, RULES, Metrics())


def with_poison() -> Batch:
    bodies = [request(chat(1)), request(chat(2, model="poison")), request(chat(3), chat(4))]
    return batch_of([arrived(body) for body in bodies])


def test_rules_in_the_spool_are_in_force_from_their_position_on():
    stages = pipeline()
    few = replace(RULES, probability=1e-9)
    assert rows(stages.process(spans(1), ()), "otel_traces") == 1
    stages.process(special(Kind.RULES, body=few.to_bytes()), ())
    later = stages.process(spans(2), ())
    assert rows(later, "otel_traces") == 0
    assert ledger(later) == {("default", ""): (1, 0, 1, 0, 0)}


def test_rules_in_force_come_back_with_the_state():
    stages, restored = pipeline(), pipeline()
    stages.process(special(Kind.RULES, body=replace(RULES, probability=1e-9).to_bytes()), ())
    restored.restore(stages.state())
    assert rows(restored.process(spans(2), ()), "otel_traces") == 0


def test_rules_of_another_version_leave_those_in_force_as_they_are():
    stages = pipeline()
    stages.process(special(Kind.RULES, body=b'{"surprise": 1}'), ())
    assert rows(stages.process(spans(1), ()), "otel_traces") == 1


def test_what_was_remembered_survives_a_change_of_rules():
    stages = pipeline()
    first = tool(1, "search", arguments={"q": 1})
    stages.process(batch_of([arrived(request(first, tool(2, "search", arguments={"q": 1})))]), ())
    stages.process(special(Kind.RULES, body=replace(RULES, settle_s=60).to_bytes()), ())
    found = stages.process(batch_of([arrived(request(tool(3, "search", arguments={"q": 1})))], start=9), ())
    assert rows(found, "loop_versions") == 1


def test_a_request_that_a_stage_stumbles_over_is_found():
    batch = with_poison()
    stages = fragile()
    with pytest.raises(ZeroDivisionError):
        stages.process(batch, ())
    assert stages.culprits(batch) == [batch.records[1].start]


def test_requests_set_aside_are_dead_letters_on_the_ledger_and_the_others_are_stored():
    batch = with_poison()
    processed = fragile().process(batch, {batch.records[1].start})
    assert processed.failed == [batch.records[1]]
    assert rows(processed, "otel_traces") == 3
    assert ledger(processed) == {("default", ""): (3, 3, 0, 0, 0), ("default", "failed"): (1, 0, 0, 0, 1)}


def test_what_is_not_a_span_any_more_is_on_the_ledger():
    processed = pipeline().process(special(Kind.UNDECODABLE, count=1), ())
    assert ledger(processed) == {("default", "undecodable"): (1, 0, 0, 1, 0)}
    assert not any(rows(processed, table) for table in processed.tables)
    damaged = pipeline().process(replace(spans(1), lost_spans=7), ())
    assert ledger(damaged) == {("", "damaged"): (7, 0, 0, 7, 0), ("default", ""): (1, 1, 0, 0, 0)}


def test_spans_of_a_request_that_turns_out_to_be_none_are_all_on_the_ledger():
    assert ledger(pipeline().process(special(Kind.TRACES, body=b"\xff", count=5), ())) == {
        ("default", "undecodable"): (5, 0, 0, 5, 0)
    }


def test_orders_to_retry_are_handed_on():
    batch = special(Kind.RETRY, body=b'["a"]')
    assert pipeline().process(batch, ()).retries == batch.records


@pytest.mark.parametrize(
    "state", [[], [b""], [b"\x80no pickle"], packed("other"), packed((0, 1, 2, 3)), packed((1, 2))]
)
def test_a_state_that_is_not_ours_is_refused_and_nothing_is_remembered(state):
    stages = pipeline()
    stages.process(spans(1), ())
    with pytest.raises(ValueError, match=r"it (is|was) "):
        stages.restore(state)
    assert rows(stages.process(spans(1), ()), "otel_traces") == 1


def test_state_cannot_make_things_that_no_state_is_made_of():
    class Hostile:
        def __reduce__(self) -> Any:
            return print, ("made",)

    with pytest.raises(ValueError, match="not a part of state"):
        pipeline().restore(packed(Hostile()))


@pytest.mark.parametrize("few", [1, 400])
def test_spans_that_came_are_known_however_often_the_stages_start_again(few):
    def new() -> Pipeline:
        return Pipeline(lambda _: new_stages(resend_horizon_s=600), RULES, Metrics())

    sent = [spans(*range(first, first + few)) for first in (1, 1001, 2001)]
    stages, again = new(), []
    for count, batch in enumerate(sent, 1):
        assert rows(stages.process(batch, ()), "otel_traces") == few
        state = stages.state()
        stages = new()
        stages.restore(state)
        again += [rows(stages.process(earlier, ()), "otel_traces") for earlier in sent[:count]]
    assert not any(again)


def costs(processed: Processed) -> list[tuple[str, str]]:
    """(cost, which prices) of each span."""
    table = processed.tables["otel_traces"]
    return [(str(row["CostUsd"]), row["PricingVersion"]) for row in table.to_pylist()]


def prices_at(amount: int) -> tuple[bytes, str]:
    """Prices as they are spooled, and their version."""
    text = f"models: [{{provider: openai, model: gpt-5, prices: {{input: {amount}, output: {amount}}}}}]"
    version = PriceBook(Prices.of(text, b"")).version
    return replace(Prices.of(text, b""), version=version).to_bytes(), version


def one_call() -> Batch:
    body = request(chat(1, model="gpt-5", tokens={"input": 1_000_000, "output": 1_000_000}))
    return batch_of([arrived(body)])


def test_prices_in_the_spool_are_in_force_from_their_position_on():
    (cheap, cheap_version), (dear, dear_version) = prices_at(1), prices_at(3)
    stages = pipeline()
    listed = costs(stages.process(one_call(), ()))
    stages.process(special(Kind.PRICES, body=cheap), ())
    assert costs(stages.process(one_call(), ())) == [("2.000000000", cheap_version)]
    stages.process(special(Kind.PRICES, body=dear), ())
    assert costs(stages.process(one_call(), ())) == [("6.000000000", dear_version)]
    assert listed[0][1] == PriceBook().version


def test_prices_amid_a_batch_count_for_all_of_it():
    body, version = prices_at(1)
    batch = one_call()
    placed = Placed(Record(Kind.PRICES, ARRIVAL, "", 0, body), 1, 2, 0)
    assert costs(pipeline().process(replace(batch, records=[*batch.records, placed]), ())) == [("2.000000000", version)]


def test_prices_are_remembered_with_the_state_and_outlive_new_rules():
    body, version = prices_at(1)
    stages = pipeline()
    stages.process(special(Kind.PRICES, body=body), ())
    later = pipeline()
    later.restore(stages.state())
    assert costs(later.process(one_call(), ())) == [("2.000000000", version)]
    later.process(special(Kind.RULES, body=replace(RULES, settle_s=60).to_bytes()), ())
    assert costs(later.process(one_call(), ())) == [("2.000000000", version)]
    later.restore(None)
    assert costs(later.process(one_call(), ()))[0][1] == PriceBook().version


def test_prices_that_cannot_be_read_leave_those_before_in_force(caplog):
    body, version = prices_at(1)
    stages = pipeline()
    stages.process(special(Kind.PRICES, body=body), ())
    stages.process(special(Kind.PRICES, body=b"{}"), ())
    stages.process(special(Kind.PRICES, body=Prices(own="models: 5").to_bytes()), ())
    assert costs(stages.process(one_call(), ())) == [("2.000000000", version)]
    assert [record.getMessage().endswith("stay in force") for record in caplog.records].count(True) == 2


def test_a_list_that_is_no_longer_packaged_is_told(caplog):
    pipeline().process(special(Kind.PRICES, body=Prices(version="genai-prices 0.0.1").to_bytes()), ())
    assert "genai-prices 0.0.1 were in force" in caplog.text
