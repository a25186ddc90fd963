"""kill -9 in mid-stream: what was acknowledged is there after a restart, once."""

from __future__ import annotations

import itertools
import random
import threading
import time
from typing import TYPE_CHECKING

import grpc

from shared.otlp import request, span
from shared.processor import Processor, processor

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SEED = 20_260_101
SENDERS = 6
ROUNDS = 2
ENOUGH = 25
"""Requests acknowledged before a kill; the load goes on until it comes."""


class Load:
    """Senders of model calls with span ids of their own; nothing is ever sent twice.

    Attributes:
        sent: span ids that may have arrived.
        acknowledged: those whose request was answered OK.
    """

    def __init__(self) -> None:
        self._random = random.Random(SEED)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.sent: set[int] = set()
        self.acknowledged: set[int] = set()

    def until_killed(self, running: Processor) -> None:
        """Sends from several threads, kills the processor in the midst of it."""
        enough = threading.Event()
        answered = itertools.count(1)

        def send() -> None:
            while True:
                ids, message = self._request()
                try:
                    running.export(message, timeout=20)
                except (grpc.RpcError, ValueError):  # the processor is gone, and then the channel
                    return
                with self._lock:
                    self.acknowledged |= ids
                    if next(answered) == ENOUGH:
                        enough.set()

        senders = [threading.Thread(target=send) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()
        assert enough.wait(60)
        running.kill()
        for sender in senders:
            sender.join()

    def _request(self) -> tuple[set[int], ExportTraceServiceRequest]:
        with self._lock:
            ids = {next(self._numbers) for _ in range(self._random.randint(1, 40))}
            self.sent |= ids
            traces = [self._random.getrandbits(128) | 1 for _ in range(3)]
        now = time.time_ns()
        call = {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 1,
        }  # fmt: skip
        spans = [
            span("chat", call | {"gen_ai.response.id": f"r{i}"}, trace_id=traces[i % 3], span_id=i, start=now)
            for i in sorted(ids)
        ]
        return ids, request(*spans)


def test_everything_acknowledged_is_there_once_after_a_kill(tmp_path: Path) -> None:
    load = Load()
    for _ in range(ROUNDS):
        with processor(tmp_path) as running:
            load.until_killed(running)

    with processor(tmp_path) as again:
        rows = [
            int(number)
            for (number,) in again.rows("SELECT reinterpretAsUInt64(reverse(unhex(SpanId))) FROM otel_traces")
        ]
        assert load.acknowledged
        assert load.acknowledged <= set(rows) <= load.sent
        assert len(rows) == len(set(rows))
        # The totals are written after the spans: what a kill cut off is missing at their end, never what was answered.
        for total in (
            "SELECT sum(calls) FROM usage_1m",
            "SELECT sum(output_tokens) FROM usage_1m",
            "SELECT sum(spans) FROM runs",
            "SELECT sum(output_tokens) FROM runs",
            "SELECT sum(stored) FROM ledger_1m",
        ):
            assert len(load.acknowledged) <= again.value(total) <= len(rows), total
        assert again.value("SELECT sum(input_tokens) = 10 * sum(output_tokens) FROM runs")
        assert "schema: applied" not in again.err
        assert again.export(load._request()[1]).SerializeToString() == b""
