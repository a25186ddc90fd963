"""Log records: what senders are told, what is stored and counted."""

from __future__ import annotations

import gzip
import logging
import time
import uuid
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from shared.grpc_status import retry_seconds, status, violations
from shared.otlp import log, logs_request, request, span
from shared.processor import PROTOBUF, Processor, processor

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = time.time_ns()
LIMIT = 300_000
YEAR_2300 = 10_413_792_000 * 10**9
GARBAGE = b"\xff\xff\xff\xff"
LOGS = "/v1/logs"
FATES = ("stored", "sampled_out", "rejected", "dead_letter")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processor]:
    with processor(tmp_path_factory.mktemp("logs"), settings={"limits": {"request_bytes": LIMIT}}) as started:
        yield started


def service() -> str:
    return f"s-{uuid.uuid4()}"


def records(name: str, count: int = 1) -> ExportLogsServiceRequest:
    return logs_request(*(log(f"record {i}", time=NOW + i) for i in range(count)), resource={"service.name": name})


def stored(running: Processor, name: str) -> int:
    running.settled()
    return running.value("SELECT count() FROM otel_logs WHERE ServiceName = {s:String}", s=name)


def ledger(running: Processor, reason: str) -> tuple[int, ...]:
    """(received, stored, rejected) of all time."""
    running.settled()
    (totals,) = running.rows(
        "SELECT sum(received), sum(stored), sum(rejected) FROM ledger_1m WHERE signal = 'logs' AND reason = {r:String}",
        r=reason,
    )
    return totals


