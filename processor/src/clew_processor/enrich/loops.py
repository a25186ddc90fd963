"""Loops, found while a run goes on: what each run called, in order, and which repetitions that makes.

A batch costs a few column operations; only runs that made the same call often enough, or in which one failed, are
looked at call by call. Where a run has no tool spans (bare clients), the tool calls in the models' output messages are
counted instead.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import astuple, dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from clew_processor.arrow import decimals, timestamps
from clew_processor.enrich.history import fingerprints, model_calls, requested_calls, tool_calls
from clew_processor.enrich.ids import id_numbers, id_texts
from clew_processor.enrich.memory import Tally
from clew_processor.enrich.run_log import RunLog
from clew_processor.enrich.streaks import THRESHOLD, Calls, count_retries, streaks
from clew_processor.grouping import dense
from clew_processor.normalise.normaliser import run_keys
from clew_processor.words import Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from clew_processor.enrich.contributions import Changed
    from clew_processor.enrich.lookup import Keys
    from clew_processor.enrich.remembered import RunKey
    from clew_processor.enrich.run_log import Columns, Rows
    from clew_processor.enrich.usage import Usage
    from clew_processor.normalise.spans import Spans

MAX_EVENTS = 1_000_000
"""Tool calls remembered over all runs, as many that were asked for, and as many model calls; beyond it the oldest are
forgotten."""
MAX_CALLS_PER_RUN = 20_000
"""A suspicious run with more tool calls than this is looked at no further: its loops stay as they are."""
MAX_FINGERPRINTS = 1_000_000
"""Calls in one generation of the memory of what was called before; there is one of tool calls and one of what models
asked for."""
MAX_SUSPECTS = 200_000
"""Runs with a call made often or one that failed; beyond it those longest untouched are forgotten."""
IDLE_S = 86_400
"""A call is remembered for so long, and so is a run not heard of."""


@dataclass(frozen=True, slots=True)
class Loop:
    """The same call several times in a row, and what it wasted.

    Attributes:
        pattern, repetitions: see `streaks.Streak`.
        tool, args: of the call; its arguments' hash as 16 bytes, little-endian.
        agent: that made the first of them.
        first_span_id, last_span_id, started_ns, last_ns: of the first and the last call, and when they began.
        wasted_tokens, wasted_nano: own usage of the run's model calls that led to repetitions 2 and later.
    """

    pattern: str
    repetitions: int
    tool: str
    args: bytes
    agent: str
    first_span_id: str
    last_span_id: str
    started_ns: int
    last_ns: int
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
class _Suspect:
    """A run that may have made the same call `THRESHOLD` times (`repeats`) or of which a call failed (`fails`).

    `closed` is one that is looked at no further: it is too long, or some of its calls are forgotten.
    """

    run: RunKey
    touched: int  # when it was last heard of
    since: int  # number of the batch that its first call came with, as far as known, or of an earlier one
    repeats: bool = False
    fails: bool = False
    closed: bool = False
    retries: int = 0
    loops: dict[str, Loop] = field(default_factory=dict)  # by the span id of the first call


_told = attrgetter("run", "touched", "since", "repeats", "fails", "closed", "retries")
"""Of a suspect."""


class LoopFinder:
    """Remembers the calls of the last day; bounded by `MAX_EVENTS`."""

    def __init__(self) -> None:
        self._tools, self._requested, self._models, self._verdicts = (
            RunLog(rows=MAX_EVENTS, keep_s=IDLE_S) for _ in range(4)
        )
        self._suspects: OrderedDict[int, _Suspect] = OrderedDict()  # by key of the run, longest untouched first
        self._made, self._asked = (Tally(size=MAX_FINGERPRINTS, keep_s=IDLE_S) for _ in range(2))
        self._batch = 0

    def find(self, spans: Spans, usage: Usage, now: int) -> LoopChanges:
        """Takes note of a batch's calls and says which loops they make or unmake.

        Args:
            spans: the batch.
            usage: its verdicts.
            now: by the `ArrivalClock`.
        """
        self.forget(now)
        self._batch += 1
        touched = np.zeros(len(spans.run_keys), np.bool_)
        touched[self._note_models(spans, usage, now)] = True
        for log, tally, (rows, columns) in self._called(spans):
            touched[spans.run[rows]] = True
            run = spans.run_keys[spans.run[rows]]
            log.add(run, columns, batch=self._batch, now=now)
            live = ~usage.duplicate[rows]
            often = _often(tally, np.where(live, fingerprints(columns, run), np.uint64(0)))
            self._suspect(spans, rows, often, columns["failed"] & live, now)
        runs = set(spans.run_keys[touched].tolist()) if self._suspects else set()
        for changed, counts in ((usage.superseded, False), (usage.reinstated, True)):
            if changed:
                runs |= self._correct(changed, now, counts=counts)
        changes = LoopChanges()
        if suspects := sorted(self._suspects.keys() & runs):
            self._judge(suspects, changes, now)
        return changes

    def forget(self, now: int) -> None:
        """Forgets calls and runs of longer ago than `IDLE_S` by now (`ArrivalClock`)."""
        for log in (self._tools, self._requested, self._models, self._verdicts):
            log.forget(now)
        while self._suspects and (
            next(iter(self._suspects.values())).touched < now - IDLE_S * 10**9 or len(self._suspects) > MAX_SUSPECTS
        ):
            self._suspects.popitem(last=False)
        self._made.forget(now)
        self._asked.forget(now)

    def state(self) -> object:
        """What it remembers."""
        return {
            "logs": [log.state() for log in (self._tools, self._requested, self._models, self._verdicts)],
            "suspects": [
                (key, *_told(suspect), list(map(astuple, suspect.loops.values())))
                for key, suspect in self._suspects.items()
            ],
            "tallies": (self._made.state(), self._asked.state()),
            "batch": self._batch,
        }

    def restore(self, state: Any) -> None:
        """Remembers that instead."""
        logs = (self._tools, self._requested, self._models, self._verdicts)
        for log, kept in zip(logs, state["logs"], strict=True):
            log.restore(kept)
        self._suspects = OrderedDict()
        for key, *told, loops in state["suspects"]:
            suspect = self._suspects[key] = _Suspect(*told)
            suspect.loops = {loop.first_span_id: loop for loop in (Loop(*one) for one in loops)}
        for tally, counted in zip((self._made, self._asked), state["tallies"], strict=True):
            tally.restore(counted)
        self._batch = state["batch"]

    def _called(self, spans: Spans) -> Iterator[tuple[RunLog, Tally, tuple[NDArray[np.integer], Columns]]]:
        yield self._tools, self._made, tool_calls(spans)
        if spans.requested_calls.any():
            yield self._requested, self._asked, requested_calls(spans)

    def _note_models(self, spans: Spans, usage: Usage, now: int) -> NDArray[np.integer]:
        """Own usage, and which calls are copies: they, or what their answers ask for, are there elsewhere too.

        Returns the numbers of the runs with own usage.
        """
        rows, columns = model_calls(spans, usage)
        run: NDArray[np.integer] = spans.run[rows]
        self._models.add(spans.run_keys[run], columns, batch=self._batch, now=now)
        copies = np.flatnonzero(usage.duplicate)
        if len(copies):
            copies = copies[(spans.requested_calls[copies] > 0) | spans.op.isin(("execute_tool",))[copies]]
            of_copies = spans.run_keys[spans.run[copies]]
            asked = {"span": id_numbers(spans.span_id, copies), "counts": np.zeros(len(copies), np.bool_)}
            self._verdicts.add(of_copies, asked, batch=self._batch, now=now)
        return run

    def _correct(self, changed: Changed, now: int, *, counts: bool) -> set[int]:
        """Earlier calls count no more, or count now. Returns the keys of their runs."""
        each = changed.contributions
        tenants, traces = each.tenant.tolist(), each.trace.tolist()
        run = run_keys(tenants, traces)
        sign = 1 if counts else -1
        corrected = {
            "start_ns": each.end_ns - each.duration_ns,
            "tokens": sign * (each.input_tokens + each.output_tokens),
            "cost_nano": sign * each.cost_nano,
        }
        self._models.add(run, corrected, batch=self._batch, now=now)
        span = np.array([int(span_id, 16) for span_id in changed.span_ids], np.uint64)
        verdicts = {"span": span, "counts": np.full(len(span), counts)}
        self._verdicts.add(run, verdicts, batch=self._batch, now=now)
        if counts:  # nobody looked whether what it asks for repeats anything
            for key, tenant, trace in zip(run.tolist(), tenants, traces, strict=True):
                self._suspects.setdefault(key, _Suspect((tenant, trace), now, self._batch)).repeats = True
        return set(run.tolist())

    def _suspect(
        self, spans: Spans, rows: NDArray[np.integer], often: NDArray[np.bool_], failed: NDArray[np.bool_], now: int
    ) -> None:
        for mask, why in ((often, "repeats"), (failed, "fails")):
            if not mask.any():
                continue
            _, first = dense([(spans.run[rows[mask]], len(spans.run_keys))])
            of_run = rows[mask][first]
            names = zip(spans.tenant.take(of_run).tolist(), spans.trace.take(of_run).tolist(), strict=True)
            for key, run in zip(spans.run_keys[spans.run[of_run]].tolist(), names, strict=True):
                suspect = self._suspects.get(key)
                if suspect is None:
                    suspect = self._suspects[key] = _Suspect(run, now, self._batch)
                setattr(suspect, why, True)

    def _judge(self, keys: list[int], changes: LoopChanges, now: int) -> None:
        """Looks at some suspicious runs."""
        suspects = {key: self._suspects[key] for key in keys}
        for key, suspect in suspects.items():
            suspect.touched = now
            self._suspects.move_to_end(key)
        lost = max(self._tools.lost, self._requested.lost)
        for suspect in suspects.values():
            suspect.closed |= suspect.since <= lost
        if looked_at := {key: suspect for key, suspect in suspects.items() if not suspect.closed}:
            self._look(looked_at, changes)
        changes.looping = [key for key, suspect in suspects.items() if suspect.loops]

    def _look(self, suspects: dict[int, _Suspect], changes: LoopChanges) -> None:
        tools = self._counted(self._tools, _keys(suspects))
        with_tools = set(tools.key.tolist()) if tools is not None else set()
        asking = [key for key, one in suspects.items() if one.repeats and key not in with_tools]
        requested = self._counted(self._requested, np.sort(np.array(asking, np.uint64))) if asking else None
        loops: dict[int, dict[str, Loop]] = {}
        retries: dict[int, int] = {}
        for rows in (tools, requested):
            if rows is None:
                continue
            in_order = rows.take(np.lexsort((rows["position"], rows["span"], rows["start_ns"], rows.key)))
            calls = _calls(in_order)
            if rows is tools:
                retries |= count_retries(calls)
            self._find_loops(in_order, calls, loops)
            _note_extent(in_order, suspects)
        for key, suspect in suspects.items():
            found, again = loops.get(key, {}), retries.get(key, 0)
            if found or suspect.loops or again != suspect.retries:
                _compare(suspect, found, again, changes)

    def _counted(self, log: RunLog, runs: Keys) -> Rows | None:
        """Tool calls of some runs, or what their models asked for, without the spans of which a copy counts."""
        rows, verdicts = log.of(runs), self._verdicts.of(runs)
        if rows is None or verdicts is None:
            return rows
        last = dict(
            zip(
                zip(verdicts.key.tolist(), verdicts["span"].tolist(), strict=True),
                verdicts["counts"].tolist(),
                strict=True,
            )
        )
        counts = [last.get(call, True) for call in zip(rows.key.tolist(), rows["span"].tolist(), strict=True)]
        rows = rows.take(np.array(counts, np.bool_))
        return rows if len(rows) else None

    def _find_loops(self, rows: Rows, calls: Calls, loops: dict[int, dict[str, Loop]]) -> None:
        found = list(streaks(calls))
        if not found:
            return
        models = self._models.of(np.unique(rows.key[[streak.first for streak in found]]))
        for streak in found:
            first, last = streak.first, streak.last
            key = int(rows.key[first])
            first_id, last_id = id_texts(rows["span"][[first, last]])
            started_ns, last_ns = rows["start_ns"][[first, last]].tolist()
            tokens, cost_nano = _wasted(models, key, started_ns, last_ns)
            loops.setdefault(key, {})[first_id] = Loop(
                pattern=streak.pattern,
                repetitions=streak.repetitions,
                tool=rows["tool"].words[rows["tool"].codes[first]],
                args=rows["args"][first].tobytes(),
                agent=rows["agent"].words[rows["agent"].codes[first]],
                first_span_id=first_id,
                last_span_id=last_id,
                started_ns=started_ns,
                last_ns=last_ns,
                wasted_tokens=tokens,
                wasted_nano=cost_nano,
            )


def _often(tally: Tally, calls: Keys) -> NDArray[np.bool_]:
    """The calls (`fingerprints`) that may have been made `THRESHOLD` times in their run by now."""
    told = np.flatnonzero(calls)
    often = np.zeros(len(calls), np.bool_)
    if len(told):
        place, first = dense([calls[told]])
        made = tally.add(calls[told][first], np.bincount(place))
        often[told] = (made >= THRESHOLD)[place]
    return often


def _note_extent(rows: Rows, suspects: dict[int, _Suspect]) -> None:
    """With which batch the first call of each run came, and whether there are too many."""
    starts = np.flatnonzero(np.concatenate(([True], rows.key[1:] != rows.key[:-1])))
    counts = np.diff(np.append(starts, len(rows))).tolist()
    since = np.minimum.reduceat(rows.batch, starts).tolist()
    for key, count, first in zip(rows.key[starts].tolist(), counts, since, strict=True):
        suspects[key].since = min(suspects[key].since, first)
        suspects[key].closed = count > MAX_CALLS_PER_RUN


def _keys(suspects: dict[int, _Suspect]) -> Keys:
    return np.sort(np.fromiter(suspects, np.uint64, len(suspects)))


def _calls(rows: Rows) -> Calls:
    return Calls(
        run=rows.key,
        tool=rows["tool_key"],
        same=rows["args"],
        alone=~rows["args"].any(axis=1),
        failed=rows["failed"],
    )


def _wasted(models: Rows | None, run: int, started_ns: int, last_ns: int) -> tuple[int, int]:
    """Of the run's model calls that started after the first repetition and not after the last: tokens and cost."""
    if models is None:
        return 0, 0
    key = np.uint64(run)
    mine = slice(int(models.key.searchsorted(key)), int(models.key.searchsorted(key, "right")))
    start = models["start_ns"][mine]
    led = (start > started_ns) & (start <= last_ns)
    # As Python integers: ten absurd costs are more than 64 bits hold.
    return sum(models["tokens"][mine][led].tolist()), sum(models["cost_nano"][mine][led].tolist())


