"""The processor's own numbers, for Prometheus."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from clew_processor.control.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Counters since start. Their names are part of the outward interface."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.ledger = Ledger()
        self.registry.register(self.ledger)
        self._stage_cpu = Counter(
            "clew_stage_seconds",
            "CPU seconds by stage: `spool` on the thread that writes it, the others on the pipeline's.",
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

        self._insert_failures = Counter(
            "clew_insert_failures",
            "Inserts that the store did not take, each try, by table and kind of trouble.",
            ["table", "kind"],
            registry=self.registry,
        )
        self._dead_letters = Counter(
            "clew_dead_letters", "Rows that became dead letters, by table.", ["table"], registry=self.registry
        )
        self._lost_rows = Counter(
            "clew_lost_rows", "Dead letters that the store refused too, by table.", ["table"], registry=self.registry
        )

        self._late_resends = Counter(
            "clew_late_resends",
            "Spans that came again after spool.resend_horizon_s and were stored a second time, as far as is known.",
            registry=self.registry,
        )
        self._late_duplicates = Counter(
            "clew_late_duplicates",
            "Model calls that count although a copy of them did, longer ago than usage.settle_s.",
            registry=self.registry,
        )
        self._forgotten_spans = Counter(
            "clew_forgotten_spans",
            "Spans forgotten within spool.resend_horizon_s for lack of room: a resend of them would be stored.",
            registry=self.registry,
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the thread's CPU seconds and the time a stage takes."""
        cpu, wall = time.thread_time(), time.perf_counter()
        try:
            yield
        finally:
            self._stage_cpu.labels(name).inc(time.thread_time() - cpu)
            self._stage_wall.labels(name).inc(time.perf_counter() - wall)

    def count_resends(self, *, late: int, forgotten: int) -> None:
        """Counts spans that came again too late to be known for sure, and those whose resend would not be known."""
        self._late_resends.inc(late)
        self._forgotten_spans.inc(forgotten)

    def count_late_duplicates(self, calls: int) -> None:
        """Counts copies of calls that came too late to be told."""
        self._late_duplicates.inc(calls)

    def count_insert_failure(self, table: str, kind: str) -> None:
        """Counts an insert that failed."""
        self._insert_failures.labels(table, kind).inc()

    def count_dead_letters(self, table: str, rows: int) -> None:
        """Counts rows that became dead letters."""
        self._dead_letters.labels(table).inc(rows)

    def count_lost(self, table: str, rows: int) -> None:
        """Counts rows that are neither stored nor dead letters."""
        self._lost_rows.labels(table).inc(rows)

    def count_request(self, transport: str, code: str) -> None:
        """Counts an answered request."""
        self._requests.labels(transport, code).inc()

    def watch(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """Shows a number that somebody else keeps.

        Args:
            name: of the gauge.
            help_: what it is.
            value: asked at every reading.
        """
        Gauge(name, help_, registry=self.registry).set_function(value)

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
