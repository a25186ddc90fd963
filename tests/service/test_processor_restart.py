"""Stock exporters, as every Python program has them, deliver through restarts of the processor.

They try a batch again for about eight seconds, and drop it then: a restart is to take less. Where the machine is too
busy for that, what they gave up is theirs to lose, and everything else is not.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from shared.processor import Processor, processor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

THEIR_LIMIT_S = 5
"""An exporter waits 1, 2 and 4 s between its tries; one that failed sooner was told that trying is of no use."""

EXPORTERS: dict[str, Callable[[Mapping[str, str]], SpanExporter]] = {
    "grpc": lambda at: GrpcExporter(f"http://{at['grpc']}", insecure=True),
    "http": lambda at: HttpExporter(f"http://{at['http']}/v1/traces"),
}


@pytest.fixture
def addresses() -> dict[str, str]:
    """Ports that were free just now: the processor has to come back at the same ones."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [each.getsockname()[1] for each in (one, other)]
    return {"grpc": f"127.0.0.1:{ports[0]}", "http": f"127.0.0.1:{ports[1]}", "query": "127.0.0.1:0"}


class Noted:
    """An exporter, and the spans it gave up after having tried for as long as it does."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.given_up: set[int] = set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        began = time.monotonic()
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS and time.monotonic() > began + THEIR_LIMIT_S:
            self.given_up |= {span.context.span_id for span in spans}
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exporter, name)


class Program:
    """One that ends a span every few milliseconds, with a stock exporter."""

    def __init__(self, kind: str, at: Mapping[str, str]) -> None:
        self.ended: set[int] = set()
        self.exporter = Noted(EXPORTERS[kind](at))
        self._provider = TracerProvider(resource=Resource({"service.name": kind}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self.exporter, schedule_delay_millis=100))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def end(self) -> None:
        """Ends it, and returns when it has sent everything, or given up."""
        if not self._stop.is_set():
            self._stop.set()
            self._thread.join()
            self._provider.shutdown()

    def _work(self) -> None:
        tracer = self._provider.get_tracer("stock")
        while not self._stop.wait(0.02):
            span = tracer.start_span("work")
            span.end()
            self.ended.add(span.get_span_context().span_id)


@pytest.fixture
def programs(addresses: dict[str, str]) -> Iterator[dict[str, Program]]:
    started = {kind: Program(kind, addresses) for kind in EXPORTERS}
    yield started
    for each in started.values():
        each.end()


def test_stock_exporters_deliver_through_restarts(
    tmp_path: Path, addresses: dict[str, str], programs: dict[str, Program]
) -> None:
    for end in (Processor.stop, Processor.kill):
        with processor(tmp_path, addresses=addresses) as running:
            for transport, success in (("grpc", "OK"), ("http", "200")):
                while running.metric("clew_requests_total", transport=transport, code=success) < 3:
                    time.sleep(0.02)
            end(running)
    with processor(tmp_path, addresses=addresses) as again:
        for each in programs.values():
            each.end()
        again.settled()
        rows = again.rows("SELECT ServiceName, SpanId FROM otel_traces")
    for kind, each in programs.items():
        found = [int(span, 16) for service, span in rows if service == kind]
        assert len(found) == len(set(found))
        assert each.ended - each.exporter.given_up <= set(found) <= each.ended
