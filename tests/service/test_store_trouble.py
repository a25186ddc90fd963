"""A store that refuses, hangs or loses its answer: nothing is acknowledged that is not stored, senders are told."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.grpc_status import retry_seconds
from shared.otlp import request, span
from shared.processor import Processor, processor
from shared.writable_clickhouse import HANG, LOSE_ANSWER, WritableClickHouse, writable_clickhouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

NOW = time.time_ns()
SENDER_PATIENCE_S = 10
"""How long the stock exporters wait for an answer, by default."""
WAITING_BYTES = 1_000_000


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


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("trouble")
    with (
        writable_clickhouse(folder / "clickhouse") as store,
        processor(folder, "--store", store.dsn(), settings={"limits": {"waiting_bytes": WAITING_BYTES}}) as running,
    ):
        yield Place(store, running)


@pytest.fixture(autouse=True)
def healed(place: Place) -> Iterator[None]:
    yield
    place.store.heal()


def one(trace_id: bytes, *, filler: str = "") -> ExportTraceServiceRequest:
    return request(span(attributes={"filler": filler}, trace_id=trace_id, start=NOW))


class Refusals(NamedTuple):
    """What three senders heard while the store refused, and what became of their spans."""

    over_grpc: grpc.RpcError
    over_http: Any
    stored_meanwhile: list[list[tuple[int, int]]]
    stock_result: SpanExportResult
    stored_after: list[list[tuple[int, int]]]


@pytest.fixture(scope="module")
def refusals(place: Place) -> Refusals:
    """A store whose refusals are long; it recovers when two of the senders have been told, the third tries again."""
    exported = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    provider.get_tracer("stock").start_span("stock").end()
    (finished,) = exported.get_finished_spans()
    traces = [uuid.uuid4().bytes, uuid.uuid4().bytes, finished.context.trace_id.to_bytes(16)]

    place.store.trouble("INSERT INTO", message="Table is in readonly mode: " + "ä" * 20_000)
    with ThreadPoolExecutor(3) as senders:
        over_grpc = senders.submit(place.processor.refusal, one(traces[0]), timeout=SENDER_PATIENCE_S)
        over_http = senders.submit(place.processor.post, one(traces[1]))
        stock = senders.submit(OTLPSpanExporter(place.processor.grpc, insecure=True).export, [finished])
        told = over_grpc.result(), over_http.result()
        meanwhile = [place.stored(trace_id) for trace_id in traces]
        place.store.heal()
        stock_result = stock.result()
    for trace_id in traces[:2]:
        place.processor.export(one(trace_id))
    return Refusals(*told, meanwhile, stock_result, [place.stored(trace_id) for trace_id in traces])


def test_a_refusal_of_the_store_is_unavailable_over_grpc_with_a_short_delay_in_both_places(refusals: Refusals) -> None:
    assert refusals.over_grpc.code() is grpc.StatusCode.UNAVAILABLE
    assert "Table is in readonly mode" in refusals.over_grpc.details()
    delays = retry_seconds(refusals.over_grpc)
    assert len(delays) == 2
    assert all(0 < delay <= 2 for delay in delays)


def test_a_refusal_of_the_store_is_a_503_over_http_with_a_short_delay(refusals: Refusals) -> None:
    assert refusals.over_http.status == 503
    assert 0 < int(refusals.over_http.headers["Retry-After"]) <= 2
    assert "Table is in readonly mode" in Status.FromString(refusals.over_http.data).message


def test_nothing_is_stored_of_what_was_refused(refusals: Refusals) -> None:
    assert refusals.stored_meanwhile == [[(0, 0)]] * 3


def test_what_is_sent_again_after_the_store_is_back_is_stored_once(refusals: Refusals) -> None:
    assert refusals.stock_result is SpanExportResult.SUCCESS
    assert refusals.stored_after == [[(1, 1)]] * 3


def test_an_answer_that_got_lost_does_not_store_twice(place: Place) -> None:
    trace_id = uuid.uuid4().bytes
    place.store.trouble("INSERT INTO", LOSE_ANSWER, times=3)
    place.processor.export(one(trace_id))
    assert place.store.troubled() == 3
    assert place.stored(trace_id) == [(1, 1)]


def test_a_store_that_hangs_is_told_in_time_and_what_waits_is_bounded(place: Place) -> None:
    stuck, waiting, later = (uuid.uuid4().bytes for _ in range(3))
    hundred_kb, large = (one(waiting, filler="x" * size) for size in (100_000, 300_000))
    place.store.trouble("INSERT INTO", HANG)
    with ThreadPoolExecutor(12) as senders:
        first = senders.submit(place.processor.refusal, one(stuck), timeout=SENDER_PATIENCE_S)
        while not place.store.troubled():
            time.sleep(0.01)
        waits = [senders.submit(place.processor.refusal, hundred_kb, timeout=SENDER_PATIENCE_S) for _ in range(9)]
        while place.processor.metric("clew_waiting_bytes") < 9 * 100_000:
            time.sleep(0.01)
        before = resident(place.processor)
        refused = [place.processor.refusal(large) for _ in range(100)]
        grown = resident(place.processor) - before
        told = [sender.result() for sender in (first, *waits)]
    assert {error.code() for error in (*told, *refused)} == {grpc.StatusCode.UNAVAILABLE}
    assert all("bytes are waiting" in error.details() and len(retry_seconds(error)) == 2 for error in refused)
    assert grown < 10_000_000  # of the 30 MB that were sent
    place.store.heal()
    place.processor.export(one(later))
    assert place.stored(later) == [(1, 1)]


def resident(running: Processor) -> int:
    """Bytes of its memory that are resident."""
    with open(f"/proc/{running.process.pid}/statm") as file:  # noqa: PTH123 - not a file of ours
        return int(file.read().split()[1]) * 4096
