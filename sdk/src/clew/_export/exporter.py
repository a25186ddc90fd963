"""The OTLP exporter, made on first use in the exporting thread: importing gRPC takes longer than the rest of clew."""

from __future__ import annotations

import logging
import os
import re
import threading
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from clew._settings import DEFAULT_ENDPOINT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

_PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_LARGER_THAN_ALLOWED = re.compile(
    r"larger than|too large|smaller batches|exceed\w* .*(size|limit)|(size|limit) .*exceed", re.IGNORECASE
)
"""How gRPC's implementations word it: C and Python, Go, and Java ("exceeds maximum size"); clew's processor too."""


class _Protocol(NamedTuple):
    module: str
    distribution: str
    default_endpoint: str
    path: str
    logger: str


_PROTOCOLS = {
    "grpc": _Protocol(
        "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
        "opentelemetry-exporter-otlp-proto-grpc",
        DEFAULT_ENDPOINT,
        "",
        "opentelemetry.exporter.otlp.proto.grpc.exporter",
    ),
    "http/protobuf": _Protocol(
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        "opentelemetry-exporter-otlp-proto-http",
        "http://127.0.0.1:4318",
        "/v1/traces",
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    ),
}


class TooLarge(Exception):  # noqa: N818  # an answer, not an error
    """The receiver refused a request for its size."""


class Destination:
    """One OTLP exporter, used by one thread; its log lines are collected instead of printed.

    Args:
        endpoint: URL of the receiver; None takes OpenTelemetry's variables, then the default. A missing scheme is
            `http`. Headers, certificates, compression and timeout come from OpenTelemetry's variables.

    Raises:
        RuntimeError: The protocol asked for is unknown, or its exporter is not installed.
    """

    def __init__(self, endpoint: str | None) -> None:
        protocol = _protocol()
        self.endpoint = endpoint or _first(_ENDPOINT_VARIABLES) or protocol.default_endpoint
        self._exporter = _exporter(protocol, _url(endpoint, protocol))
        self._closed = False
        self._lines = _Collected(threading.get_ident())
        self._logger = logging.getLogger(protocol.logger)
        # First: the exporter's own filter keeps back lines it has logged a short time ago.
        self._logger.filters.insert(0, self._lines)

    @property
    def trouble(self) -> str:
        """Where spans were to go and what came in between, for people."""
        return f"{self.endpoint} did not take them ({self._lines.last or 'too slow, or no answer'})"

    def send(self, spans: Sequence[ReadableSpan]) -> bool:
        """Sends one request, with the exporter's own retries; returns whether it was taken.

        Raises:
            TooLarge: It was refused for its size; at once, where the exporter would try the same again.
            ValueError, TypeError: A span cannot be written.
        """
        from opentelemetry.sdk.trace.export import SpanExportResult

        return not self._closed and self._exporter.export(spans) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """Closes the connection and ends a call in flight; from any thread, any number of times."""
        if not self._closed:
            self._closed = True
            self._exporter.shutdown()


class _Collected(logging.Filter):
    """Keeps the last line one thread logs, and passes on everybody else's.

    What an answer said is told by these lines alone. What concerns single spans is raised from here, through the
    exporter: gRPC has one status for "too large" and for "not now", so it would try again until its time is over.
    """

    def __init__(self, thread: int) -> None:
        super().__init__()
        self._thread = thread
        self.last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is printed."""
        if record.thread != self._thread:
            return True
        if record.levelno >= logging.WARNING:
            self.last = record.getMessage()
            if _is_about_size(self.last):
                raise TooLarge(self.last)
            if self.last.startswith("Failed to encode span batch"):  # the HTTP exporter's; gRPC's raises by itself
                raise ValueError(self.last)
        return False


def _is_about_size(line: str) -> bool:
    """Whether a line of the exporter's says that a request was too large, for the receiver or for the exporter."""
    if "RESOURCE_EXHAUSTED" in line:
        return _LARGER_THAN_ALLOWED.search(line) is not None
    return " code: 413," in line or "exceeds max_request_size" in line


def _protocol() -> _Protocol:
    name = _first(_PROTOCOL_VARIABLES) or "grpc"
    if name not in _PROTOCOLS:
        raise RuntimeError(f"OTEL_EXPORTER_OTLP_PROTOCOL={name!r} is not supported. Allowed: {', '.join(_PROTOCOLS)}.")
    return _PROTOCOLS[name]


def _exporter(protocol: _Protocol, url: str | None) -> SpanExporter:
    from importlib import import_module

    try:
        module = import_module(protocol.module)
    except ImportError as error:
        raise RuntimeError(f"The exporter is not installed: pip install {protocol.distribution}") from error
    exporter: SpanExporter = module.OTLPSpanExporter(endpoint=url)
    return exporter


def _url(endpoint: str | None, protocol: _Protocol) -> str | None:
    """The endpoint as the exporter wants it; None lets it read OpenTelemetry's variables, which it knows best."""
    if endpoint is None:
        return None if _first(_ENDPOINT_VARIABLES) else protocol.default_endpoint + protocol.path
    url = endpoint if "://" in endpoint else f"http://{endpoint}"
    return url if urlsplit(url).path.strip("/") else url.rstrip("/") + protocol.path


def _first(variables: tuple[str, ...]) -> str | None:
    return next((value for variable in variables if (value := os.environ.get(variable))), None)
