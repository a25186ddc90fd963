"""Loops, found while a run goes on: what each run called, in order, and which repetitions that makes.

A batch costs a few column operations; only runs in which the same call was seen before, or one failed, are looked at
call by call. Where a run has no tool spans (bare clients), the tool calls in the models' output messages are counted
instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from clew_processor.arrow import decimals, timestamps
from clew_processor.enrich.history import (
    ModelCall,
    RunHistory,
    RunKey,
    ToolSlice,
    model_calls,
    requested_calls,
    tool_calls,
)
from clew_processor.enrich.streaks import Streak, streaks
from clew_processor.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.enrich.history import ToolCalls
    from clew_processor.enrich.usage import Usage
    from clew_processor.normalise.spans import Spans

MAX_EVENTS = 2_000_000
"""Calls remembered over all runs; beyond it the runs longest untouched are forgotten."""
MAX_CALLS_PER_RUN = 20_000
"""A suspicious run with more tool and model calls than this is looked at no further: its loops stay as they are."""
MAX_FINGERPRINTS = 1_000_000
"""Calls in one generation of the memory of what was called before."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A streak and what it wasted: the model calls that led to repetitions 2 and later."""

    streak: Streak
    wasted_tokens: int
    wasted_nano: int


@dataclass(slots=True)
class RunChange:
    """What a batch changes in a run's totals."""

    loops: int = 0
    tokens: int = 0
    cost_nano: int = 0
    retries: int = 0


@dataclass(slots=True)
class LoopChanges:
    """What a batch changes.

    Attributes:
        found: (run, loop, deleted) for each loop that is new, has grown, or turned out to be none.
        runs: per run, what to add to its totals.
        looping: runs with a loop now.
    """

    found: list[tuple[RunKey, Loop, bool]] = field(default_factory=list)
    runs: dict[RunKey, RunChange] = field(default_factory=dict)
    looping: set[RunKey] = field(default_factory=set)


@dataclass(slots=True)
class _Run:
    history: RunHistory = field(default_factory=RunHistory)
    repeats: bool = False  # it may have made the same call twice
    fails: bool = False  # a call of it failed
    closed: bool = False  # too long to be looked at any further
    loops: dict[str, Loop] = field(default_factory=dict)
    retries: int = 0


class LoopFinder:
    """Remembers the calls of running runs; bounded by `MAX_EVENTS`."""

    def __init__(self) -> None:
        self._runs: dict[RunKey, _Run] = {}
        self._events = 0
        self._before = _Generations(MAX_FINGERPRINTS)

    def find(self, spans: Spans, usage: Usage) -> LoopChanges:
        """Takes note of a batch's calls and says which loops they make or unmake."""
        touched: dict[RunKey, _Run] = {}
        models, slices = model_calls(spans, usage)
        for run, start, end in slices:
            state = self._touch(run, touched)
            if not state.closed:
                state.history.models.append((models, start, end))
                self._events += end - start
        for calls, slices, requested in (
            (*tool_calls(spans), False),
            (*requested_calls(spans, usage), True),
        ):
            first = [start for _, start, _ in slices]
            again = np.logical_or.reduceat(self._again(calls), first).tolist() if slices else []
            failed = np.logical_or.reduceat(calls.failed, first).tolist() if slices else []
            for (run, start, end), repeats, fails in zip(slices, again, failed, strict=True):
                state = self._touch(run, touched)
                if state.closed:
                    continue
                (state.history.requested if requested else state.history.tools).append(ToolSlice(calls, start, end))
                self._events += end - start
                state.repeats = state.repeats or repeats
                state.fails = state.fails or fails
        for gone in usage.superseded:
            one = gone.contribution
            run = (one.tenant.tolist()[0], one.trace.tolist()[0])
            if run in self._runs:
                self._touch(run, touched).history.supersede(gone)
        changes = LoopChanges()
        for run, state in touched.items():
            if (state.repeats or state.fails) and not state.closed:
                self._judge(run, state, changes)
                self._close_if_long(state)
            if state.loops:
                changes.looping.add(run)
        while self._events > MAX_EVENTS and len(self._runs) > 1:
            self._events -= self._runs.pop(next(iter(self._runs))).history.events
        return changes

    def _touch(self, run: RunKey, touched: dict[RunKey, _Run]) -> _Run:
        if run not in touched:
            state = self._runs.pop(run) if run in self._runs else _Run()
            touched[run] = self._runs[run] = state  # last in order: longest untouched first
        return touched[run]

    def _close_if_long(self, state: _Run) -> None:
        if (events := state.history.events) > MAX_CALLS_PER_RUN:
            self._events -= events
            state.history, state.closed = RunHistory(), True

    def _again(self, calls: ToolCalls) -> NDArray[np.bool_]:
        """The calls that may repeat an earlier one of their run."""
        told = calls.fingerprint[calls.fingerprint != 0]
        distinct, counts = np.unique(told, return_counts=True)
        known = self._before.known(distinct.tolist())
        known.update(distinct[counts > 1].tolist())
        self._before.add(distinct.tolist())
        if not known:
            return np.zeros(len(calls.fingerprint), np.bool_)
        return np.isin(calls.fingerprint, np.fromiter(known, np.uint64, len(known)))

    def _judge(self, run: RunKey, state: _Run, changes: LoopChanges) -> None:
        change = RunChange()
        retries = state.history.retries()
        change.retries, state.retries = retries - state.retries, retries
        found = list(streaks(state.history.calls())) if state.repeats else []
        models = state.history.model_calls() if found else []
        loops = {streak.first.span_id: _priced(streak, models) for streak in found}
        for span_id, loop in loops.items():
            before = state.loops.get(span_id)
            if loop != before:
                if before is not None and before.streak.pattern != loop.streak.pattern:
                    changes.found.append((run, before, True))
                changes.found.append((run, loop, False))
                change.loops += before is None
                change.tokens += loop.wasted_tokens - (before.wasted_tokens if before else 0)
                change.cost_nano += loop.wasted_nano - (before.wasted_nano if before else 0)
        for span_id in state.loops.keys() - loops.keys():
            gone = state.loops[span_id]
            changes.found.append((run, gone, True))
            change.loops -= 1
            change.tokens -= gone.wasted_tokens
            change.cost_nano -= gone.wasted_nano
        state.loops = loops
        if change != RunChange():
            changes.runs[run] = change


