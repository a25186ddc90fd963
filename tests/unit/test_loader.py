"""What a batch leaves in the store: its rows, its dead letters, and last the ledger that counts both."""

from __future__ import annotations

from dataclasses import replace

from clew_processor.control.metrics import Metrics
from clew_processor.loader import Loader
from clew_processor.pipeline import Pipeline
from clew_processor.write.trouble import Kind, StoreFault
from shared.genai import chat
from shared.otlp import request
from shared.pipeline import RULES, arrived, batch_of, new_stages
from shared.writers import FakeSink, writer

BATCH = replace(batch_of([arrived(request(chat(1))), arrived(request(chat(2)))]), spans_after=2)


def stored(sink: FakeSink, *, excluded: tuple[int, ...] = ()) -> Metrics:
    metrics = Metrics()
    metrics.ledger.receive(2)
    processed = Pipeline(lambda _: new_stages(), RULES, metrics).process(BATCH, excluded)
    Loader(writer(sink), metrics).store(BATCH, processed)
    return metrics


def ledger(sink: FakeSink) -> dict[str, tuple[int, int, int]]:
    """(received, stored, dead letters) by reason."""
    return {row["reason"]: (row["received"], row["stored"], row["dead_letter"]) for row in sink.rows["ledger_1m"]}


def test_the_ledger_is_written_last_and_nothing_is_in_flight_after_it():
    sink = FakeSink()
    metrics = stored(sink)
    assert [table for table, *_ in sink.puts][-2:] == ["otel_traces", "ledger_1m"]
    assert ledger(sink) == {"": (2, 2, 0)}
    assert metrics.ledger.in_flight == 0


def test_a_request_set_aside_is_a_dead_letter_with_its_exact_bytes():
    sink = FakeSink()
    stored(sink, excluded=(BATCH.records[0].start,))
    (letter,) = sink.rows["dead_letters"]
    assert (letter["where"], letter["bytes"]) == ("request", bytes(BATCH.records[0].record.body))
    assert letter["reason"].startswith("failed")
    assert len(sink.rows["otel_traces"]) == 1
    assert ledger(sink) == {"": (1, 1, 0), "failed": (1, 0, 1)}


def test_a_span_whose_row_the_store_refuses_is_a_dead_letter_on_the_ledger():
    sink = FakeSink()
    sink.refuse = lambda table, row: (
        StoreFault("no", Kind.REFUSED, code=469) if table == "otel_traces" and row["SpanId"].endswith("1") else None
    )
    stored(sink)
    assert [letter["where"] for letter in sink.rows["dead_letters"]] == ["otel_traces"]
    assert ledger(sink) == {"": (1, 1, 0), "refused": (1, 0, 1)}