def grew(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(b - a for a, b in zip(before, after, strict=True))


def test_a_good_request_is_stored_and_answered_without_partial_success(running: Processor) -> None:
    over_grpc, over_http = service(), service()
    assert running.export_logs(records(over_grpc, 3)).SerializeToString() == b""
    answer = running.post(records(over_http, 3), path=LOGS)
    assert (answer.status, answer.headers["Content-Type"], answer.data) == (200, PROTOBUF, b"")
    assert (stored(running, over_grpc), stored(running, over_http)) == (3, 3)


def test_a_record_is_stored_as_the_collector_would(running: Processor) -> None:
    name, trace_id = service(), uuid.uuid4().bytes
    made = logs_request(
        log(
            {"text": "hi", "n": [1, 2.5, None]},
            {"k": "v", "n": 7, "deep": {"a": [True]}},
            time=NOW,
            observed_time_unix_nano=NOW + 5,
            trace_id=trace_id,
            span_id=7,
            severity_number=9,
            severity_text="INFO",
            flags=0x101,
            event_name="it.happened",
        ),
        log("observed only", time=0, observed_time_unix_nano=NOW + 1),
        resource={"service.name": name, "host": "h"},
    )
    group = made.resource_logs[0]
    group.schema_url, group.scope_logs[0].schema_url = "https://r", "https://s"
    group.scope_logs[0].scope.attributes.add(key="scoped").value.int_value = 1
    running.export_logs(made)
    running.settled()
    columns = (
        "toUnixTimestamp64Nano(Timestamp), TraceId, SpanId, TraceFlags, SeverityText, SeverityNumber, Body, "
        "ResourceSchemaUrl, ResourceAttributes, ScopeSchemaUrl, ScopeName, ScopeVersion, ScopeAttributes, "
        "LogAttributes, EventName, TenantId"
    )
    shared: dict[str, Any] = {"service.name": name, "host": "h"}
    scope = ("https://s", "test.scope", "1.0", {"scoped": "1"})
    attributes = {"k": "v", "n": "7", "deep": '{"a":[true]}'}
    assert running.rows(
        f"SELECT {columns} FROM otel_logs WHERE ServiceName = {{s:String}} ORDER BY Timestamp", s=name
    ) == [
        (
            NOW, trace_id.hex(), "0000000000000007", 1, "INFO", 9, '{"n":[1,2.5,null],"text":"hi"}',
            "https://r", shared, *scope, attributes, "it.happened", "default",
        ),
        (NOW + 1, "", "", 0, "", 0, "observed only", "https://r", shared, *scope, {}, "", "default"),
    ]  # fmt: skip


@pytest.mark.parametrize("empty", [b"", ExportLogsServiceRequest(resource_logs=[{}]).SerializeToString()])
def test_a_request_without_records_is_a_success(running: Processor, empty: bytes) -> None:
    assert running.export_logs(empty) == ExportLogsServiceResponse()
    assert running.post(empty, path=LOGS).status == 200


def test_an_undecodable_request_is_invalid_and_counted(running: Processor) -> None:
    before = ledger(running, "undecodable")
    with pytest.raises(grpc.RpcError) as refused:
        running.export_logs(GARBAGE)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert violations(status(refused.value)) == [refused.value.details()]
    assert retry_seconds(refused.value) == []
    answer = running.post(GARBAGE, path=LOGS)
    assert answer.status == 400
    assert "ExportLogsServiceRequest" in Status.FromString(answer.data).message
    assert grew(before, ledger(running, "undecodable")) == (2, 0, 2)


BAD_RECORDS: dict[str, dict[str, Any]] = {
    "bad_trace_id": {"trace_id": b"abc"},
    "bad_span_id": {"span_id": b"abc"},
    "bad_time in the year 2300": {"time": YEAR_2300},
    "bad_time of 1970": {"time": 1},
}


@pytest.mark.parametrize("bad", BAD_RECORDS)
def test_one_bad_record_is_rejected_with_its_reason_and_the_others_are_stored(running: Processor, bad: str) -> None:
    name, reason = service(), bad.partition(" ")[0]
    before, before_good = ledger(running, reason), ledger(running, "")
    made = records(name, 4)
    wrong = log("bad", event_name="the bad one", **{"time": NOW} | BAD_RECORDS[bad])
    made.resource_logs[0].scope_logs[0].log_records.insert(2, wrong)
    told = running.export_logs(made).partial_success
    assert told.rejected_log_records == 1
    assert "log record" in told.error_message
    assert "the bad one" in told.error_message
    over_http = ExportLogsServiceResponse.FromString(running.post(made, path=LOGS).data).partial_success
    assert over_http == told
    assert stored(running, name) == 8
    assert grew(before, ledger(running, reason)) == (2, 0, 2)
    assert grew(before_good, ledger(running, "")) == (8, 8, 0)


def test_a_request_over_the_limit_is_refused_and_not_to_be_retried(running: Processor) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        running.export_logs(bytes(LIMIT + 1))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert running.post(gzip.compress(bytes(40_000_000)), path=LOGS, Content_Encoding="gzip").status == 413


def test_json_is_a_415_that_says_what_to_set(running: Processor) -> None:
    answer = running.ask("POST", LOGS, b"{}", {"Content-Type": "application/json"})
    assert answer.status == 415
    assert b"http/protobuf" in answer.data


EXPORTERS = {
    "grpc": lambda running: GrpcExporter(f"http://{running.grpc}", insecure=True),
    "http": lambda running: HttpExporter(f"http://{running.http}/v1/logs"),
    "http gzip": lambda running: HttpExporter(f"http://{running.http}/v1/logs", compression=Compression.Gzip),
}


@pytest.mark.parametrize("kind", EXPORTERS)
def test_the_stock_exporters_deliver(running: Processor, kind: str) -> None:
    name = service()
    provider = LoggerProvider(Resource({"service.name": name}), shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(EXPORTERS[kind](running)))
    logger = provider.get_logger("stock")
    for number in range(40):
        logger.emit(
            LogRecord(
                timestamp=NOW + number,
                severity_text=logging.getLevelName(logging.INFO),
                severity_number=SeverityNumber.INFO,
                body={"number": number},
                attributes={"parity": number % 2},
                event_name="counted",
            )
        )
    provider.shutdown()
    running.settled()
    assert running.rows(
        "SELECT count(), uniqExact(Body), sum(toInt64(LogAttributes['parity'])), any(EventName), any(SeverityNumber) "
        "FROM otel_logs WHERE ServiceName = {s:String}",
        s=name,
    ) == [(40, 40, 20, "counted", 9)]


def balance(running: Processor, name: str) -> float:
    """Of the metrics; 0 when they add up."""
    return running.metric(f"{name}_total", outcome="received") - sum(
        (running.metric(f"{name}_total", outcome=fate) for fate in FATES), running.metric(f"{name}_in_flight")
    )


def test_spans_and_log_records_are_counted_apart_and_both_add_up(running: Processor) -> None:
    def received() -> tuple[float, float]:
        names = ("clew_spans_total", "clew_log_records_total")
        return tuple(running.metric(name, outcome="received") for name in names)  # type: ignore[return-value]

    before = received()
    for _ in range(5):
        running.export_logs(records(service(), 7))
        running.export(request(*(span(trace_id=uuid.uuid4().bytes, span_id=i, start=NOW) for i in range(3))))
    running.settled()
    assert grew(before, received()) == (15, 35)
    assert (balance(running, "clew_spans"), balance(running, "clew_log_records")) == (0, 0)
    for signal, name in (("traces", "clew_spans"), ("logs", "clew_log_records")):
        (totals,) = running.rows(
            f"SELECT sum(received), {', '.join(f'sum({fate})' for fate in FATES)} FROM ledger_1m "
            "WHERE signal = {s:String}",
            s=signal,
        )
        assert totals == tuple(running.metric(f"{name}_total", outcome=outcome) for outcome in ("received", *FATES))
    assert running.value(
        "SELECT countIf(received != stored + sampled_out + rejected + dead_letter) FROM ledger_1m"
    ) == 0  # fmt: skip
