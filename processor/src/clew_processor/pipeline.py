"""The stages in order, for one batch after the other."""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clew_processor.enrich.runs import run_rows
from clew_processor.errors import RefusalKind, Refused
from clew_processor.spool.request import Receipt
from clew_processor.write.rows import content_rows, correction_rows, ledger_rows, span_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from clew_processor.control.metrics import Metrics
    from clew_processor.decode.decoder import DecodedBatch, Decoder
    from clew_processor.enrich.enricher import Enricher
    from clew_processor.normalise.normaliser import Normaliser
    from clew_processor.sample.sampler import Sampler
    from clew_processor.spool.intake import Outcome
    from clew_processor.spool.request import Request
    from clew_processor.write.store import Store


class Pipeline:
    """decode, normalise, enrich, sample, write. One thread at a time."""

    def __init__(
        self,
        *,
        decoder: Decoder,
        normaliser: Normaliser,
        enricher: Enricher,
        sampler: Sampler,
        store: Store,
        metrics: Metrics,
        insert_deadline_s: float,
    ) -> None:
        self._decoder = decoder
        self._normaliser = normaliser
        self._enricher = enricher
        self._sampler = sampler
        self._store = store
        self._metrics = metrics
        self._insert_deadline_s = insert_deadline_s
        self._version = 0

    def process(self, requests: Sequence[Request]) -> list[Outcome]:
        """Stores a batch of requests and says what became of each, in order.

        Raises:
            StoreError: the store did not take it; nothing of it may be acknowledged.
        """
        with self._stage("decode"):
            batch = self._decoder.decode(requests)
        try:
            tables = self._tables(batch)
            with self._stage("write"):
                self._write(tables)
        except Exception:
            self._decoder.forget()
            raise
        self._metrics.count_ledger(tables["ledger_1m"])
        return [
            _outcome(verdict.error, sum(n for _, n in verdict.rejected), verdict.message) for verdict in batch.verdicts
        ]

    def _tables(self, batch: DecodedBatch) -> dict[str, pa.Table | None]:
        """The rows of every table, in the order they are written."""
        if not batch.spans.num_rows:
            return {"ledger_1m": ledger_rows(batch, None, None)}
        self._version = max(self._version + 1, batch.arrival_ns)
        with self._stage("normalise"):
            spans = self._normaliser.normalise(batch)
        with self._stage("enrich"):
            enriched = self._enricher.enrich(spans, version=self._version)
        with self._stage("sample"):
            sample = self._sampler.sample(spans, enriched.loops)
        with self._stage("enrich"):
            runs = run_rows(spans, enriched.usage, enriched.loops, sample.kept)
        with self._stage("write"):
            return {
                "span_contents": content_rows(batch),
                "otel_traces": span_rows(spans, enriched.usage, sample),
                "gates": enriched.gate_rows,
                "loop_versions": enriched.loop_rows,
                "span_corrections": correction_rows(enriched.usage.superseded, self._version),
                "usage_1m": enriched.usage_rows,
                "run_deltas": runs,
                "ledger_1m": ledger_rows(batch, spans, sample),
            }

    def _write(self, tables: dict[str, pa.Table | None]) -> None:
        batch_id = uuid.uuid4().hex
        give_up_at = time.monotonic() + self._insert_deadline_s
        for name, rows in tables.items():
            if rows is not None and rows.num_rows:
                left_s = give_up_at - time.monotonic()
                self._store.insert(name, rows, token=f"{batch_id}:{name}", deadline_s=left_s)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        """Counts the thread's CPU seconds and the time it took."""
        cpu, wall = time.thread_time(), time.perf_counter()
        try:
            yield
        finally:
            self._metrics.count_stage(name, cpu_s=time.thread_time() - cpu, wall_s=time.perf_counter() - wall)


def _outcome(error: str | None, rejected: int, message: str) -> Outcome:
    if error is not None:
        return Refused(RefusalKind.MALFORMED, error)
    return Receipt(rejected, message)