def _compare(suspect: _Suspect, loops: dict[str, Loop], retries: int, changes: LoopChanges) -> None:
    """What is different now from what was told of a run."""
    change = RunChange(retries=retries - suspect.retries)
    suspect.retries = retries
    for span_id, loop in loops.items():
        before = suspect.loops.get(span_id)
        if loop != before:
            if before is not None and before.pattern != loop.pattern:
                changes.found.append((suspect.run, before, True))
            changes.found.append((suspect.run, loop, False))
            change.loops += before is None
            change.tokens += loop.wasted_tokens - (before.wasted_tokens if before else 0)
            change.cost_nano += loop.wasted_nano - (before.wasted_nano if before else 0)
    for span_id, gone in suspect.loops.items():
        if span_id not in loops:
            changes.found.append((suspect.run, gone, True))
            change.loops -= 1
            change.tokens -= gone.wasted_tokens
            change.cost_nano -= gone.wasted_nano
    suspect.loops = loops
    if change != RunChange():
        changes.runs[suspect.run] = change


def loop_rows(changes: LoopChanges, version: int) -> pa.Table | None:
    """Rows of `loop_versions`, or None when nothing changed.

    Args:
        changes: from the finder.
        version: greater than that of any earlier batch.
    """
    if not changes.found:
        return None
    runs, loops, deleted = zip(*changes.found, strict=True)

    def text(values: list[str]) -> pa.Array:
        return pa.array(values, pa.utf8()).dictionary_encode()

    def ints(values: list[int]) -> NDArray[np.int64]:
        return np.array(values, np.int64)

    return pa.table(
        {
            "tenant_id": text([run[0] for run in runs]),
            "trace_id": pa.array([run[1] for run in runs]),
            "agent_name": text([loop.agent for loop in loops]),
            "pattern": text([loop.pattern for loop in loops]),
            "period": pa.array(np.ones(len(loops), np.uint32)),
            "repetitions": pa.array([loop.repetitions for loop in loops], pa.uint32()),
            "first_span_id": pa.array([loop.first_span_id for loop in loops]),
            "last_span_id": pa.array([loop.last_span_id for loop in loops]),
            "tool_name": text([loop.tool for loop in loops]),
            "fingerprint": pa.array([loop.args for loop in loops], pa.binary(16)),
            "started_at": timestamps(ints([loop.started_ns for loop in loops])),
            "last_seen_at": timestamps(ints([loop.last_ns for loop in loops])),
            "wasted_tokens": pa.array(ints([loop.wasted_tokens for loop in loops])),
            "wasted_cost_usd": decimals(np.array([loop.wasted_nano for loop in loops], object), 38),
            "action": Words.constant("none", len(loops)).to_arrow(),
            "version": pa.array(np.full(len(loops), version, np.uint64)),
            "deleted": pa.array(list(deleted)).cast(pa.uint8()),
        }
    )
