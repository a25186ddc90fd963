"""Loops, found while a run goes on: what each run called, in order, and which repetitions that makes.

A batch costs a few column operations; only runs in which the same call was seen before, or one failed, are looked at
call by call. Where a run has no tool spans (bare clients), the tool calls in the models' output messages are counted
instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from clew_processor.arrow import decimals, timestamps
from clew_processor.enrich.history import (
    ModelCall,
    RunHistory,
    copies_that_asked,
    model_calls,
    packed,
    requested_calls,
    tool_calls,
)
from clew_processor.enrich.memory import Recent
from clew_processor.enrich.streaks import Streak, streaks
from clew_processor.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.enrich.calls import Changed
    from clew_processor.enrich.history import AnyCalls, ModelCalls, Slice, ToolCalls
    from clew_processor.enrich.remembered import RunKey
    from clew_processor.enrich.usage import Usage
    from clew_processor.normalise.spans import Spans

MAX_EVENTS = 2_000_000
"""Calls remembered over all runs; beyond it the runs longest untouched are forgotten."""
MAX_CALLS_PER_RUN = 20_000
"""A suspicious run with more tool and model calls than this is looked at no further: its loops stay as they are."""
MAX_FINGERPRINTS = 1_000_000
"""Calls in one generation of the memory of what was called before."""
IDLE_S = 86_400
"""A run not heard of for so long is forgotten."""
SLACK_ROWS = 100_000
"""Rows kept of which no run holds a part, beside as many as runs do hold."""
MAX_BATCHES, ROWS_PER_BATCH = 512, 500
"""Batches kept, and how large further ones are on average at least. Many small ones are slow to write down."""


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
        looping: keys (`Spans.run_keys`) of the runs with a loop now.
    """

    found: list[tuple[RunKey, Loop, bool]] = field(default_factory=list)
    runs: dict[RunKey, RunChange] = field(default_factory=dict)
    looping: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Run:
    number: int  # its key in any batch
    touched: int  # when it was last heard of
    history: RunHistory = field(default_factory=RunHistory)
    repeats: bool = False  # it may have made the same call twice
    fails: bool = False  # a call of it failed
    closed: bool = False  # too long to be looked at any further
    loops: dict[str, Loop] = field(default_factory=dict)
    retries: int = 0


