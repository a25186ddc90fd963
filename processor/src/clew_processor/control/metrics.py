"""The processor's own numbers, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

CONTENT_TYPE = CONTENT_TYPE_LATEST
_OUTCOMES = ("received", "stored", "sampled_out", "rejected", "dead_letter")


class Metrics:
    """Counters since start. Their names are part of the outward interface."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._spans = Counter(
            "clew_spans",
            "Spans by what became of them; received = stored + sampled_out + rejected + dead_letter.",
            ["outcome", "reason"],
            registry=self.registry,
        )
        self._stage_cpu = Counter(
            "clew_stage_seconds",
            "CPU seconds of the pipeline thread by stage.",
            ["stage"],
            registry=self.registry,
        )
        self._stage_wall = Counter(
            "clew_stage_wall_seconds", "Seconds that each stage took.", ["stage"], registry=self.registry
        )
        self._requests = Counter(
            "clew_requests",
            "OTLP requests by transport and answer.",
            ["transport", "code"],
            registry=self.registry,
        )

    def count_ledger(self, rows: pa.Table) -> None:
        """Adds what a batch added to ledger_1m."""
        reasons = rows.column("reason").to_pylist()
        for outcome in _OUTCOMES:
            for reason, count in zip(reasons, rows.column(outcome).to_pylist(), strict=True):
                if count:
                    self._spans.labels(outcome, reason).inc(count)

    def count_stage(self, stage: str, *, cpu_s: float, wall_s: float) -> None:
        """Adds time spent in a stage."""
        self._stage_cpu.labels(stage).inc(cpu_s)
        self._stage_wall.labels(stage).inc(wall_s)

    def count_request(self, transport: str, code: str) -> None:
        """Counts an answered request."""
        self._requests.labels(transport, code).inc()

    def watch_waiting(self, waiting_bytes: Callable[[], int]) -> None:
        """Shows how many bytes of requests wait for the store."""
        gauge = Gauge("clew_waiting_bytes", "Bytes of requests not yet taken into a batch.", registry=self.registry)
        gauge.set_function(waiting_bytes)

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
