"""One received request and what its sender is told about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """An OTLP request as it arrived.

    Attributes:
        body: the uncompressed ExportTraceServiceRequest.
        tenant: whose it is.
        arrival_ns: Unix ns.
    """

    body: bytes | memoryview
    tenant: str
    arrival_ns: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """Its spans are on disk and will be stored, but for those rejected for good.

    Attributes:
        rejected: number of spans refused one by one.
        message: why, for `partial_success`; empty when nothing was rejected.
    """

    rejected: int = 0
    message: str = ""
