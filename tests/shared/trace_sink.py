"""A real OTLP/gRPC trace receiver that keeps what it gets, and can refuse, hang or go away."""

from __future__ import annotations

import gzip
import threading
import time
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class TraceSink(TraceServiceServicer):
    """What came in, and how the receiver behaves."""

    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    refuse: grpc.StatusCode | None = None
    hang: threading.Event | None = None
    port: int = 0

    def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:  # noqa: N802
        if self.hang is not None:
            self.hang.wait(60)
        if self.refuse is not None:
            context.abort(self.refuse, "refused by the test")
        self.requests.append(request)
        return ExportTraceServiceResponse()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> dict[str, Any]:
        return attributes(self.requests[0].resource_spans[0].resource)

    def named(self, name: str) -> Span:
        """The only span of that name."""
        [found] = [span for span in self.spans if span.name == name]
        return found

    def wait_for(self, count: int) -> list[Span]:
        """The spans, once there are that many."""
        deadline = time.monotonic() + 30
        while len(self.spans) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.spans) >= count, f"{len(self.spans)} of {count} spans came"
        return self.spans


def attributes(thing: Any) -> dict[str, Any]:
    """The attributes of a span, event or resource as Python values."""
    return {pair.key: _value(pair.value) for pair in thing.attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


@contextmanager
def http_door(sink: TraceSink, most_bytes: int = 4 * 1024 * 1024) -> Iterator[str]:
    """The endpoint of an HTTP receiver on 127.0.0.1 that gives what it takes to the sink."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            taken = len(body) <= most_bytes
            if taken:
                sink.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200 if taken else 413)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def trace_sink(port: int = 0, sink: TraceSink | None = None, most_bytes: int = 4 * 1024 * 1024) -> Iterator[TraceSink]:
    """A receiver on 127.0.0.1, on a free port unless one is given, with gRPC's usual limit unless another is."""
    sink = sink or TraceSink()
    server = grpc.server(
        futures.ThreadPoolExecutor(4),
        # Two servers must not share a port, or the kernel spreads the requests over both.
        options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", most_bytes)],
    )
    add_TraceServiceServicer_to_server(sink, server)
    sink.port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield sink
    finally:
        if sink.hang is not None:
            sink.hang.set()
        server.stop(0).wait()
