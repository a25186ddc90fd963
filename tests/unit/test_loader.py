"""What a batch leaves in the store: its rows, its dead letters, and last the ledger that counts both."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clew_processor.control.metrics import Metrics
from clew_processor.loader import Loader
from clew_processor.pipeline import Pipeline
from clew_processor.write.trouble import Kind, StoreFault
from shared.genai import chat
from shared.otlp import log, logs_request, request
from shared.pipeline import RULES, arrived, arrived_logs, batch_of, new_stages
from shared.writers import FakeSink, writer

if TYPE_CHECKING:
    from clew_processor.spool.batches import Batch

BATCH = replace(batch_of([arrived(request(chat(1))), arrived(request(chat(2)))]), spans_after=2)


LOGS = replace(
    batch_of([arrived_logs(logs_request(log("one"))), arrived_logs(logs_request(log("two")))]), spans_after=2
)


def stored(sink: FakeSink, *, excluded: tuple[int, ...] = (), batch: Batch = BATCH) -> Metrics:
    metrics = Metrics()
    metrics.ledger.receive(2)
    processed = Pipeline(lambda _: new_stages(), RULES, metrics).process(batch, excluded)
    Loader(writer(sink), metrics).store(batch, processed)
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


def test_a_request_of_log_records_set_aside_is_a_dead_letter_that_says_so():
    sink = FakeSink()
    stored(sink, excluded=(LOGS.records[0].start,), batch=LOGS)
    (letter,) = sink.rows["dead_letters"]
    assert (letter["where"], letter["bytes"]) == ("logs_request", bytes(LOGS.records[0].record.body))
    assert [row["Body"] for row in sink.rows["otel_logs"]] == ["two"]
    assert ledger(sink) == {"": (1, 1, 0), "failed": (1, 0, 1)}
    assert {row["signal"] for row in sink.rows["ledger_1m"]} == {"logs"}


def test_a_log_record_whose_row_the_store_refuses_is_a_dead_letter_on_the_ledger():
    sink = FakeSink()
    sink.refuse = lambda table, row: (
        StoreFault("no", Kind.REFUSED, code=469) if table == "otel_logs" and row["Body"] == "one" else None
    )
    stored(sink, batch=LOGS)
    assert [letter["where"] for letter in sink.rows["dead_letters"]] == ["otel_logs"]
    assert ledger(sink) == {"": (1, 1, 0), "refused": (1, 0, 1)}
    assert {row["signal"] for row in sink.rows["ledger_1m"]} == {"logs"}
