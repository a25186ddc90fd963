"""One model call seen twice counts once: which copy is `own`, and which are `duplicate`.

Two instrumentors stacked, or a client library with spans of its own, show the same call as two spans. The response id
joins them; without one, an inference span directly inside another does. Which copy is own (contract section 5): the one
inside an agent's tree, then the one with more kinds of tokens, then the lower (trace id, span id), whatever order they
come in. When a better copy comes later, the earlier one is superseded: what it added is taken away again.

Inside an agent's tree are the calls of a run that has an agent's or a workflow's span. Such a span mostly ends, and so
arrives, after the calls inside it: then a copy that was no better before may be reinstated, and what it adds is added.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from clew_processor.enrich.ids import id_numbers, id_texts
from clew_processor.enrich.lookup import KeyFilter, SortedKeys, joined_keys
from clew_processor.enrich.memory import Recent
from clew_processor.enrich.remembered import TOKENS, WORK, Calls, contributions, joined, narrow, runs_of, works_of
from clew_processor.normalise.spans import AGENT_OPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from clew_processor.enrich.contributions import Contributions
    from clew_processor.enrich.lookup import Keys
    from clew_processor.normalise.spans import Spans
    from clew_processor.words import Words

MAX_CALLS = 1_000_000
"""Calls remembered at most; beyond it the oldest are forgotten early and a later copy of them counts."""
MAX_RESPONSES = 250_000
"""Forgotten calls' response ids in one of two generations, to tell that a copy came late."""
MAX_AGENT_RUNS = 250_000
"""Runs with an agent's span in one of two generations."""
AGENT_RUNS_S = 86_400.0

_RESPONSE, _SPAN, _PARENT = range(3)
"""What calls are looked up by."""
_SLACK = 4096
"""So many calls may be forgotten before they are taken out of the filter, or else as many as are remembered."""
_SLICES = 32
"""Batches are joined until they hold this part of the calls or of the time that is remembered."""
_APART = 8
"""So many are left as they came before it is looked which to join."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Earlier calls on which the verdict is another now.

    Attributes:
        contributions: one row for each: what it adds when it counts.
        span_ids: of them.
        requested: how many tool calls each answer asked for.
        scope: what each one's usage is when it counts.
        cost_source: where its cost is from then.
    """

    contributions: Contributions
    span_ids: list[str]
    requested: NDArray[np.int64]
    scope: list[str]
    cost_source: list[str]

    def __len__(self) -> int:
        return len(self.span_ids)


@dataclass(frozen=True, slots=True)
class Copies:
    """The verdict on a batch.

    Attributes:
        duplicate: rows that are copies of a call that counts elsewhere.
        superseded: earlier calls that this batch brings better copies of.
        reinstated: earlier copies that turn out to be the better ones.
        late: calls that count although a call with their response id did, longer ago than copies are told.
        calls: rows that are model calls.
        waits: for each of them, may it be reinstated?
    """

    duplicate: NDArray[np.bool_]
    superseded: Changed | None
    reinstated: Changed | None
    late: int
    calls: NDArray[np.int64]
    waits: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Worth:
    """What model calls add if they count, one row for each, copies included; see `usage.Usage` for the columns."""

    contributions: Contributions
    scope: Words
    cost_source: Words


_Changes = dict[int, tuple[Calls, int, bool]]
"""Calls whose verdict was touched, by number: (calls, row of them, did it count before)."""


class _Held:
    """Remembered calls, and how they are found."""

    __slots__ = ("calls", "keys")

    def __init__(self, calls: Calls, keys: tuple[SortedKeys, ...] = ()) -> None:
        self.calls = calls
        self.keys = keys or tuple(map(SortedKeys, (calls.response, calls.here, calls.parent)))

    @classmethod
    def joined(cls, parts: Sequence[_Held]) -> _Held:
        keys = tuple(joined_keys([part.keys[kind] for part in parts]) for kind in (_RESPONSE, _SPAN, _PARENT))
        return cls(joined([part.calls for part in parts]), keys)


