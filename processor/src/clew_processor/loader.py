"""A processed batch into the store: its rows, what became dead letters, and then the ledger that counts both."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from clew_processor.pipeline import FAILED
from clew_processor.spool.request import Signal
from clew_processor.write.dead_letter import TABLE, Letter, letter_rows, retry_dead_letters

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from clew_processor.control.metrics import Metrics
    from clew_processor.pipeline import Processed
    from clew_processor.spool.batches import Batch
    from clew_processor.write.writer import Writer

REFUSED = "refused"
"""Reason in ledger_1m of spans and log records whose rows the store refuses for good."""
LEDGER = "ledger_1m"
COUNTED = {"otel_traces": Signal.TRACES, "otel_logs": Signal.LOGS}
"""Tables whose rows the ledger counts, and as what."""
WHERE = {Signal.TRACES: "request", Signal.LOGS: "logs_request"}
"""What a dead letter says it was, where it is a whole request."""


class Loader:
    """The sink of the spool's consumer."""

    def __init__(self, writer: Writer, metrics: Metrics, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        """Stores nothing yet.

        Args:
            writer: the way into the store.
            metrics: is told what became of the spans.
            clock_ns: Unix ns; only for the lag.
        """
        self._writer = writer
        self._metrics = metrics
        self._clock_ns = clock_ns
        self._oldest_ns = 0

    @property
    def lag_s(self) -> float:
        """How long the oldest request of the batch at hand has waited for the store; 0 when there is none."""
        return max(0, self._clock_ns() - self._oldest_ns) / 1e9 if self._oldest_ns else 0.0

    def store(self, batch: Batch, processed: Processed) -> None:
        """See `spool.consumer.Sink`."""
        self._oldest_ns = batch.records[0].record.arrival_ns if batch.records else batch.arrival_ns
        with self._metrics.stage("write"):
            rows = self._store(batch, processed)
        self._metrics.ledger.settle(rows, batch.spans_after)
        self._oldest_ns = 0

    def _store(self, batch: Batch, processed: Processed) -> pa.Table:
        write, at, ledger = self._writer.write, batch.arrival_ns, processed.ledger
        dead = write(batch.id, processed.tables, arrival_ns=at)
        for table, signal in COUNTED.items():
            ledger.refused_by_store(dead.get(table, {}), REFUSED, signal=signal)
        if processed.failed:
            letters = [
                Letter(
                    tenant=placed.record.tenant,
                    where=WHERE[placed.record.kind.signal],
                    position=str(placed.start),
                    reason=f"{FAILED}: the stages raised an exception, the processor's log has it",
                    content=bytes(placed.record.body),
                )
                for placed in processed.failed
            ]
            write(batch.id, {TABLE: letter_rows(batch.id, letters, at)}, arrival_ns=at)
        for placed in processed.retries:
            ids = json.loads(bytes(placed.record.body))
            stored = retry_dead_letters(self._writer, f"{batch.id}:retry:{placed.start}", ids, arrival_ns=at)
            for table, signal in COUNTED.items():
                ledger.retried(stored.get(table, {}), REFUSED, signal=signal)
        for start, tables in processed.repriced.items():
            write(f"{batch.id}:reprice:{start}", tables, arrival_ns=at)
        rows = ledger.rows(at)
        write(batch.id, {LEDGER: rows}, arrival_ns=at)
        return rows
