"""What senders are told: OTLP's status codes over gRPC and HTTP, and what is stored and counted meanwhile."""

from __future__ import annotations

import gzip
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from select import select
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from shared.grpc_status import retry_seconds, status, violations
from shared.otlp import request, span
from shared.processor import PROTOBUF, Processor, processor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = time.time_ns()
LIMIT = 300_000
YEAR_2300 = 10_413_792_000 * 10**9
GARBAGE = b"\xff\xff\xff\xff"
BOMB = bytes(40_000_000)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processor]:
    with processor(tmp_path_factory.mktemp("receiving"), settings={"limits": {"request_bytes": LIMIT}}) as started:
        yield started


def trace() -> bytes:
    return uuid.uuid4().bytes


def spans_of(trace_id: bytes, count: int = 1, first: int = 1) -> ExportTraceServiceRequest:
    return request(*(span(trace_id=trace_id, span_id=first + i, start=NOW) for i in range(count)))


def stored(running: Processor, trace_id: bytes) -> int:
    running.settled()
    return running.value("SELECT count() FROM otel_traces WHERE TraceId = {t:String}", t=trace_id.hex())


def ledger(running: Processor, reason: str) -> tuple[int, ...]:
    """(received, stored, rejected) of all time."""
    running.settled()
    (totals,) = running.rows(
        "SELECT sum(received), sum(stored), sum(rejected) FROM ledger_1m WHERE reason = {r:String}", r=reason
    )
    return totals


