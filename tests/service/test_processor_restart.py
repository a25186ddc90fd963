"""Stock exporters, as every Python program has them, deliver through restarts of the processor.

They try a batch again for about eight seconds, and drop it then. A restart is to take less.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from shared.processor import Processor, processor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from opentelemetry.sdk.trace.export import SpanExporter

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


class Program:
    """One that ends a span every few milliseconds, with a stock exporter."""

    def __init__(self, kind: str, at: Mapping[str, str]) -> None:
        self.spans = 0
        self._provider = TracerProvider(resource=Resource({"service.name": kind}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(EXPORTERS[kind](at), schedule_delay_millis=100))
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
        while not self._stop.wait(0.005):
            tracer.start_span("work").end()
            self.spans += 1


@pytest.fixture
def programs(addresses: dict[str, str]) -> Iterator[dict[str, Program]]:
    started = {kind: Program(kind, addresses) for kind in EXPORTERS}
    yield started
    for each in started.values():
        each.end()


@pytest.mark.xfail(reason="failed once on a loaded machine; to be looked into", strict=False)
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
        found = again.rows("SELECT ServiceName, count(), uniqExact(TraceId, SpanId) FROM otel_traces GROUP BY 1")
    assert sorted(found) == sorted((kind, each.spans, each.spans) for kind, each in programs.items())
