"""A real processor in a process of its own, as `clew up` runs it: what it says, what it takes, how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import clickhouse_connect
import grpc
import pytest
import urllib3
import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from clickhouse_connect.driver.client import Client
    from google.protobuf.message import Message

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
EXPORT_LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
PROTOBUF = "application/x-protobuf"
UP = ("-c", "import typer; from clew_processor.commands import up; typer.run(up)")
"""`clew up` without the SDK's command line around it: these tests are of the processor alone."""
START_S = 60.0
"""Far more than it takes; on a busy machine the engine's start is slow."""

_ANNOUNCED = re.compile(
    r"clew is up\n  OTLP/gRPC +(?P<grpc>\S+)\n  OTLP/HTTP +http://(?P<http>[^/\s]+)/.*\n  query +http://(?P<query>\S+)"
)


class NotStartedError(AssertionError):
    """It ended, or was not up in time. Carries its exit code and what it wrote to standard error."""

    def __init__(self, code: int | None, err: str) -> None:
        super().__init__(f"the processor did not start (exit code {code}):\n{err}")
        self.code = code
        self.err = err


class Processor:
    """A running processor. `processor` and `start` make one.

    Attributes:
        process: its process.
        directory: its working directory; holds `clew.yaml`, `out.log` and `err.log`.
        data: its data directory.
        grpc, http, query: HOST:PORT of each of its addresses.
    """

    def __init__(self, process: subprocess.Popen[bytes], directory: Path, data: Path) -> None:
        self.process = process
        self.directory = directory
        self.data = data
        self.grpc = self.http = self.query = ""

    @property
    def out(self) -> str:
        """What it wrote to standard output."""
        return (self.directory / "out.log").read_text()

    @property
    def err(self) -> str:
        """What it wrote to standard error: its log."""
        return (self.directory / "err.log").read_text()

    @cached_property
    def channel(self) -> grpc.Channel:
        """One connection to its gRPC port."""
        return grpc.insecure_channel(self.grpc, [("grpc.max_receive_message_length", 1 << 24)])

    def export(
        self, request: Message | bytes, *, timeout: float = 30, compression: grpc.Compression | None = None
    ) -> ExportTraceServiceResponse:
        """Send a trace request over gRPC; raises grpc.RpcError when it is not taken."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        send = self.channel.unary_unary(
            EXPORT, request_serializer=None, response_deserializer=ExportTraceServiceResponse.FromString
        )
        return send(body, timeout=timeout, compression=compression)

    def export_logs(self, request: Message | bytes, *, timeout: float = 30) -> ExportLogsServiceResponse:
        """Send a request of log records over gRPC; raises grpc.RpcError when it is not taken."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        send = self.channel.unary_unary(
            EXPORT_LOGS, request_serializer=None, response_deserializer=ExportLogsServiceResponse.FromString
        )
        return send(body, timeout=timeout)

    def refusal(self, request: Message | bytes, **options: Any) -> grpc.RpcError:
        """The error that a trace request over gRPC is answered with."""
        try:
            self.export(request, **options)
        except grpc.RpcError as error:
            return error
        raise AssertionError("the request was taken")

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """One HTTP request to its HTTP port."""
        return self._http_pool.request(method, path, body=body, headers=headers, redirect=False)

    def post(self, request: Message | bytes, *, path: str = "/v1/traces", **headers: str) -> urllib3.BaseHTTPResponse:
        """Send a trace request (or, by path, another) over HTTP; header names are given with underscores."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, body, {"Content-Type": PROTOBUF} | given)

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a SELECT through the query endpoint; `{name:Type}` takes a parameter."""
        return [tuple(row) for row in self.client.query(sql, parameters=parameters).result_rows]

    def value(self, sql: str, **parameters: Any) -> Any:
        """The single value of a SELECT."""
        ((value,),) = self.rows(sql, **parameters)
        return value

    @cached_property
    def client(self) -> Client:
        """A stock ClickHouse client on its query endpoint."""
        host, _, port = self.query.rpartition(":")
        return clickhouse_connect.get_client(host=host, port=int(port), database="clew")

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Its Prometheus samples: (name, labels) -> value."""
        text = self.ask("GET", "/metrics").data.decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name with those labels."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.metrics().items() if found == name and wanted <= has)

    def settled(self, timeout: float = 60) -> None:
        """Return when everything that was acknowledged is stored, sampled out, rejected or a dead letter."""
        deadline = time.monotonic() + timeout
        while left := self.metric("clew_spans_in_flight") + self.metric("clew_log_records_in_flight"):
            assert time.monotonic() < deadline, f"{left:.0f} are still in flight; its log:\n{self.err}"
            time.sleep(0.02)

    def wait_ready(self) -> None:
        """Return when `/readyz` says so."""
        deadline = time.monotonic() + START_S
        while not self.grpc:
            if found := _ANNOUNCED.search(self.out):
                self.grpc, self.http, self.query = found["grpc"], found["http"], found["query"]
            elif self.process.poll() is not None or time.monotonic() > deadline:
                raise NotStartedError(self.process.poll(), self.err)
            else:
                time.sleep(0.02)
        assert self.ask("GET", "/readyz").status == 200

    def terminate(self) -> None:
        """Send SIGTERM and return at once."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        self.process.kill()
        self.process.wait()
        self._disconnect()

    def wait(self, seconds: float = 60) -> int:
        """The exit code, once it has ended."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        """Let it drain and end; its exit code."""
        self._disconnect()
        self.terminate()
        return self.wait()

    def close(self) -> None:
        """End it in any case. A test that is over has nothing left to drain."""
        self._disconnect()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @cached_property
    def _http_pool(self) -> urllib3.HTTPConnectionPool:
        host, _, port = self.http.rpartition(":")
        return urllib3.HTTPConnectionPool(host, int(port), maxsize=32, retries=False, timeout=60)

    def _disconnect(self) -> None:
        for name in ("channel", "client", "_http_pool"):
            if (connection := self.__dict__.pop(name, None)) is not None:
                connection.close()


def start(
    directory: Path,
    *flags: str,
    settings: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    data: Path | None = None,
    addresses: Mapping[str, str] | None = None,
    program: Sequence[str] = UP,
    launcher: Sequence[str] = (),
) -> Processor:
    """Start a processor and return at once; whoever asked has to `close` it.

    Args:
        directory: its working directory, made if need be.
        flags: further flags of `clew up`.
        settings: written to `clew.yaml` there, if given.
        env: further environment variables; those of clew and OpenTelemetry are not inherited.
        data: its data directory; default one in `directory`.
        addresses: HOST:PORT by flag name (grpc, http, query); default a free port of the loopback interface each.
        program: what Python runs; `shared.failpoints.program` gives others than `clew up`.
        launcher: a command that runs another in its own place.
    """
    directory.mkdir(parents=True, exist_ok=True)
    data = data or directory / "data"
    if settings is not None:
        (directory / "clew.yaml").write_text(yaml.safe_dump(dict(settings)))
    where = dict.fromkeys(("grpc", "http", "query"), "127.0.0.1:0") if addresses is None else addresses
    command = [*launcher, sys.executable, *program, "--data", str(data)]
    for name, address in where.items():
        command += [f"--{name}", address]
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CLEW_", "OTEL_")) and not name.lower().endswith("_proxy")
    }
    with (directory / "out.log").open("wb") as out, (directory / "err.log").open("wb") as err:
        process = subprocess.Popen(
            [*command, *flags], cwd=directory, env=inherited | dict(env or {}), stdout=out, stderr=err
        )
    return Processor(process, directory, data)


@contextmanager
def processor(directory: Path, *flags: str, **options: Any) -> Iterator[Processor]:
    """A processor that takes requests; ends with the block. Arguments are those of `start`.

    Raises:
        NotStartedError: it refused to start.
    """
    started = start(directory, *flags, **options)
    try:
        started.wait_ready()
        yield started
    finally:
        started.close()


def refuses_to_start(directory: Path, *flags: str, **options: Any) -> str:
    """What a processor that must not start says; it has to be one line, without a traceback, and exit code 2."""
    return refused(start(directory, *flags, **options))


def refused(started: Processor) -> str:
    """The same of one that was started already."""
    try:
        with pytest.raises(NotStartedError) as caught:
            started.wait_ready()
    finally:
        started.close()
    lines = caught.value.err.splitlines()
    assert (caught.value.code, len(lines)) == (2, 1), caught.value.err
    return lines[0]