class LoopFinder:
    """Remembers the calls of running runs; bounded by `MAX_EVENTS`."""

    def __init__(self) -> None:
        self._runs: dict[RunKey, _Run] = {}  # longest untouched first
        self._events = 0
        self._batches = 0  # that runs hold parts of
        self._rows = 0  # of these batches
        self._before = Recent(size=MAX_FINGERPRINTS, keep_s=IDLE_S)

    def find(self, spans: Spans, usage: Usage, now: int) -> LoopChanges:
        """Takes note of a batch's calls and says which loops they make or unmake.

        Args:
            spans: the batch.
            usage: its verdicts.
            now: by the `ArrivalClock`.
        """
        self.forget(now)
        touched: dict[RunKey, _Run] = {}
        models, slices = model_calls(spans, usage)
        self._take(models, slices, "models", touched, now)
        by_kind = [(tool_calls(spans), "tools")]
        if spans.requested_calls.any():
            by_kind.append((requested_calls(spans, usage), "requested"))
        for (calls, fingerprints, slices), kind in by_kind:
            states = self._take(calls, slices, kind, touched, now)
            if slices:
                first = [start for _, _, start, _ in slices]
                again = np.logical_or.reduceat(self._again(fingerprints), first)
                failed = np.logical_or.reduceat(calls.failed, first)
                for i in np.flatnonzero(again).tolist():
                    states[i].repeats = True
                for i in np.flatnonzero(failed).tolist():
                    states[i].fails = True
        for run, span_id in copies_that_asked(spans, usage):
            if not touched[run].closed:
                touched[run].history.uncounted.add(span_id)
        if usage.superseded:
            self._correct(usage.superseded, -1, touched, now)
        if usage.reinstated:
            self._correct(usage.reinstated, 1, touched, now)
        changes = LoopChanges()
        for run, state in touched.items():
            if (state.repeats or state.fails) and not state.closed:
                self._judge(run, state, changes)
                if state.history.events > MAX_CALLS_PER_RUN:
                    self._let_go(state)
                    state.closed = True
            if state.loops:
                changes.looping.append(state.number)
        while self._events > MAX_EVENTS and len(self._runs) > 1:
            self._drop_oldest()
        if self._rows > 2 * self._events + SLACK_ROWS or self._batches > MAX_BATCHES + self._rows // ROWS_PER_BATCH:
            self._pack()
        return changes

    def forget(self, now: int) -> None:
        """Forgets runs not heard of for `IDLE_S` by now (`ArrivalClock`)."""
        while self._runs and next(iter(self._runs.values())).touched < now - IDLE_S * 10**9:
            self._drop_oldest()
        self._before.forget(now)

    def state(self) -> object:
        """What it remembers."""
        runs = [
            (
                run, state.number, state.touched, state.repeats, state.fails, state.closed, state.retries,
                state.loops or None, state.history.corrected or None, state.history.uncounted or None,
                state.history.tools, state.history.requested, state.history.models,
            )
            for run, state in self._runs.items()
        ]  # fmt: skip
        return {"runs": runs, "before": self._before.state()}

    def restore(self, state: Any) -> None:
        """Remembers that instead."""
        self._runs = {}
        self._events = 0
        self._before.restore(state["before"])
        batches: dict[int, ToolCalls | ModelCalls] = {}
        for run, number, touched, repeats, fails, closed, retries, loops, corrected, uncounted, *parts in state["runs"]:
            history = RunHistory(*parts)
            history.corrected, history.uncounted = corrected or {}, uncounted or set()
            for batch, start, end in history.parts():
                history.events += end - start
                batches[id(batch)] = batch
            self._events += history.events
            self._runs[run] = _Run(number, touched, history, repeats, fails, closed, loops or {}, retries)
        self._batches = len(batches)
        self._rows = sum(map(len, batches.values()))

    def _touch(self, run: RunKey, number: int, touched: dict[RunKey, _Run], now: int) -> _Run:
        if run not in touched:
            state = self._runs.pop(run, None) or _Run(number, now)
            state.touched = now
            touched[run] = self._runs[run] = state
        return touched[run]

    def _take(
        self, batch: AnyCalls, slices: list[Slice], kind: str, touched: dict[RunKey, _Run], now: int
    ) -> list[_Run]:
        """Adds each slice of a batch to its run's history. Returns the run of each."""
        states = []
        for run, number, start, end in slices:
            state = touched.get(run) or self._touch(run, number, touched, now)
            states.append(state)
            if not state.closed:
                getattr(state.history, kind).append((batch, start, end))
                state.history.events += end - start
                batch.live += end - start
        self._events += batch.live
        self._account(batch)
        return states

    def _account(self, batch: ToolCalls | ModelCalls) -> None:
        if batch.live:
            self._batches += 1
            self._rows += len(batch)

    def _let_go(self, state: _Run) -> None:
        for batch, start, end in state.history.parts():
            batch.live -= end - start
            if not batch.live:
                self._batches -= 1
                self._rows -= len(batch)
        self._events -= state.history.events
        state.history = RunHistory()

    def _drop_oldest(self) -> None:
        self._let_go(self._runs.pop(next(iter(self._runs))))

    def _pack(self) -> None:
        """Copies what runs hold out of the batches it came in: one long run must not keep everybody's calls."""
        histories = [state.history for state in self._runs.values()]
        self._batches = self._rows = 0
        for parts_of in (attrgetter("tools"), attrgetter("requested"), attrgetter("models")):
            holders = [parts_of(history) for history in histories]
            parts = [part for held in holders for part in held]
            if not parts:
                continue
            batch, at = packed(parts), 0
            self._account(batch)
            for held in holders:
                count = sum(end - start for _, start, end in held)
                if count:
                    held[:] = [(batch, at, at + count)]
                    at += count
        for history in histories:
            history.moved()

    def _correct(self, changed: Changed, sign: int, touched: dict[RunKey, _Run], now: int) -> None:
        """Earlier calls count no more, or count now."""
        each = changed.contributions
        runs = zip(each.tenant.tolist(), each.trace.tolist(), strict=True)
        starts = (each.end_ns - each.duration_ns).tolist()
        tokens = (sign * (each.input_tokens + each.output_tokens)).tolist()
        costs = (sign * each.cost_nano).tolist()
        for run, span_id, call in zip(runs, changed.span_ids, map(ModelCall, starts, tokens, costs), strict=True):
            state = self._runs.get(run)
            if state is None or state.closed:
                continue
            self._touch(run, state.number, touched, now)
            if state.history.corrected.pop(span_id, None) is None:  # else it is back to what it was
                state.history.corrected[span_id] = call
            if sign < 0:
                state.history.uncounted.add(span_id)
            else:
                state.history.uncounted.discard(span_id)
                state.repeats = True  # nobody looked whether what it asks for repeats anything

    def _again(self, fingerprints: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """The calls that may repeat an earlier one of their run."""
        distinct, counts = np.unique(fingerprints[fingerprints != 0], return_counts=True)
        values = distinct.tolist()
        known = self._before.known(values)
        known.update(distinct[counts > 1].tolist())
        self._before.add(values)
        if not known:
            return np.zeros(len(fingerprints), np.bool_)
        return np.isin(fingerprints, np.fromiter(known, np.uint64, len(known)))

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
        for span_id, gone in state.loops.items():
            if span_id not in loops:
                changes.found.append((run, gone, True))
                change.loops -= 1
                change.tokens -= gone.wasted_tokens
                change.cost_nano -= gone.wasted_nano
        state.loops = loops
        if change != RunChange():
            changes.runs[run] = change


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