class CallIndex:
    """Remembers the calls of the last `settle_s` seconds of arrival time, to tell copies across batches."""

    def __init__(self, settle_s: float) -> None:
        self._settle_ns = int(settle_s * 1e9)
        self._held: deque[_Held] = deque()
        self._next = 0
        self._now = 0
        self._responses = Recent(size=MAX_RESPONSES, keep_s=settle_s)
        self._agent_runs = Recent(size=MAX_AGENT_RUNS, keep_s=AGENT_RUNS_S)
        self._waiting: dict[int, list[int]] = {}  # key of the run -> its calls that wait
        self._filter = KeyFilter(0)
        self._in_filter = 0

    def judge(self, spans: Spans, now: int) -> Copies:
        """Which rows are copies, and which verdicts change.

        Args:
            spans: the batch.
            now: by the `ArrivalClock`.
        """
        self.forget(now)
        changes: _Changes = {}
        self._hear_of_agents(spans, changes)
        rows = np.flatnonzero(spans.inference)
        duplicate = waits = np.zeros(spans.rows, np.bool_)
        late = 0
        if len(rows):
            duplicate = _nested(spans)
            self._nested_in_earlier(spans, rows, duplicate, changes)
            self._around_earlier(spans, rows, duplicate, changes)
            nested = duplicate.copy()
            of_agent = self._agent_runs.among(spans.run_keys)[spans.run]
            late = self._same_response(spans, rows, of_agent, duplicate, changes)
            waits = duplicate & ~nested & ~of_agent
        return Copies(
            duplicate=duplicate,
            superseded=self._changed(changes, counted=True),
            reinstated=self._changed(changes, counted=False),
            late=late,
            calls=rows,
            waits=waits[rows],
        )

    def remember(self, spans: Spans, copies: Copies, worth: Worth) -> None:
        """Takes note of the model calls of a batch.

        Args:
            spans: the batch.
            copies: the verdict on it.
            worth: of its model calls.
        """
        rows = copies.calls
        if not len(rows):
            return
        added = worth.contributions
        run_key = spans.run_keys[spans.run[rows]]
        response = spans.response_id[rows]
        counts = ~copies.duplicate[rows]
        runs, run = runs_of(spans, rows)
        works, work = works_of([*(getattr(added, name) for name in WORK), worth.scope, worth.cost_source])
        calls = Calls(
            base=self._next,
            first=np.zeros(1, np.int64),
            seen=np.full(1, self._now),
            runs=runs,
            run=run,
            works=works,
            work=work,
            span=id_numbers(spans.span_id, rows),
            here=spans.span_key[rows] ^ run_key,
            parent=spans.parent_key[rows] ^ run_key,
            response=response,
            kinds=_kinds(spans, rows),
            answered=spans.has_usage[rows],
            counts=counts,
            names=counts & (response != 0),
            waits=copies.waits,
            error=added.error,
            unpriced=added.unpriced,
            guessed=added.guessed,
            requested=narrow(spans.requested_calls[rows]),
            end_ns=added.end_ns,
            duration_ns=added.duration_ns,
            cost_nano=added.cost_nano,
            tokens=narrow(np.stack([getattr(added, name) for name in TOKENS], axis=1)),
        )
        self._next += len(rows)
        self._list_waiting(calls)
        self._held.append(_Held(calls))
        self._join()
        self._in_filter += len(rows)
        capacity = self._filter.capacity
        if capacity is not None and self._in_filter > capacity:
            self._new_filter()
        else:
            self._note(calls)

    def forget(self, now: int) -> None:
        """Forgets what is older than `settle_s` by now (`ArrivalClock`)."""
        self._now = now
        settled = now - self._settle_ns
        while self._held and (
            int(self._held[0].calls.seen[-1]) < settled or self._next - self._held[0].calls.base > MAX_CALLS
        ):
            calls = self._held.popleft().calls
            self._responses.add(calls.response[calls.names].tolist())
            self._unlist_waiting(calls)
        self._responses.forget(now)
        self._agent_runs.forget(now)
        if self._in_filter > 2 * self._remembered + _SLACK:
            self._new_filter()

    def minutes(self) -> set[int]:
        """In which minutes since the epoch the remembered calls ended."""
        ends = (np.unique(held.calls.end_ns // (60 * 10**9)) for held in self._held)
        return set(chain.from_iterable(minutes.tolist() for minutes in ends))

    def state(self) -> object:
        """What it remembers."""
        return {
            "calls": [held.calls for held in self._held],
            "next": self._next,
            "responses": self._responses.state(),
            "agent_runs": self._agent_runs.state(),
        }

    def restore(self, state: Any) -> None:
        """Remembers that instead."""
        self._held = deque(map(_Held, state["calls"]))
        self._next = state["next"]
        self._waiting = {}
        for held in self._held:
            self._list_waiting(held.calls)
        self._responses.restore(state["responses"])
        self._agent_runs.restore(state["agent_runs"])
        self._new_filter()

    @property
    def _remembered(self) -> int:
        return self._next - self._held[0].calls.base if self._held else 0

    def _join(self) -> None:
        """Joins the last batches while they are small: lookups go through all of them, one after the other."""
        last = islice(reversed(self._held), _APART)
        if len(self._held) < _APART or any(len(held.calls.first) > 1 for held in last):
            return
        end = self._next
        count, rows = 0, 0
        for held in reversed(self._held):
            calls = held.calls
            if (
                (count and calls.rows > 2 * rows)
                or end - calls.base > MAX_CALLS // _SLICES
                or self._now - calls.seen[0] > self._settle_ns // _SLICES
            ):
                break
            count, rows = count + 1, rows + calls.rows
        if count > 1:
            parts = [self._held.pop() for _ in range(count)][::-1]
            self._held.append(_Held.joined(parts))

    def _new_filter(self) -> None:
        self._in_filter = self._remembered
        self._filter = KeyFilter(2 * self._remembered)
        for held in self._held:
            self._note(held.calls)

    def _note(self, calls: Calls) -> None:
        self._filter.add(calls.response[calls.response != 0], _RESPONSE)
        self._filter.add(calls.here, _SPAN)
        self._filter.add(calls.parent, _PARENT)

    def _find(self, keys: Keys, kind: int) -> Iterator[tuple[int, Calls, int, bool]]:
        """Remembered calls with one of these keys: (index in `keys`, calls, row of them, is it still to be told)."""
        maybe = np.flatnonzero(self._filter.maybe(keys, kind))
        if not len(maybe):
            return
        wanted = keys[maybe]
        settled = self._now - self._settle_ns
        for held in self._held:
            which, at = held.keys[kind].find(wanted)
            fresh = bool(held.calls.seen[0] >= settled)
            for i, row in zip(maybe[which].tolist(), at.tolist(), strict=True):
                yield i, held.calls, row, fresh or held.calls.seen_at(row) >= settled

    def _call(self, number: int) -> tuple[Calls, int]:
        """A remembered call by its number: (calls, row of them)."""
        held = self._held[bisect_right(self._held, number, key=lambda held: held.calls.base) - 1]
        return held.calls, number - held.calls.base

    def _list_waiting(self, calls: Calls) -> None:
        for at in np.flatnonzero(calls.waits).tolist():
            self._waiting.setdefault(calls.run_of(at)[2], []).append(calls.base + at)

    def _unlist_waiting(self, calls: Calls) -> None:
        end = calls.base + calls.rows
        for key in {calls.run_of(at)[2] for at in np.flatnonzero(calls.waits).tolist()}:
            younger = [number for number in self._waiting.pop(key) if number >= end]
            if younger:
                self._waiting[key] = younger

    def _beats(self, key: tuple[int, str, int], calls: Calls, at: int) -> bool:
        """Is a copy with this sort key better than a remembered call?"""
        _, trace, run = calls.run_of(at)
        return key < (-_rank(run in self._agent_runs, calls.kinds[at]), trace, int(calls.span[at]))

    def _replace(self, calls: Calls, at: int, changes: _Changes) -> None:
        """A better copy of it counts from now on."""
        _count(calls, at, changes, counts=False)
        calls.names[at] = False
        key = calls.run_of(at)[2]
        if key not in self._agent_runs:
            calls.waits[at] = True
            self._waiting.setdefault(key, []).append(calls.base + at)

    def _hear_of_agents(self, spans: Spans, changes: _Changes) -> None:
        """Reinstates copies in runs that turn out to be agents', where they are the better ones now."""
        rows = np.flatnonzero(spans.op.isin(AGENT_OPS))
        if not len(rows):
            return
        runs = spans.run_keys[np.unique(spans.run[rows])].tolist()
        self._agent_runs.add(runs)
        waiting = [self._call(number) for run in runs for number in self._waiting.pop(run, ())]
        if not waiting:
            return
        ids = np.array([calls.response[at] for calls, at in waiting], np.uint64)
        named = {}
        for i, calls, at, fresh in self._find(ids, _RESPONSE):
            if fresh and calls.names[at]:
                named[int(ids[i])] = (calls, at)
        for (calls, at), response in zip(waiting, ids.tolist(), strict=True):
            calls.waits[at] = False
            if response not in named or calls.seen_at(at) < self._now - self._settle_ns:
                continue
            rival, its = named[response]
            _, trace, _ = calls.run_of(at)
            key = (-_rank(True, calls.kinds[at]), trace, int(calls.span[at]))
            if rival.counts[its] and self._beats(key, rival, its):
                self._replace(rival, its, changes)
                _count(calls, at, changes, counts=True)
                calls.names[at] = True
                named[response] = (calls, at)

    def _same_response(
        self,
        spans: Spans,
        rows: NDArray[np.int64],
        of_agent: NDArray[np.bool_],
        duplicate: NDArray[np.bool_],
        changes: _Changes,
    ) -> int:
        """Copies by response id. Returns how many came late."""
        rows = rows[~duplicate[rows] & (spans.response_id[rows] != 0)]
        _worse_copies(spans, rows, of_agent, duplicate)
        rows = rows[~duplicate[rows]]
        ids = spans.response_id[rows]
        named = [(i, calls, at, fresh) for i, calls, at, fresh in self._find(ids, _RESPONSE) if calls.names[at]]
        told = {i for i, _, _, fresh in named if fresh}
        late = {i for i, _, _, fresh in named if not fresh}.union(np.flatnonzero(self._responses.among(ids)).tolist())
        if told:
            keys = _keys(spans, rows, of_agent)
            for i, calls, at, fresh in named:
                if fresh and calls.counts[at] and self._beats(keys[i], calls, at):
                    self._replace(calls, at, changes)
                elif fresh:  # where it does not count, what it is nested with counts for it
                    duplicate[rows[i]] = True
        return len(late - told)

    def _nested_in_earlier(
        self, spans: Spans, rows: NDArray[np.int64], duplicate: NDArray[np.bool_], changes: _Changes
    ) -> None:
        """The rule of `_nested` for rows whose parent came in an earlier batch."""
        children = rows[(spans.parent_row[rows] < 0) & ~spans.is_root[rows]]
        keys = spans.parent_key[children] ^ spans.run_keys[spans.run[children]]
        for i, calls, at, fresh in self._find(keys, _SPAN):
            row = int(children[i])
            if not fresh or _tells_apart(spans, row, calls, at):
                continue
            if not spans.has_usage[row]:
                duplicate[row] = True
            elif calls.counts[at]:
                _count(calls, at, changes, counts=False)

    def _around_earlier(
        self, spans: Spans, rows: NDArray[np.int64], duplicate: NDArray[np.bool_], changes: _Changes
    ) -> None:
        """The rule of `_nested` for rows whose children came in earlier batches."""
        keys = spans.span_key[rows] ^ spans.run_keys[spans.run[rows]]
        for i, calls, at, fresh in self._find(keys, _PARENT):
            row = int(rows[i])
            if not fresh or _tells_apart(spans, row, calls, at):
                continue
            if calls.answered[at]:
                duplicate[row] = True
            elif calls.counts[at]:
                _count(calls, at, changes, counts=False)

    def _changed(self, changes: _Changes, *, counted: bool) -> Changed | None:
        """Those of the touched calls that counted, or did not, and now are otherwise."""
        numbers = sorted(
            number
            for number, (calls, at, before) in changes.items()
            if before is counted and calls.counts[at] != before
        )
        if not numbers:
            return None
        wanted = np.array(numbers)
        parts = []
        for held in self._held:
            base = held.calls.base
            start, end = wanted.searchsorted([base, base + held.calls.rows])
            if start < end:
                parts.append((held.calls, wanted[start:end] - base))
        works = [calls.work_of(row) for calls, rows in parts for row in rows.tolist()]
        return Changed(
            contributions=contributions(parts),
            span_ids=id_texts(np.concatenate([calls.span[rows] for calls, rows in parts])),
            requested=np.concatenate([calls.requested[rows] for calls, rows in parts]).astype(np.int64),
            scope=[work[-2] for work in works],
            cost_source=[work[-1] for work in works],
        )


def _count(calls: Calls, at: int, changes: _Changes, *, counts: bool) -> None:
    changes.setdefault(calls.base + at, (calls, at, bool(calls.counts[at])))
    calls.counts[at] = counts


def _rank(of_agent: bool | np.bool_, kinds: np.integer) -> int:
    """How good a copy is: inside an agent's tree, then kinds of tokens."""
    return 8 * bool(of_agent) + int(kinds)


def _keys(spans: Spans, rows: NDArray[np.integer], of_agent: NDArray[np.bool_]) -> list[tuple[int, str, int]]:
    """What these spans sort by as copies; the least is own."""
    rank = 8 * of_agent[rows] + _kinds(spans, rows)
    traces = spans.trace.take(rows).tolist()
    return list(zip((-rank).tolist(), traces, id_numbers(spans.span_id, rows).tolist(), strict=True))


def _kinds(spans: Spans, rows: NDArray[np.integer]) -> NDArray[np.int8]:
    """How many kinds of tokens these spans tell; what was guessed is not told."""
    kinds = np.zeros(len(rows), np.int8)
    told = spans.has_usage[rows]
    for name in TOKENS:
        kinds += told & (getattr(spans, name)[rows] > 0)
    return kinds


def _tells_apart(spans: Spans, row: int, calls: Calls, at: int) -> bool:
    """Is a row no copy of the call it is nested with: other runs, or two responses of their own?"""
    run = spans.tenant.words[spans.tenant.codes[row]], spans.trace.words[spans.trace.codes[row]]
    return calls.run_of(at)[:2] != run or bool(calls.response[at] != 0 and spans.response_id[row] != 0)


def _worse_copies(
    spans: Spans, rows: NDArray[np.int64], of_agent: NDArray[np.bool_], duplicate: NDArray[np.bool_]
) -> None:
    """Marks all but the best row of each response id."""
    ids = spans.response_id[rows]
    order = np.argsort(ids, kind="stable")
    same_as_next = ids[order[1:]] == ids[order[:-1]]
    if not same_as_next.any():
        return
    copies = rows[order[np.append(same_as_next, False) | np.insert(same_as_next, 0, False)]]
    ids = spans.response_id[copies]
    rank = 8 * of_agent[copies] + _kinds(spans, copies)
    order = np.lexsort((id_numbers(spans.span_id, copies), spans.trace.take(copies).ranks, -rank, ids))
    worse = order[1:][ids[order[1:]] == ids[order[:-1]]]
    duplicate[copies[worse]] = True


def _nested(spans: Spans) -> NDArray[np.bool_]:
    """Inference directly inside inference, where no response id tells more.

    A child without usage under a model call is the same (failed) attempt seen from below: the child is the copy.
    A child with usage under a parent without response id is the call itself: the parent is the copy.
    """
    duplicate = np.zeros(spans.rows, np.bool_)
    children = np.flatnonzero(spans.inference & (spans.parent_row >= 0))
    children = children[spans.inference[spans.parent_row[children]]]
    if not len(children):
        return duplicate
    parents = spans.parent_row[children]
    told_by_id = (spans.response_id[children] != 0) & (spans.response_id[parents] != 0)
    empty = ~spans.has_usage[children] & ~told_by_id
    duplicate[children[empty]] = True
    duplicate[parents[~empty & ~told_by_id]] = True
    return duplicate
