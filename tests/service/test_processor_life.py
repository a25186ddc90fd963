"""From start to end: signals, draining, health, exit codes, and who holds the data directory."""

from __future__ import annotations

import signal
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.grpc_status import retry_seconds
from shared.otlp import request, span
from shared.processor import Processor, processor, refuses_to_start
from shared.writable_clickhouse import HANG, WritableClickHouse, writable_clickhouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
    )

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


def stored(store: WritableClickHouse, trace_id: bytes) -> int:
    with store.client() as client:
        return client.command("SELECT count() FROM otel_traces WHERE TraceId = {t:String}", {"t": trace_id.hex()})


@contextmanager
def in_flight(
    running: Processor, store: WritableClickHouse, trace_id: bytes
) -> Iterator[list[Future[ExportTraceServiceResponse]]]:
    """One request in the hands of a store that hangs, three behind it."""
    store.trouble("INSERT INTO", HANG)
    with ThreadPoolExecutor(4) as senders:
        requests = [senders.submit(running.export, one(trace_id))]
        while not store.troubled():
            time.sleep(0.01)
        requests += [senders.submit(running.export, one(trace_id, number)) for number in (2, 3, 4)]
        while running.metric("clew_waiting_bytes") < 3 * len(one(trace_id).SerializeToString()):
            time.sleep(0.01)
        yield requests


def code(future: Future[Any]) -> Any:
    error = future.exception()
    return error.code() if isinstance(error, grpc.RpcError) else future.result().SerializeToString()


def wait_for_stage(running: Processor, stage: str) -> None:
    while running.ask("GET", "/healthz").data != f"{stage}\n".encode():
        time.sleep(0.01)


def test_ctrl_c_ends_an_idle_processor_with_0(running: Processor) -> None:
    running.process.send_signal(signal.SIGINT)
    assert running.wait() == 0
    assert "Traceback" not in running.err


def test_sigterm_answers_and_stores_what_is_in_flight_and_refuses_what_comes(
    running: Processor, store: WritableClickHouse
) -> None:
    trace_id = uuid.uuid4().bytes
    with in_flight(running, store, trace_id) as requests:
        running.terminate()
        wait_for_stage(running, "draining")
        late = running.refusal(one(trace_id, 5))
        over_http = running.post(one(trace_id, 6))
        ready = running.ask("GET", "/readyz")
        health = health_pb2_grpc.HealthStub(running.channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        store.heal()
    assert [code(each) for each in requests] == [OK] * 4
    assert running.wait() == 0
    assert stored(store, trace_id) == 4
    assert late.code() is grpc.StatusCode.UNAVAILABLE
    assert len(retry_seconds(late)) == 2
    assert (over_http.status, "Retry-After" in over_http.headers) == (503, True)
    assert (ready.status, ready.data) == (503, b"draining\n")
    assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_a_second_sigterm_ends_at_once(running: Processor, store: WritableClickHouse) -> None:
    trace_id = uuid.uuid4().bytes
    with in_flight(running, store, trace_id) as requests:
        running.terminate()
        wait_for_stage(running, "draining")
        running.terminate()
        assert running.wait() == 128 + signal.SIGTERM
    assert {code(each) for each in requests} == {grpc.StatusCode.UNAVAILABLE}


@pytest.mark.parametrize("running", [{"shutdown_s": 0.5}], indirect=True)
def test_what_cannot_be_stored_before_the_deadline_is_refused_and_shows_in_the_exit_code(
    running: Processor, store: WritableClickHouse
) -> None:
    with in_flight(running, store, uuid.uuid4().bytes) as requests:
        running.terminate()
    errors = [each.exception() for each in requests]
    assert [error.code() for error in errors] == [grpc.StatusCode.UNAVAILABLE] * 4
    assert all(len(retry_seconds(error)) == 2 for error in errors)
    assert running.wait() == 1
    assert "not everything was stored" in running.err
    assert "Traceback" not in running.err


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
