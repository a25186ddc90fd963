"""How requests become batches: those that arrive together are one insert, and a batch has its limits."""

from __future__ import annotations

import asyncio
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest

from clew_processor.spool.intake import MAX_BATCH_BYTES, Intake, IntakeLimits
from clew_processor.spool.request import Receipt, Request
from shared.otlp import request, span
from shared.processor import Processor, processor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    from clew_processor.spool.intake import Outcome

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
        yield started


def spans_of(trace_id: bytes, count: int, first: int = 1, *, filler: str = "") -> ExportTraceServiceRequest:
    ids = range(first, first + count)
    return request(*(span(attributes={"filler": filler}, trace_id=trace_id, span_id=i, start=NOW) for i in ids))


def stored(running: Processor, trace_id: bytes) -> int:
    return running.value("SELECT count() FROM otel_traces WHERE TraceId = {t:String}", t=trace_id.hex())


def send_all(running: Processor, requests: list[ExportTraceServiceRequest]) -> None:
    with ThreadPoolExecutor(len(requests)) as senders:
        list(senders.map(running.export, requests))


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
    patient.export(spans_of(trace_id, 3 * MAX_SPANS))
    assert patient.value(INSERTS) == before + 1
    assert stored(patient, trace_id) == 3 * MAX_SPANS


def test_a_request_whose_sender_has_gone_is_not_stored(patient: Processor) -> None:
    trace_id = uuid.uuid4().bytes
    gone = patient.refusal(spans_of(trace_id, 1), timeout=0.3)
    assert gone.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    while patient.metric("clew_waiting_bytes"):
        time.sleep(0.01)
    patient.export(spans_of(trace_id, MAX_SPANS, 2))
    assert stored(patient, trace_id) == MAX_SPANS


async def test_a_batch_holds_no_more_bytes_than_the_kernel_takes() -> None:
    sizes: list[int] = []

    def process(requests: Sequence[Request]) -> list[Outcome]:
        sizes.append(sum(len(each.body) for each in requests))
        return [Receipt()] * len(requests)

    intake = Intake(process, IntakeLimits(max_batch_spans=10**9, max_batch_wait_s=0.2, max_waiting_bytes=1 << 30))
    intake.start()
    large = Request(bytes(20 << 20), "default", NOW)
    await asyncio.gather(*(intake.submit(large) for _ in range(8)))
    assert await intake.drain(10)
    assert sum(sizes) == 8 * len(large.body)
    assert max(sizes) <= MAX_BATCH_BYTES
