"""Requests in, one columnar batch out. The byte-level work is the kernel's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import clew_kernel
import pyarrow as pa

from clew_processor.decode.plan import extraction_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clew_processor.spool.request import Request

NS_PER_DAY = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """What the kernel made of some requests.

    Attributes:
        arrival_ns: arrival time of the batch's last request, Unix ns; the clock of every later stage.
        tenants: tenant of each request, in order.
        spans: one row per accepted span (columns: `clew_kernel.pyi`).
        contents: one row per distinct content not written lately.
        verdicts: one per request, in order.
    """

    arrival_ns: int
    tenants: list[str]
    spans: pa.RecordBatch
    contents: pa.RecordBatch
    verdicts: list[clew_kernel.Verdict]


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Span times that are believed, relative to arrival.

    Attributes:
        past_days: older spans are rejected; no partition is made for them.
        future_days: later ones are rejected; a clock that wrong would sit above everything for ever.
    """

    past_days: int
    future_days: int


class Decoder:
    """Turns requests into batches. Remembers which contents were emitted; not thread-safe."""

    def __init__(
        self,
        *,
        dialect: str,
        content_key: bytes,
        content_refresh_s: int,
        max_span_bytes: int,
        window: TimeWindow,
    ) -> None:
        plan = extraction_plan(dialect, content_refresh_s=content_refresh_s, max_span_bytes=max_span_bytes)
        self._kernel = clew_kernel.Decoder(plan)
        self._content_key = content_key
        self._window = window

    def decode(self, requests: Sequence[Request]) -> DecodedBatch:
        """All requests as one batch, spans in order of arrival. Never raises for what the requests hold."""
        arrival_ns = max(request.arrival_ns for request in requests)
        decoded = self._kernel.decode(
            [request.body for request in requests],
            [tenant_key(self._content_key, request.tenant) for request in requests],
            now_ns=arrival_ns,
            min_time_ns=max(0, arrival_ns - self._window.past_days * NS_PER_DAY),
            max_time_ns=arrival_ns + self._window.future_days * NS_PER_DAY,
        )
        return DecodedBatch(
            arrival_ns=arrival_ns,
            tenants=[request.tenant for request in requests],
            spans=pa.record_batch(decoded.spans),
            contents=pa.record_batch(decoded.contents),
            verdicts=decoded.verdicts,
        )

    def forget(self) -> None:
        """Contents of a batch that was not stored have to be emitted again."""
        self._kernel.forget()


def tenant_key(content_key: bytes, tenant: str) -> bytes:
    """The tenant's 16-byte hash key: nobody can aim at, or read from, another tenant's hashes."""
    return clew_kernel.content_hash(content_key, tenant.encode())
