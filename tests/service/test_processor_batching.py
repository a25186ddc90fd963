"""How requests become batches: those that arrive together are one insert, and a batch has its limits."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from shared.otlp import request, span
from shared.processor import Processor, processor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

NOW = time.time_ns()
MAX_SPANS = 100
INSERTS = "SELECT sum(max_block_number - min_block_number + 1) FROM system.parts WHERE active AND table = 'otel_traces'"
"""Every insert takes one block number; merging parts joins their ranges."""


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processor]:
    """Closes a batch at 100 spans, or much later than any test waits for."""
    batch = {"max_spans": MAX_SPANS, "max_wait_ms": 10_000}
    with processor(tmp_path_factory.mktemp("batching"), settings={"batch": batch}) as started:
        started.export(spans_of(uuid.uuid4().bytes, MAX_SPANS))
        started.settled()
        yield started


def spans_of(trace_id: bytes, count: int, first: int = 1, *, filler: str = "") -> ExportTraceServiceRequest:
    ids = range(first, first + count)
    return request(*(span(attributes={"filler": filler}, trace_id=trace_id, span_id=i, start=NOW) for i in ids))


def stored(running: Processor, trace_id: bytes) -> int:
    return running.value("SELECT count() FROM otel_traces WHERE TraceId = {t:String}", t=trace_id.hex())


def send_all(running: Processor, requests: list[ExportTraceServiceRequest]) -> None:
    """Sends them at the same time, and returns when all is stored."""
    with ThreadPoolExecutor(len(requests)) as senders:
        list(senders.map(running.export, requests))
    running.settled()


@pytest.mark.parametrize("filler", ["", "x" * 1500], ids=["small spans", "large spans"])
def test_requests_that_arrive_together_are_one_insert(patient: Processor, filler: str) -> None:
    trace_id, before = uuid.uuid4().bytes, patient.value(INSERTS)
    send_all(patient, [spans_of(trace_id, 10, first, filler=filler) for first in range(1, MAX_SPANS, 10)])
    assert patient.value(INSERTS) == before + 1
    assert stored(patient, trace_id) == MAX_SPANS


def test_a_batch_holds_no_more_spans_than_it_may(patient: Processor) -> None:
    trace_id, before = uuid.uuid4().bytes, patient.value(INSERTS)
    send_all(patient, [spans_of(trace_id, 50, first) for first in range(1, 4 * MAX_SPANS, 50)])
    assert patient.value(INSERTS) == before + 4
    assert stored(patient, trace_id) == 4 * MAX_SPANS


def test_a_request_larger_than_a_batch_is_one_of_its_own(patient: Processor) -> None:
    trace_id, before = uuid.uuid4().bytes, patient.value(INSERTS)
    send_all(patient, [spans_of(trace_id, 3 * MAX_SPANS)])
    assert patient.value(INSERTS) == before + 1
    assert stored(patient, trace_id) == 3 * MAX_SPANS