class _Generations:
    """A set that forgets its oldest half once it is full."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: set[int] = set()
        self._old: set[int] = set()

    def known(self, values: list[int]) -> set[int]:
        return self._young.intersection(values) | self._old.intersection(values)

    def add(self, values: list[int]) -> None:
        self._young.update(values)
        if len(self._young) > self._size:
            self._old, self._young = self._young, set()


def _priced(streak: Streak, models: list[ModelCall]) -> Loop:
    """Wasted: own usage of the run's model calls that started after the first repetition and not after the last."""
    wasted = [call for call in models if streak.first.start_ns < call.start_ns <= streak.last.start_ns]
    return Loop(streak, sum(call.tokens for call in wasted), sum(call.cost_nano for call in wasted))


def loop_rows(changes: LoopChanges, version: int) -> pa.Table | None:
    """Rows of `loop_versions`, or None when nothing changed.

    Args:
        changes: from the finder.
        version: greater than that of any earlier batch.
    """
    if not changes.found:
        return None
    runs, loops, deleted = zip(*changes.found, strict=True)
    streak = [loop.streak for loop in loops]

    def text(values: list[str]) -> pa.Array:
        return pa.array(values, pa.utf8()).dictionary_encode()

    def ints(values: list[int]) -> NDArray[np.int64]:
        return np.array(values, np.int64)

    return pa.table(
        {
            "tenant_id": text([run[0] for run in runs]),
            "trace_id": pa.array([run[1] for run in runs]),
            "agent_name": text([one.first.agent for one in streak]),
            "pattern": text([one.pattern for one in streak]),
            "period": pa.array(np.ones(len(loops), np.uint32)),
            "repetitions": pa.array([one.repetitions for one in streak], pa.uint32()),
            "first_span_id": pa.array([one.first.span_id for one in streak]),
            "last_span_id": pa.array([one.last.span_id for one in streak]),
            "tool_name": text([one.first.tool for one in streak]),
            "fingerprint": pa.array([one.first.args for one in streak], pa.binary(16)),
            "started_at": timestamps(ints([one.first.start_ns for one in streak])),
            "last_seen_at": timestamps(ints([one.last.start_ns for one in streak])),
            "wasted_tokens": pa.array(ints([loop.wasted_tokens for loop in loops])),
            "wasted_cost_usd": decimals(np.array([loop.wasted_nano for loop in loops], object), 38),
            "action": Words.constant("none", len(loops)).to_arrow(),
            "version": pa.array(np.full(len(loops), version, np.uint64)),
            "deleted": pa.array(list(deleted)).cast(pa.uint8()),
        }
    )