def grew(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(b - a for a, b in zip(before, after, strict=True))


def test_a_good_request_over_grpc_is_stored_and_answered_without_partial_success(running: Processor) -> None:
    trace_id = trace()
    answer = running.export(spans_of(trace_id, 3))
    assert answer.SerializeToString() == b""
    assert stored(running, trace_id) == 3


def test_a_good_request_over_http_is_stored_and_answered_with_no_bytes(running: Processor) -> None:
    trace_id = trace()
    answer = running.post(spans_of(trace_id, 3))
    assert (answer.status, answer.headers["Content-Type"], answer.data) == (200, PROTOBUF, b"")
    assert stored(running, trace_id) == 3


@pytest.mark.parametrize("empty", [b"", ExportTraceServiceRequest(resource_spans=[{}]).SerializeToString()])
def test_a_request_without_spans_is_a_success(running: Processor, empty: bytes) -> None:
    assert running.export(empty) == ExportTraceServiceResponse()
    assert running.post(empty).status == 200


def test_an_undecodable_request_over_grpc_is_invalid_and_counted(running: Processor) -> None:
    before = ledger(running, "undecodable")
    error = running.refusal(GARBAGE)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert status(error).code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert violations(status(error)) == [error.details()]
    assert retry_seconds(error) == []
    assert grew(before, ledger(running, "undecodable")) == (1, 0, 1)


def test_an_undecodable_request_over_http_is_a_400_with_a_status_and_counted(running: Processor) -> None:
    before = ledger(running, "undecodable")
    answer = running.post(GARBAGE)
    body = Status.FromString(answer.data)
    assert (answer.status, answer.headers["Content-Type"]) == (400, PROTOBUF)
    assert body.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "ExportTraceServiceRequest" in body.message
    assert violations(body) == [body.message]
    assert grew(before, ledger(running, "undecodable")) == (1, 0, 1)


def test_an_undecodable_request_costs_no_request_beside_it(running: Processor) -> None:
    traces = [trace() for _ in range(20)]
    bodies = [body for each in traces for body in (GARBAGE, spans_of(each).SerializeToString())]
    with ThreadPoolExecutor(len(bodies)) as senders:
        codes = list(senders.map(lambda body: running.post(body).status, bodies))
    assert codes == [400, 200] * len(traces)
    assert [stored(running, each) for each in traces] == [1] * len(traces)


BAD_SPANS = {
    "bad_trace_id": {"trace_id": bytes(16)},
    "bad_trace_id of another length": {"trace_id": b"abc"},
    "bad_span_id": {"span_id": bytes(8)},
    "bad_time in the year 2300": {"start": YEAR_2300, "end": YEAR_2300 + 1},
    "bad_time at the end of its type": {"end": 2**64 - 1},
    "bad_time of 1970": {"start": 0, "end": 1},
}


@pytest.mark.parametrize("bad", BAD_SPANS)
def test_one_bad_span_is_rejected_with_its_reason_and_the_others_are_stored(running: Processor, bad: str) -> None:
    trace_id, reason = trace(), bad.partition(" ")[0]
    wrong = span("the bad one", **{"trace_id": trace_id, "span_id": 99, "start": NOW} | BAD_SPANS[bad])
    before, before_good = ledger(running, reason), ledger(running, "")
    good = spans_of(trace_id, 4)
    good.resource_spans[0].scope_spans[0].spans.insert(2, wrong)
    answer = running.export(good)
    assert answer.partial_success.rejected_spans == 1
    assert "the bad one" in answer.partial_success.error_message
    assert stored(running, trace_id) == 4
    assert running.value("SELECT count() FROM otel_traces WHERE SpanName = 'the bad one'") == 0
    assert grew(before, ledger(running, reason)) == (1, 0, 1)
    assert grew(before_good, ledger(running, "")) == (4, 4, 0)


def test_rejected_spans_are_told_over_http_too(running: Processor) -> None:
    trace_id = trace()
    answer = running.post(request(span(span_id=0, trace_id=trace_id, start=NOW), span(trace_id=trace_id, start=NOW)))
    told = ExportTraceServiceResponse.FromString(answer.data).partial_success
    assert (answer.status, told.rejected_spans) == (200, 1)
    assert told.error_message
    assert stored(running, trace_id) == 1


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_request_over_the_limit_is_refused_over_grpc_and_not_to_be_retried(
    running: Processor, compression: grpc.Compression
) -> None:
    error = running.refusal(BOMB, compression=compression)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry_seconds(error) == []


TOO_LARGE: dict[str, Callable[[Processor], object]] = {
    "plain": lambda running: running.post(bytes(LIMIT + 1)),
    "chunked": lambda running: running.ask(
        "POST", "/v1/traces", iter([bytes(65_536)] * 16), {"Content-Type": PROTOBUF, "Transfer-Encoding": "chunked"}
    ),
    "gzip": lambda running: running.post(gzip.compress(BOMB), Content_Encoding="gzip"),
    "gzip in members": lambda running: running.post(
        b"".join(gzip.compress(bytes(LIMIT // 2)) for _ in range(3)), Content_Encoding="gzip"
    ),
}


@pytest.mark.parametrize("how", TOO_LARGE)
def test_a_request_over_the_limit_is_a_413_over_http(running: Processor, how: str) -> None:
    answer = TOO_LARGE[how](running)
    assert answer.status == 413
    assert "Retry-After" not in answer.headers
    assert Status.FromString(answer.data).code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert str(LIMIT) in Status.FromString(answer.data).message


def test_a_request_just_under_the_limit_is_taken_even_if_compressed(running: Processor) -> None:
    trace_id = trace()
    big = request(span("big", {"filler": "x" * (LIMIT - 1_000)}, trace_id=trace_id, start=NOW)).SerializeToString()
    assert running.post(gzip.compress(big), Content_Encoding="gzip").status == 200
    assert stored(running, trace_id) == 1


BAD_COMPRESSION = {
    "not gzip": (b"not gzip at all", "gzip"),
    "cut off": (gzip.compress(bytes(1000))[:-9], "gzip"),
    "nothing": (b"", "gzip"),
    "unknown": (b"x", "br"),
}


@pytest.mark.parametrize("bad", BAD_COMPRESSION)
def test_a_body_that_cannot_be_decompressed_is_a_400_and_counted(running: Processor, bad: str) -> None:
    body, encoding = BAD_COMPRESSION[bad]
    before = running.metric("clew_requests_total", transport="http", code="400")
    answer = running.post(body, Content_Encoding=encoding)
    assert answer.status == 400
    assert "gzip" in Status.FromString(answer.data).message
    assert running.metric("clew_requests_total", transport="http", code="400") == before + 1


def test_gzip_of_several_members_is_read_to_its_end(running: Processor) -> None:
    trace_id = trace()
    halves = [gzip.compress(spans_of(trace_id, 2, first=first).SerializeToString()) for first in (1, 3)]
    assert running.post(b"".join(halves), Content_Encoding="gzip").status == 200
    assert stored(running, trace_id) == 4


@pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
def test_other_content_types_are_a_415_that_says_what_to_set(running: Processor, kind: str) -> None:
    answer = running.ask("POST", "/v1/traces", b"{}", {"Content-Type": kind})
    assert answer.status == 415
    assert b"http/protobuf" in answer.data


def test_metrics_are_a_404_that_says_what_to_set(running: Processor) -> None:
    answer = running.ask("POST", "/v1/metrics", b"", {"Content-Type": PROTOBUF})
    assert answer.status == 404
    assert "OTEL_METRICS_EXPORTER=none" in Status.FromString(answer.data).message


def test_metrics_are_unimplemented_over_grpc_and_say_what_to_set(running: Processor) -> None:
    with pytest.raises(grpc.RpcError, match="OTEL_METRICS_EXPORTER=none") as refused:
        MetricsServiceStub(running.channel).Export(ExportMetricsServiceRequest(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_traces_take_no_other_method(running: Processor) -> None:
    answer = running.ask("GET", "/v1/traces")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


def test_an_unknown_path_is_a_404(running: Processor) -> None:
    assert running.ask("POST", "/v2/traces", b"").status == 404


def test_health_says_serving_everywhere(running: Processor) -> None:
    check = health_pb2_grpc.HealthStub(running.channel).Check
    signals = ("trace.v1.TraceService", "logs.v1.LogsService")
    for service in ("", *(f"opentelemetry.proto.collector.{signal}" for signal in signals)):
        answer = check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    for path in ("/healthz", "/readyz"):
        answer = running.ask("GET", path)
        assert (answer.status, answer.data) == (200, b"serving\n")


EXPORTERS = {
    "grpc": lambda running: GrpcExporter(f"http://{running.grpc}", insecure=True),
    "grpc gzip": lambda running: GrpcExporter(
        f"http://{running.grpc}", insecure=True, compression=grpc.Compression.Gzip
    ),
    "http": lambda running: HttpExporter(f"http://{running.http}/v1/traces"),
    "http gzip": lambda running: HttpExporter(f"http://{running.http}/v1/traces", compression=Compression.Gzip),
}


@pytest.mark.parametrize("kind", EXPORTERS)
def test_the_stock_exporters_deliver(running: Processor, kind: str) -> None:
    service = f"stock-{uuid.uuid4()}"
    provider = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(EXPORTERS[kind](running)))
    tracer = provider.get_tracer("stock")
    with tracer.start_as_current_span("parent", attributes={"number": 7}):
        for _ in range(40):
            with tracer.start_as_current_span("child"):
                pass
    provider.shutdown()
    read = "SELECT count(), countIf(ParentSpanId = ''), max(SpanAttributes['number']) FROM otel_traces"
    running.settled()
    assert running.rows(f"{read} WHERE ServiceName = {{s:String}}", s=service) == [(41, 1, "7")]


def test_many_clients_at_once_lose_nothing_and_store_nothing_twice(running: Processor) -> None:
    service = f"many-{uuid.uuid4()}"

    def client(number: int) -> None:
        with grpc.insecure_channel(running.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            send = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            for i in range(10):
                ids = range(number * 1000 + i * 10 + 1, number * 1000 + i * 10 + 6)
                spans = [span(trace_id=number + 1, span_id=each, start=NOW) for each in ids]
                assert send(request(*spans, resource={"service.name": service}).SerializeToString(), timeout=60) == b""

    with ThreadPoolExecutor(24) as clients:
        list(clients.map(client, range(24)))
    running.settled()
    assert running.rows(
        "SELECT count(), uniqExact(TraceId, SpanId), uniqExact(TraceId) FROM otel_traces "
        "WHERE ServiceName = {s:String}",
        s=service,
    ) == [(1200, 1200, 24)]


def test_a_heavy_query_does_not_stop_requests(running: Processor) -> None:
    trace_id = trace()
    heavy = "SELECT sum(sipHash64(toString(number))) FROM numbers(1900000000)"
    with closing(HTTPConnection(running.query)) as reader:
        reader.request("POST", "/?database=clew", heavy)
        for number in range(1, 11):
            running.export(spans_of(trace_id, 1, first=number))
        answered, _, _ = select([reader.sock], [], [], 0)
        assert not answered
    assert stored(running, trace_id) == 10


SUM = {"received": 1, "stored": -1, "sampled_out": -1, "rejected": -1, "dead_letter": -1}


def test_metrics_add_up(running: Processor) -> None:
    def spans() -> dict[str, float]:
        return {outcome: running.metric("clew_spans_total", outcome=outcome) for outcome in SUM}

    before, before_ok = spans(), running.metric("clew_requests_total", transport="grpc", code="OK")
    running.export(request(*(span(trace_id=trace(), span_id=i, start=NOW) for i in range(5))))  # the first is bad
    running.settled()
    grown = {outcome: value - before[outcome] for outcome, value in spans().items()}
    assert grown == {"received": 5, "stored": 4, "sampled_out": 0, "rejected": 1, "dead_letter": 0}
    assert running.metric("clew_requests_total", transport="grpc", code="OK") == before_ok + 1
    assert sum(sign * spans()[outcome] for outcome, sign in SUM.items()) == 0


def test_metrics_agree_with_the_ledger(running: Processor) -> None:
    running.export(spans_of(trace(), 2))
    running.settled()
    (totals,) = running.rows("SELECT sum(received), sum(stored), sum(sampled_out), sum(rejected) FROM ledger_1m")
    assert totals == tuple(
        running.metric("clew_spans_total", outcome=outcome)
        for outcome in ("received", "stored", "sampled_out", "rejected")
    )


def test_metrics_name_stages_and_what_waits(running: Processor) -> None:
    running.export(spans_of(trace()))
    assert running.ask("GET", "/metrics").headers["Content-Type"].startswith("text/plain")
    for stage in ("decode", "normalise", "enrich", "sample", "write"):
        assert running.metric("clew_stage_wall_seconds_total", stage=stage) > 0
        assert running.metric("clew_stage_seconds_total", stage=stage) > 0
    assert ("clew_waiting_bytes", frozenset()) in running.metrics()
