"""The balance since start: received = stored + sampled_out + rejected + dead_letter + in flight, at every moment.

In flight is no remainder: it is how far the spool's records reach beyond the mark up to which everything is settled.
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


class Ledger(Collector):
    """Counts; both sides of a change under one lock, so that whoever reads sees them balanced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = 0
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._spooled = self._settled = 0

    def start(self, *, spooled: int, settled: int) -> None:
        """Takes over what an earlier process left in the spool: it counts as received now.

        Args:
            spooled: spans of all records ever written to the spool.
            settled: of those up to the mark.
        """
        with self._lock:
            self._spooled, self._settled = spooled, settled
            self._received = spooled - settled

    def receive(self, spooled: int) -> None:
        """Records were written.

        Args:
            spooled: spans of all records ever written to the spool, now.
        """
        with self._lock:
            self._receive(spooled)

    def _receive(self, spooled: int) -> None:
        if spooled > self._spooled:
            self._received += spooled - self._spooled
            self._spooled = spooled

    def settle(self, rows: pa.Table, settled: int) -> None:
        """A batch is settled.

        Args:
            rows: its rows of ledger_1m.
            settled: spans of all records up to the mark, now.
        """
        reasons = rows.column("reason").to_pylist()
        with self._lock:
            self._receive(settled)  # whoever settles may be faster than whoever tells that it was written
            self._settled = settled
            for outcome in OUTCOMES:
                for reason, count in zip(reasons, rows.column(outcome).to_pylist(), strict=True):
                    if count:
                        self._outcomes[outcome, reason] += count

    @property
    def in_flight(self) -> int:
        """Spans acknowledged and not settled yet."""
        with self._lock:
            return self._spooled - self._settled

    def collect(self) -> Iterator[Metric]:
        """For Prometheus."""
        with self._lock:
            received, in_flight, outcomes = self._received, self._spooled - self._settled, dict(self._outcomes)
        spans = CounterMetricFamily(
            "clew_spans",
            "Spans by what became of them; received = stored + sampled_out + rejected + dead_letter + in flight.",
            labels=["outcome", "reason"],
        )
        spans.add_metric(["received", ""], received)
        for (outcome, reason), count in sorted(outcomes.items()):
            spans.add_metric([outcome, reason], count)
        yield spans
        yield GaugeMetricFamily(
            "clew_spans_in_flight", "Spans in the spool that are not settled yet, by spool positions.", value=in_flight
        )
