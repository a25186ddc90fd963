"""Consistent probability sampling by trace id; runs worth looking at are kept with certainty.

Rules of OpenTelemetry's consistent sampling: randomness R is the last 56 bits of the trace id (or `rv`), a span is kept
when R >= T, and stands for 2^56 / (2^56 - T) spans. An incoming threshold (`ot=th:` in tracestate) is never lowered.
Totals do not depend on any of this: they are computed before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clew_processor.enrich.gates import is_denied
from clew_processor.enrich.ids import trace_bytes
from clew_processor.enrich.memory import ArrivalClock, Recent
from clew_processor.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.enrich.lookup import Keys
    from clew_processor.enrich.loops import LoopChanges
    from clew_processor.normalise.spans import Spans

FULL = 2**56
"""Sampling thresholds and randomness are 56-bit numbers (tracestate-handling.md of the OpenTelemetry specification)."""
MAX_REMEMBERED = 250_000
"""Runs remembered as worth keeping for a reason, in one of two generations."""
REMEMBERED_S = 86_400
"""They are remembered for so long at least, after they last gave a reason."""

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
        self._clock = ArrivalClock()
        self._keep = {reason: Recent(size=MAX_REMEMBERED, keep_s=REMEMBERED_S) for reason in REASONS}

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

    def state(self) -> object:
        """What it remembers, to be pickled before the next batch."""
        return self._clock.state(), {reason: runs.state() for reason, runs in self._keep.items()}

    def restore(self, state: Any) -> None:
        """Remembers that instead."""
        clock, kept = state
        self._clock.restore(clock)
        for reason, runs in self._keep.items():
            runs.restore(kept[reason])

    def _reasons(self, spans: Spans, loops: LoopChanges) -> NDArray[np.int8]:
        """Per row an index of REASONS; their number where none holds."""
        now = self._clock.advance(spans.arrival_ns)
        news = {
            "loop": np.array(loops.looping, np.uint64),
            "gate_denied": _runs(spans, is_denied(spans)),
            "error": _runs(spans, spans.error),
        }
        of_run = np.full(len(spans.run_keys), len(REASONS), np.int8)
        for i, reason in reversed(list(enumerate(REASONS))):
            self._keep[reason].forget(now)
            self._keep[reason].add(news[reason])
            of_run[self._keep[reason].among(spans.run_keys)] = i
        return of_run[spans.run]


def _runs(spans: Spans, mask: NDArray[np.bool_]) -> Keys:
    """Keys of the runs of these spans."""
    there = np.zeros(len(spans.run_keys), np.bool_)
    there[spans.run[mask]] = True
    return spans.run_keys[there]


def _randomness(spans: Spans, explicit: NDArray[np.int64]) -> NDArray[np.int64]:
    of_trace = trace_bytes(spans.trace.words).view(">u8")[1::2].astype(np.int64) & (FULL - 1)
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
