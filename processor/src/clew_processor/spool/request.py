"""One received request and what its sender is told about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Signal(StrEnum):
    """What a request is about; the value is its name in ledger_1m."""

    TRACES = "traces"
    LOGS = "logs"


@dataclass(frozen=True, slots=True)
class Request:
    """An OTLP request as it arrived.

    Attributes:
        body: the uncompressed ExportTraceServiceRequest, or that of its signal.
        tenant: whose it is.
        arrival_ns: Unix ns.
        signal: what it is about.
    """

    body: bytes | memoryview
    tenant: str
    arrival_ns: int
    signal: Signal = Signal.TRACES


@dataclass(frozen=True, slots=True)
class Receipt:
    """Its spans or log records are on disk and will be stored, but for those rejected for good.

    Attributes:
        rejected: number of those refused one by one.
        message: why, for `partial_success`; empty when nothing was rejected.
    """

    rejected: int = 0
    message: str = ""
