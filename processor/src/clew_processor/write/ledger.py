"""What became of a batch's spans and log records, as rows of ledger_1m."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from clew_processor.spool.request import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from clew_processor.normalise.spans import Spans
    from clew_processor.sample.sampler import Sample


START_RECORD = "start_record"
"""Reason in ledger_1m of records that say that a span is open: they are not in otel_traces."""


@dataclass(slots=True)
class _Count:
    stored: int = 0
    sampled_out: int = 0
    rejected: int = 0
    dead_letter: int = 0


class LedgerCounts:
    """Counts by signal, tenant and reason; each adds up by itself.

    What is counted are spans unless a signal is given.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], _Count] = {}

    def taken(self, spans: Spans, sample: Sample, signals: Sequence[str]) -> None:
        """Spans that are stored or sampled out.

        Args:
            spans: all of a batch.
            sample: which of them are stored.
            signals: what those of each request count as.
        """
        keys, groups = _senders(spans, signals)
        every = np.bincount(groups, minlength=len(keys)).tolist()
        kept = np.bincount(groups[sample.kept], minlength=len(keys)).tolist()
        for (signal, tenant), all_of, stored in zip(keys, every, kept, strict=True):
            if all_of:
                count = self._of(tenant, "", signal)
                count.stored += stored
                count.sampled_out += all_of - stored

    def opened(self, spans: Spans, signals: Sequence[str]) -> None:
        """Start records: stored, but not as spans, under a reason of their own.

        Args:
            spans: all of a batch.
            signals: what those of each request count as.
        """
        keys, groups = _senders(spans, signals)
        for (signal, tenant), count in zip(keys, np.bincount(groups, minlength=len(keys)).tolist(), strict=True):
            if count:
                self._of(tenant, START_RECORD, signal).stored += count

    def stored(self, tenant: str, count: int, *, signal: str) -> None:
        """What is stored as it came."""
        if count:
            self._of(tenant, "", signal).stored += count

    def rejected(self, tenant: str, reason: str, count: int, *, signal: str = Signal.TRACES) -> None:
        """What is not taken."""
        self._of(tenant, reason, signal).rejected += count

    def dead(self, tenant: str, reason: str, count: int, *, signal: str = Signal.TRACES) -> None:
        """What was never processed and is a dead letter."""
        self._of(tenant, reason, signal).dead_letter += count

    def refused_by_store(self, rows: Mapping[str, int], reason: str, *, signal: str = Signal.TRACES) -> None:
        """What, by tenant, was to be stored and is a dead letter instead."""
        for tenant, count in rows.items():
            self._of(tenant, "", signal).stored -= count
            self._of(tenant, reason, signal).dead_letter += count

    def retried(self, rows: Mapping[str, int], reason: str, *, signal: str = Signal.TRACES) -> None:
        """What, by tenant, was a dead letter and is stored now; it is received no second time."""
        for tenant, count in rows.items():
            self._of(tenant, "", signal).stored += count
            self._of(tenant, reason, signal).dead_letter -= count

    def rows(self, arrival_ns: int) -> pa.Table:
        """Rows of ledger_1m, in the minute of arrival (Unix ns)."""
        counts = self._counts.values()
        stored, sampled_out, rejected, dead = (
            np.array([getattr(count, name) for count in counts], np.int64)
            for name in ("stored", "sampled_out", "rejected", "dead_letter")
        )
        minute = arrival_ns // (60 * 10**9) * 60
        return pa.table(
            {
                "minute": pa.array(np.full(len(counts), minute, np.uint32)),
                "tenant_id": pa.array([tenant for _, tenant, _ in self._counts], pa.utf8()),
                "signal": pa.array([signal for signal, _, _ in self._counts], pa.utf8()),
                "reason": pa.array([reason for _, _, reason in self._counts], pa.utf8()),
                "received": pa.array(stored + sampled_out + rejected + dead),
                "stored": pa.array(stored),
                "sampled_out": pa.array(sampled_out),
                "rejected": pa.array(rejected),
                "dead_letter": pa.array(dead),
            }
        )

    def _of(self, tenant: str, reason: str, signal: str = Signal.TRACES) -> _Count:
        return self._counts.setdefault((str(signal), tenant, reason), _Count())


def _senders(spans: Spans, signals: Sequence[str]) -> tuple[list[tuple[str, str]], NDArray[np.int64]]:
    """Signals and tenants, and which of these each span is of."""
    tenants, names = spans.tenant.words, sorted(set(signals))
    of_request = np.array([names.index(signal) for signal in signals])
    groups = of_request[spans.otlp.column("request").to_numpy()] * len(tenants) + spans.tenant.codes
    return [(signal, tenant) for signal in names for tenant in tenants], groups
