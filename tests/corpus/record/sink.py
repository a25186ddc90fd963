"""An OTLP/HTTP receiver that keeps the bodies it gets, in order of arrival."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class Sink:
    """On a free local port; a context manager.

    Attributes:
        traces: Bodies of `ExportTraceServiceRequest`.
        logs: Bodies of `ExportLogsServiceRequest`.
        refused: What came in another form and was not kept.
    """

    def __init__(self) -> None:
        self.traces: list[bytes] = []
        self.logs: list[bytes] = []
        self.refused: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(sink: Sink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer(b"{}")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            protobuf = "protobuf" in self.headers.get("Content-Type", "")
            if self.path.rstrip("/").endswith("traces") and protobuf:
                sink.traces.append(body)
            elif self.path.rstrip("/").endswith("logs") and protobuf:
                sink.logs.append(body)
            elif not self.path.endswith("metrics"):
                sink.refused.append(f"POST {self.path} {self.headers.get('Content-Type')}")
            self._answer(b"" if protobuf else b"{}")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json" if body else "application/x-protobuf")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
