"""From start to end: signals, draining, health, exit codes, and who holds the data directory."""

from __future__ import annotations

import signal
import time
import uuid
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.failpoints import program
from shared.grpc_status import retry_seconds
from shared.otlp import request, span
from shared.processor import Processor, processor, refuses_to_start
from shared.writable_clickhouse import HANG, REFUSE, WritableClickHouse, writable_clickhouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

NOW = time.time_ns()
OK = b""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WritableClickHouse]:
    with writable_clickhouse(tmp_path_factory.mktemp("life") / "clickhouse") as server:
        yield server


@pytest.fixture
def running(store: WritableClickHouse, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Processor]:
    """A processor of each test's own, on the shared store; a parameter is its settings."""
    with processor(tmp_path, "--store", store.dsn(), settings=getattr(request, "param", {})) as started:
        yield started
    store.heal()


def one(trace_id: bytes, number: int = 1) -> ExportTraceServiceRequest:
    return request(span(trace_id=trace_id, span_id=number, start=NOW))


def stored(store: WritableClickHouse, trace_id: bytes) -> list[tuple[int, int]]:
    """(rows, distinct spans) of a trace."""
    with store.client() as client:
        found = client.query(
            "SELECT count(), uniqExact(SpanId) FROM otel_traces WHERE TraceId = {t:String}", {"t": trace_id.hex()}
        )
    return [tuple(row) for row in found.result_rows]


def leave_unstored(running: Processor, store: WritableClickHouse, trace_id: bytes, how: str) -> None:
    """Four requests that are acknowledged, of which the store takes none."""
    store.trouble("INSERT INTO", how)
    for number in (1, 2, 3, 4):
        assert running.export(one(trace_id, number)).SerializeToString() == OK
    while not store.troubled():
        time.sleep(0.01)


def wait_for_stage(running: Processor, stage: str) -> None:
    while running.ask("GET", "/healthz").data != f"{stage}\n".encode():
        time.sleep(0.01)


def stored_after_next_start(running: Processor, store: WritableClickHouse, trace_id: bytes) -> list[tuple[int, int]]:
    store.heal()
    with processor(running.directory / "next", "--store", store.dsn(), data=running.data) as following:
        following.settled()
        return stored(store, trace_id)


def test_ctrl_c_ends_an_idle_processor_with_0(running: Processor) -> None:
    running.process.send_signal(signal.SIGINT)
    assert running.wait() == 0
    assert "Traceback" not in running.err


def test_sigterm_stores_what_was_acknowledged_and_refuses_what_comes(
    running: Processor, store: WritableClickHouse
) -> None:
    trace_id = uuid.uuid4().bytes
    leave_unstored(running, store, trace_id, HANG)
    running.terminate()
    wait_for_stage(running, "draining")
    late = running.refusal(one(trace_id, 5))
    over_http = running.post(one(trace_id, 6))
    ready = running.ask("GET", "/readyz")
    health = health_pb2_grpc.HealthStub(running.channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    store.heal()
    assert running.wait() == 0
    assert stored(store, trace_id) == [(4, 4)]
    assert late.code() is grpc.StatusCode.UNAVAILABLE
    assert len(retry_seconds(late)) == 2
    assert (over_http.status, "Retry-After" in over_http.headers) == (503, True)
    assert (ready.status, ready.data) == (503, b"draining\n")
    assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert "Traceback" not in running.err


def test_a_second_sigterm_ends_at_once_and_loses_nothing(running: Processor, store: WritableClickHouse) -> None:
    trace_id = uuid.uuid4().bytes
    leave_unstored(running, store, trace_id, HANG)
    running.terminate()
    wait_for_stage(running, "draining")
    running.terminate()
    assert running.wait() == 128 + signal.SIGTERM
    assert stored_after_next_start(running, store, trace_id) == [(4, 4)]


@pytest.mark.parametrize("running", [{"shutdown_s": 0.5}], indirect=True)
@pytest.mark.parametrize("how", [HANG, REFUSE])
def test_what_cannot_be_stored_before_the_deadline_stays_in_the_spool(
    running: Processor, store: WritableClickHouse, how: str
) -> None:
    trace_id = uuid.uuid4().bytes
    leave_unstored(running, store, trace_id, how)
    running.terminate()
    assert running.wait() == 0
    assert "4 spans and log records are left in the spool" in running.err
    assert "Traceback" not in running.err
    assert stored_after_next_start(running, store, trace_id) == [(4, 4)]


def test_an_insert_that_the_engine_is_at_does_not_hold_up_the_end_or_spoil_it(tmp_path: Path) -> None:
    """The embedded engine crashes the process when it is taken down in the midst of something."""
    trace_id = uuid.uuid4().bytes
    with processor(tmp_path, settings={"shutdown_s": 0.5}, program=program("slow", 60)) as running:
        running.export(one(trace_id))
        while not running.value("SELECT count() FROM otel_traces"):
            time.sleep(0.01)
        running.terminate()
        assert running.wait(30) == 0
    with processor(tmp_path) as following:
        following.settled()
        assert following.value("SELECT count() FROM otel_traces") == 1


def test_a_second_processor_names_who_holds_the_directory(running: Processor, tmp_path: Path) -> None:
    said = refuses_to_start(tmp_path / "second", data=running.data)
    assert str(running.data) in said
    assert f"process {running.process.pid} " in said
    assert running.grpc in said
    assert "--data" in said
    assert running.export(one(uuid.uuid4().bytes)).SerializeToString() == OK
    # The directory and the key of all hashes in it are nobody else's business.
    assert running.data.stat().st_mode & 0o777 == 0o700
    key = running.data / "content.key"
    assert (len(key.read_bytes()), key.stat().st_mode & 0o777) == (16, 0o600)
