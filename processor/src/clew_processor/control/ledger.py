"""The balance since start: received = stored + sampled_out + rejected + dead_letter + in flight, at every moment.

In flight is no remainder: it is how far the spool's records reach beyond the mark up to which everything is settled.
These positions do not tell spans from log records. So log records are counted when they are written and when they are
settled, and spans are what is left: should anything be miscounted, their balance shows it. What is damaged counts as
spans: nobody knows what it was.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from prometheus_client.core import Metric

OUTCOMES = ("stored", "sampled_out", "rejected", "dead_letter")
SPANS, LOGS, MADE = "traces", "logs", "spans_from_logs"
"""Signals of ledger_1m: what arrives, and what is made of it."""
FAMILIES = {
    SPANS: ("clew_spans", "Spans"),
    LOGS: ("clew_log_records", "Log records"),
    MADE: ("clew_spans_from_logs", "Spans that log records of agents became"),
}
"""Signal -> name of its metrics, and what they count."""


class Ledger(Collector):
    """Counts; both sides of a change under one lock, so that whoever reads sees them balanced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = 0
        self._outcomes: Counter[tuple[str, str, str]] = Counter()
        self._spooled = self._settled = 0
        self._spooled_logs = self._settled_logs = 0

    def start(self, *, spooled: int, settled: int, logs: int = 0) -> None:
        """Takes over what an earlier process left in the spool: it counts as received now.

        Args:
            spooled: spans and log records of all records ever written to the spool.
            settled: of those up to the mark.
            logs: log records among those behind it.
        """
        with self._lock:
            self._spooled, self._settled = spooled, settled
            self._received, self._spooled_logs = spooled - settled, logs

    def receive(self, spooled: int, *, logs: int = 0) -> None:
        """Records were written.

        Args:
            spooled: spans and log records of all records ever written to the spool, now.
            logs: log records among those just written.
        """
        with self._lock:
            self._receive(spooled)
            self._spooled_logs += logs

    def _receive(self, spooled: int) -> None:
        if spooled > self._spooled:
            self._received += spooled - self._spooled
            self._spooled = spooled

    def settle(self, rows: pa.Table, settled: int) -> None:
        """A batch is settled.

        Args:
            rows: its rows of ledger_1m.
            settled: spans and log records of all records up to the mark, now.
        """
        signals, reasons = rows.column("signal").to_pylist(), rows.column("reason").to_pylist()
        with self._lock:
            self._receive(settled)  # whoever settles may be faster than whoever tells that it was written
            self._settled = settled
            for outcome in OUTCOMES:
                for signal, reason, count in zip(signals, reasons, rows.column(outcome).to_pylist(), strict=True):
                    if count:
                        self._outcomes[signal, outcome, reason] += count
                        self._settled_logs += count if signal == LOGS else 0

    @property
    def in_flight(self) -> int:
        """Spans and log records acknowledged and not settled yet."""
        with self._lock:
            return self._spooled - self._settled

    def collect(self) -> Iterator[Metric]:
        """For Prometheus."""
        with self._lock:
            total, outcomes = self._spooled - self._settled, dict(self._outcomes)
            logs = min(total, max(0, self._spooled_logs - self._settled_logs))
            received_logs = self._settled_logs + logs
            made = sum(count for (signal, _, _), count in outcomes.items() if signal == MADE)
            received = {LOGS: received_logs, SPANS: self._received - received_logs, MADE: made}
        in_flight = {LOGS: logs, SPANS: total - logs}
        for signal, (name, what) in FAMILIES.items():
            counts = CounterMetricFamily(
                name,
                f"{what} by what became of them; received = stored + sampled_out + rejected + dead_letter + in flight.",
                labels=["outcome", "reason"],
            )
            counts.add_metric(["received", ""], received[signal])
            for (of, outcome, reason), count in sorted(outcomes.items()):
                if of == signal:
                    counts.add_metric([outcome, reason], count)
            yield counts
            if signal in in_flight:  # what is made is settled with what it is made of
                yield GaugeMetricFamily(
                    f"{name}_in_flight",
                    f"{what} in the spool that are not settled yet, by spool positions.",
                    value=in_flight[signal],
                )
