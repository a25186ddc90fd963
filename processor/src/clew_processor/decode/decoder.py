"""Requests in, one columnar batch out. The byte-level work is the kernel's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pickle import PickleBuffer
from typing import TYPE_CHECKING

import clew_kernel
import numpy as np
import pyarrow as pa

from clew_processor.decode.plan import extraction_plan
from clew_processor.spool.request import Request, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Buffer

NS_PER_DAY = 86_400 * 10**9
DOOR_SLACK_NS = 3600 * 10**9

SeenState = tuple[PickleBuffer, int]
"""Spans that came between two checkpoints, in the kernel's form and pickled without a copy, and the newest generation
they belong to."""


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """What the kernel made of some requests.

    Attributes:
        arrival_ns: when the batch was closed, Unix ns; the clock of every later stage.
        tenants: tenant of each request, in order.
        spans: one row per accepted span (columns: `clew_kernel.pyi`).
        contents: one row per distinct content not written lately.
        verdicts: one per request, in order.
        forgotten: spans that a resend of would not be known any more, for lack of room.
        start_rows: rows of `spans` that are start records, of spans that are open.
        ended_rows: those of `start_rows` whose span's end came before them.
    """

    arrival_ns: int
    tenants: list[str]
    spans: pa.RecordBatch
    contents: pa.RecordBatch
    verdicts: list[clew_kernel.Verdict]
    forgotten: int = 0
    start_rows: NDArray[np.integer] = field(default_factory=lambda: np.zeros(0, np.int64))
    ended_rows: NDArray[np.integer] = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class DecodedLogs:
    """What the kernel made of some requests of log records.

    Attributes:
        arrival_ns: when the batch was closed, Unix ns.
        tenants: tenant of each request, in order.
        logs: one row per accepted log record (columns: `clew_kernel.pyi`).
        messages: one row per record that holds messages of a span.
        contents: one row per distinct content of these not written lately.
        verdicts: one per request, in order.
        spans: those that log records of agents became, as requests: no more than one for each request.
    """

    arrival_ns: int
    tenants: list[str]
    logs: pa.RecordBatch
    messages: pa.RecordBatch
    contents: pa.RecordBatch
    verdicts: list[clew_kernel.Verdict]
    spans: list[Request]


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Span times that are believed, relative to arrival.

    Attributes:
        past_days: older spans are rejected; no partition is made for them.
        future_days: later ones are rejected; a clock that wrong would sit above everything for ever.
    """

    past_days: int
    future_days: int

    def around(self, arrival_ns: int, *, slack_ns: int = 0) -> tuple[int, int]:
        """Earliest and latest time that is believed, Unix ns."""
        earliest = arrival_ns - self.past_days * NS_PER_DAY - slack_ns
        return max(0, earliest), arrival_ns + self.future_days * NS_PER_DAY + slack_ns


class Decoder:
    """Turns requests into batches. Remembers which contents were emitted and which spans came; not thread-safe."""

    def __init__(
        self,
        *,
        content_key: bytes,
        content_refresh_s: int,
        max_span_bytes: int,
        window: TimeWindow,
        resend_horizon_s: int,
    ) -> None:
        plan = extraction_plan(content_refresh_s=content_refresh_s, max_span_bytes=max_span_bytes)
        self._kernel = clew_kernel.Decoder(plan, resend_horizon_ns=resend_horizon_s * 10**9)
        self._content_key = content_key
        self._window = window
        self._seen: list[SeenState] = []

    def decode(self, requests: Sequence[Request], arrival_ns: int) -> DecodedBatch:
        """All requests as one batch, spans in order of arrival. Never raises for what the requests hold.

        Args:
            requests: at least one.
            arrival_ns: the batch's clock, Unix ns.
        """
        # The door has judged by the request's own arrival, a moment earlier: what it let in is not to be refused here.
        earliest, latest = self._window.around(arrival_ns, slack_ns=DOOR_SLACK_NS)
        decoded = self._kernel.decode(
            [request.body for request in requests],
            self._keys(requests),
            now_ns=arrival_ns,
            min_time_ns=earliest,
            max_time_ns=latest,
        )
        return DecodedBatch(
            arrival_ns=arrival_ns,
            tenants=[request.tenant for request in requests],
            spans=pa.record_batch(decoded.spans),
            contents=pa.record_batch(decoded.contents),
            verdicts=decoded.verdicts,
            forgotten=decoded.forgotten,
            start_rows=np.array(decoded.start_rows, np.int64),
            ended_rows=np.array(decoded.ended_rows, np.int64),
        )

    def decode_logs(self, requests: Sequence[Request], arrival_ns: int) -> DecodedLogs:
        """The same for requests of log records."""
        earliest, latest = self._window.around(arrival_ns, slack_ns=DOOR_SLACK_NS)
        decoded = self._kernel.decode_logs(
            [request.body for request in requests],
            self._keys(requests),
            now_ns=arrival_ns,
            min_time_ns=earliest,
            max_time_ns=latest,
        )
        return DecodedLogs(
            arrival_ns=arrival_ns,
            tenants=[request.tenant for request in requests],
            logs=pa.record_batch(decoded.logs),
            messages=pa.record_batch(decoded.messages),
            contents=pa.record_batch(decoded.contents),
            verdicts=decoded.verdicts,
            spans=[
                Request(body, request.tenant, request.arrival_ns)
                for request, body in zip(requests, decoded.spans, strict=True)
                if body is not None
            ],
        )

    def _keys(self, requests: Sequence[Request]) -> list[bytes]:
        return [tenant_key(self._content_key, request.tenant) for request in requests]

    def state(self) -> list[SeenState]:
        """Which spans came. Contents are not in it: one that is emitted again replaces itself in the store."""
        newest = self._kernel.export_seen()
        self._seen = [chunk for chunk in self._seen if chunk[1] >= newest.oldest]
        self._seen.append((PickleBuffer(newest.data), newest.generation))
        return self._seen

    def restore(self, state: Sequence[tuple[Buffer, int]]) -> None:
        """Remembers that.

        Raises:
            ValueError: it is not what `state` gave.
        """
        self._kernel.import_seen([bytes(data) for data, _ in state])
        self._seen = [(PickleBuffer(data), generation) for data, generation in state]


def inspector(*, max_span_bytes: int, window: TimeWindow) -> Callable[[Request], clew_kernel.Verdict]:
    """Looks at a request at the door: its verdict is the one decoding will give, but for spans that came before."""

    def inspect(request: Request) -> clew_kernel.Verdict:
        earliest, latest = window.around(request.arrival_ns)
        return _INSPECT[request.signal](
            request.body, max_span_bytes=max_span_bytes, min_time_ns=earliest, max_time_ns=latest
        )

    return inspect


_INSPECT = {Signal.TRACES: clew_kernel.inspect, Signal.LOGS: clew_kernel.inspect_logs}


def tenant_key(content_key: bytes, tenant: str) -> bytes:
    """The tenant's 16-byte hash key: nobody can aim at, or read from, another tenant's hashes."""
    return clew_kernel.content_hash(content_key, tenant.encode())
