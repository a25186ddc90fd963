"""Consistent probability sampling by trace id; runs worth looking at are kept with certainty.

Rules of OpenTelemetry's consistent sampling: randomness R is the last 56 bits of the trace id (or `rv`), a span is kept
when R >= T, and stands for 2^56 / (2^56 - T) spans. An incoming threshold (`ot=th:` in tracestate) is never lowered.
Totals do not depend on any of this: they are computed before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from clew_processor.enrich.gates import is_denied
from clew_processor.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.enrich.loops import LoopChanges
    from clew_processor.normalise.spans import Spans

FULL = 2**56
"""Sampling thresholds and randomness are 56-bit numbers (tracestate-handling.md of the OpenTelemetry specification)."""
MAX_REMEMBERED = 500_000
"""Runs remembered as worth keeping; the ones longest untouched are forgotten first."""

_THRESHOLD = re.compile(r"(?:^|[;=])th:([0-9a-f]{1,14})(?:;|$)")
_RANDOMNESS = re.compile(r"(?:^|[;=])rv:([0-9a-f]{14})(?:;|$)")
REASONS = ("loop", "gate_denied", "error")
"""Why a run is kept with certainty, the first that holds."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The verdict per span.

    Attributes:
        kept: goes to `otel_traces`.
        weight: how many spans it stands for.
        reason: loop, gate_denied, error, or probability.
    """

    kept: NDArray[np.bool_]
    weight: NDArray[np.float64]
    reason: Words


class Sampler:
    """Decides per run, as early as it can. Remembers the runs worth keeping."""

    def __init__(self, probability: float) -> None:
        self._threshold = min(FULL - 1, round((1 - probability) * FULL))
        self._keep: dict[tuple[str, str], int] = {}

    def sample(self, spans: Spans, loops: LoopChanges) -> Sample:
        """The verdict for a batch: what is known of its runs by now."""
        incoming, rv = _tracestates(spans)
        randomness = _randomness(spans, rv)
        incoming = np.where(randomness >= incoming, incoming, 0)  # else it cannot have been sampled by it, yet is here
        threshold = np.maximum(incoming, self._threshold)
        by_chance = randomness >= threshold
        reason = self._reasons(spans, loops)
        certain = reason < len(REASONS)
        return Sample(
            kept=certain | by_chance,
            weight=FULL / (FULL - np.where(certain, incoming, threshold)).astype(np.float64),
            reason=Words.choose([*REASONS, "probability"], reason),
        )

    def _reasons(self, spans: Spans, loops: LoopChanges) -> NDArray[np.int8]:
        """Per row an index of REASONS; their number where none holds."""
        per_row = np.full(spans.rows, len(REASONS), np.int8)
        news: dict[tuple[str, str], int] = dict.fromkeys(loops.looping, REASONS.index("loop"))
        failed = spans.status.isin(("error",))
        for mask, name in ((is_denied(spans), "gate_denied"), (failed, "error")):
            rows = np.flatnonzero(mask)
            for run in dict.fromkeys(
                zip(spans.tenant.take(rows).tolist(), spans.trace.take(rows).tolist(), strict=True)
            ):
                news[run] = min(news.get(run, len(REASONS)), REASONS.index(name))
        for run, why in news.items():
            self._keep[run] = min(why, self._keep.pop(run, why))
        while len(self._keep) > MAX_REMEMBERED:
            del self._keep[next(iter(self._keep))]
        if self._keep:
            for tenant_code, tenant in enumerate(spans.tenant.words):
                of_trace = np.fromiter(
                    map(self._keep.get, zip(repeat(tenant), spans.trace.words, strict=False), repeat(len(REASONS))),
                    np.int8,
                    len(spans.trace.words),
                )
                mine = spans.tenant.codes == tenant_code
                per_row[mine] = of_trace[spans.trace.codes[mine]]
        return per_row


def _randomness(spans: Spans, explicit: NDArray[np.int64]) -> NDArray[np.int64]:
    words = spans.trace.words
    of_trace = np.fromiter((int(word[-14:] or "0", 16) for word in words), np.int64, len(words))
    return np.where(explicit >= 0, explicit, of_trace[spans.trace.codes])


def _tracestates(spans: Spans) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Incoming threshold (0 = none) and explicit randomness (-1 = none) per row."""
    states = Words.from_arrow(spans.otlp.column("TraceState"))
    threshold = np.zeros(len(states.words), np.int64)
    randomness = np.full(len(states.words), -1, np.int64)
    for i, state in enumerate(states.words):
        entry = next((part for part in state.split(",") if part.strip().startswith("ot=")), "")
        if found := _THRESHOLD.search(entry.strip()):
            threshold[i] = min(FULL - 1, int(found[1].ljust(14, "0"), 16))
        if found := _RANDOMNESS.search(entry.strip()):
            randomness[i] = int(found[1], 16)
    return threshold[states.codes], randomness[states.codes]
