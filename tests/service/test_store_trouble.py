"""A store that does not take inserts: senders hear nothing, operators see it, and everything is stored once after."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.otlp import request, span
from shared.processor import Processor, processor
from shared.writable_clickhouse import LOSE_ANSWER, WritableClickHouse, writable_clickhouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

NOW = time.time_ns()
PATIENCE_S = 30


class Place(NamedTuple):
    store: WritableClickHouse
    processor: Processor

    def stored(self, trace_id: bytes) -> list[tuple[int, int]]:
        """(rows, distinct spans) of a trace, in the store itself."""
        with self.store.client() as client:
            result = client.query(
                "SELECT count(), uniqExact(SpanId) FROM otel_traces WHERE TraceId = {t:String}", {"t": trace_id.hex()}
            )
        return [tuple(row) for row in result.result_rows]

    def until(self, metric: str, *, above: float = -1, below: float = float("inf"), **labels: str) -> None:
        """Return when a metric is between the two."""
        deadline = time.monotonic() + PATIENCE_S
        while not above < (value := self.processor.metric(metric, **labels)) < below:
            assert time.monotonic() < deadline, f"{metric} is {value}"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("trouble")
    with (
        writable_clickhouse(folder / "clickhouse") as store,
        processor(folder, "--store", store.dsn()) as running,
    ):
        yield Place(store, running)


@pytest.fixture(autouse=True)
def healed(place: Place) -> Iterator[None]:
    yield
    place.store.heal()


def one(trace_id: bytes) -> ExportTraceServiceRequest:
    return request(span(trace_id=trace_id, start=NOW))


def test_refusals_of_the_store_are_seen_in_the_metrics_and_not_by_senders(place: Place) -> None:
    exported = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    provider.get_tracer("stock").start_span("stock").end()
    (finished,) = exported.get_finished_spans()
    over_grpc, over_http = uuid.uuid4().bytes, uuid.uuid4().bytes
    traces = [over_grpc, over_http, finished.context.trace_id.to_bytes(16)]
    before = place.processor.metric("clew_insert_failures_total", kind="trouble")

    place.store.trouble("INSERT INTO", message="Table is in readonly mode: " + "ä" * 20_000)
    place.processor.export(one(over_grpc))
    assert place.processor.post(one(over_http)).status == 200
    stock = OTLPSpanExporter(place.processor.grpc, insecure=True)
    assert stock.export([finished]) is SpanExportResult.SUCCESS

    place.until("clew_store_trouble", above=0)
    place.until("clew_insert_failures_total", above=before, kind="trouble")
    place.until("clew_store_lag_seconds", above=0)
    assert place.processor.metric("clew_spans_in_flight") == 3
    assert [place.stored(trace_id) for trace_id in traces] == [[(0, 0)]] * 3
    assert place.processor.ask("GET", "/readyz").status == 200
    assert "Table is in readonly mode" in place.processor.err

    place.store.heal()
    place.until("clew_spans_in_flight", below=1)
    assert [place.stored(trace_id) for trace_id in traces] == [[(1, 1)]] * 3
    assert place.processor.metric("clew_store_trouble") == 0
    assert place.processor.metric("clew_store_lag_seconds") == 0
    assert place.processor.metric("clew_dead_letters_total") == 0


def test_an_answer_that_got_lost_does_not_store_twice(place: Place) -> None:
    trace_id = uuid.uuid4().bytes
    place.store.trouble("INSERT INTO", LOSE_ANSWER, times=3)
    place.processor.export(one(trace_id))
    place.until("clew_spans_in_flight", below=1)
    assert place.store.troubled() == 3
    assert place.stored(trace_id) == [(1, 1)]
