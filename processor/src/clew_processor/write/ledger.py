"""What became of a batch's spans, as rows of ledger_1m."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clew_processor.normalise.spans import Spans
    from clew_processor.sample.sampler import Sample

SIGNAL = "traces"


@dataclass(slots=True)
class _Count:
    stored: int = 0
    sampled_out: int = 0
    rejected: int = 0
    dead_letter: int = 0


class LedgerCounts:
    """Counts by tenant and reason; each adds up by itself."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], _Count] = {}

    def taken(self, spans: Spans, sample: Sample) -> None:
        """Spans that are stored or sampled out."""
        words = spans.tenant.words
        every = np.bincount(spans.tenant.codes, minlength=len(words)).tolist()
        kept = np.bincount(spans.tenant.codes[sample.kept], minlength=len(words)).tolist()
        for tenant, all_of, stored in zip(words, every, kept, strict=True):
            if all_of:
                count = self._of(tenant, "")
                count.stored += stored
                count.sampled_out += all_of - stored

    def rejected(self, tenant: str, reason: str, spans: int) -> None:
        """Spans that are not taken."""
        self._of(tenant, reason).rejected += spans

    def dead(self, tenant: str, reason: str, spans: int) -> None:
        """Spans that were never processed and are dead letters."""
        self._of(tenant, reason).dead_letter += spans

    def refused_by_store(self, spans: Mapping[str, int], reason: str) -> None:
        """Spans by tenant that were to be stored and are dead letters instead."""
        for tenant, count in spans.items():
            self._of(tenant, "").stored -= count
            self._of(tenant, reason).dead_letter += count

    def retried(self, spans: Mapping[str, int], reason: str) -> None:
        """Spans by tenant that were dead letters and are stored now; they are received no second time."""
        for tenant, count in spans.items():
            self._of(tenant, "").stored += count
            self._of(tenant, reason).dead_letter -= count

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
                "tenant_id": pa.array([tenant for tenant, _ in self._counts], pa.utf8()),
                "signal": pa.array([SIGNAL] * len(counts), pa.utf8()),
                "reason": pa.array([reason for _, reason in self._counts], pa.utf8()),
                "received": pa.array(stored + sampled_out + rejected + dead),
                "stored": pa.array(stored),
                "sampled_out": pa.array(sampled_out),
                "rejected": pa.array(rejected),
                "dead_letter": pa.array(dead),
            }
        )

    def _of(self, tenant: str, reason: str) -> _Count:
        return self._counts.setdefault((tenant, reason), _Count())
