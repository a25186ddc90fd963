"""One call seen twice counts once: which copy is `own`, and which are `duplicate`.

Two instrumentors stacked, or a client library with spans of its own, show the same call as two spans; `same` says which
spans those are. Which copy is own (contract section 5): the one inside an agent's tree, then the one with more kinds of
tokens, then the lower (trace id, span id), whatever order they come in; its tokens and cost are those of the most
complete copy. What a later copy changes is taken back and added anew.

Inside an agent's tree are the calls of a run that has an agent's or a workflow's span. Such a span mostly ends, and so
arrives, after the calls inside it.

A batch costs a few column operations. Only calls that something remembered may be a copy of are looked at, and with
them all that these may be copies of, and so on: the verdict is that of `same_calls` over such a set, at any time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from clew_processor.enrich.beside import Agreeing, Beside, common_keys
from clew_processor.enrich.contributions import TOKENS, Changed, Corrected
from clew_processor.enrich.ids import id_numbers, id_texts, text_keys, trace_bytes, trace_texts
from clew_processor.enrich.lookup import KeyTable, SortedKeys, mixed
from clew_processor.enrich.memory import Recent
from clew_processor.enrich.remembered import (
    INFERENCE,
    PER_CALL,
    TOOL,
    Calls,
    Numbers,
    contributions,
    joined,
    narrow,
    same_values,
    works_of,
)
from clew_processor.enrich.same import NOTES_CROWD, Candidates, same_calls
from clew_processor.normalise.spans import AGENT_OPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from clew_processor.enrich.contributions import Contributions
    from clew_processor.enrich.lookup import Keys
    from clew_processor.enrich.same import Same
    from clew_processor.normalise.spans import Spans
    from clew_processor.words import Words

MAX_CALLS = 1_000_000
"""Calls remembered at most; beyond it the oldest are forgotten early and a later copy of them counts."""
MAX_RESPONSES = 250_000
"""Forgotten calls' response ids in one of two generations, to tell that a copy came late."""
MAX_AGENT_RUNS = 250_000
"""Runs with an agent's span in one of two generations."""
AGENT_RUNS_S = 86_400.0

_KEYS = ("response", "here", "parent")
"""Columns that calls are looked up by."""
_RELATIVES = (("response", "response"), ("here", "parent"), ("parent", "here"))
"""What is in one column of a call is in the other of its copies: of the same answer, inside it, and around it."""
_SLICES = 32
"""Batches are joined until they hold this part of the calls or of the time that is remembered."""
_APART = 8
"""So many are left as they came before it is looked which to join."""
_NO_NUMBERS: NDArray[np.int64] = np.zeros(0, np.int64)
_NO_KEYS: Keys = np.zeros(0, np.uint64)


@dataclass(frozen=True, slots=True)
class Worth:
    """What spans add if they count, one row for each span of a batch.

    Attributes:
        contributions: tokens and cost are 0 where the span tells none that could be its own.
        scope, cost_source: of its usage if it counts.
        kind: `INFERENCE`, `EMBEDDINGS`, `TOOL`, or negative for what is no call.
    """

    contributions: Contributions
    scope: Words
    cost_source: Words
    kind: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Copies:
    """The verdict on a batch.

    Attributes:
        duplicate: rows that are copies of a call that counts elsewhere.
        borrowed: by row, what a call adds instead of its own tokens and cost.
        superseded: what earlier calls added and add no longer.
        reinstated: what earlier calls add now.
        corrected: what is to be told of both.
        late: calls that count although a call with their response id did, longer ago than copies are told.
    """

    duplicate: NDArray[np.bool_]
    borrowed: dict[int, Numbers]
    superseded: Changed | None
    reinstated: Changed | None
    corrected: Corrected | None
    late: int


class _Held:
    """Remembered calls, and how they are found."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.with_note = int(np.count_nonzero(_is_note(calls)))

    @cached_property
    def tenants(self) -> Keys:
        """A key for each tenant."""
        return np.array([xxhash.xxh3_64_intdigest(tenant.encode()) for tenant in self.calls.tenants], np.uint64)

    @cached_property
    def places(self) -> tuple[NDArray[np.int64], Keys]:
        """Rows of calls that may have a note, and of notes, and a key of where they belong."""
        calls = self.calls
        rows = np.flatnonzero(_waits_for_note(calls) | _is_note(calls))
        work = calls.work[rows]
        words = [f"{one.instrumentation}\0{one.request_model}".encode() for one in calls.works]
        seen_by = np.array([xxhash.xxh3_64_intdigest(word) for word in words], np.uint64)[work]
        services = [xxhash.xxh3_64_intdigest(one.service.encode()) for one in calls.works]
        service = np.array(services, np.uint64)[work] ^ self.tenants[calls.tenant[rows]]
        parent = calls.parent[rows]
        return rows, mixed(np.where(parent == 0, mixed(service, calls.content[rows]), parent), seen_by)

    @cached_property
    def by_place(self) -> SortedKeys:
        """Those rows by that key."""
        return SortedKeys(self.places[1])


class CallIndex:
    """Remembers the calls of the last `settle_s` seconds of arrival time, to tell copies across batches."""

    def __init__(self, settle_s: float) -> None:
        self._settle_ns = int(settle_s * 1e9)
        self._held: deque[_Held] = deque()
        self._next = 0
        self._fresh = 0  # number of the first call that copies are still told of
        self._now = 0
        self._responses = Recent(size=MAX_RESPONSES, keep_s=settle_s)
        self._agent_runs = Recent(size=MAX_AGENT_RUNS, keep_s=AGENT_RUNS_S)
        self._waiting: dict[int, list[int]] = {}  # key of the run -> its calls that wait
        self._tables = {name: KeyTable() for name in _KEYS}
        self._beside = Beside()
        self._with_note = 0

    def judge(self, spans: Spans, worth: Worth, now: int) -> Copies:
        """Takes note of a batch. Says which rows are copies, and which verdicts change.

        Args:
            spans: the batch.
            worth: of its spans.
            now: by the `ArrivalClock`.
        """
        self.forget(now)
        rows = np.flatnonzero(worth.kind >= 0)
        touched = [self._hear_of_agents(spans)]
        base, late = self._next, 0
        if len(rows):
            held = self._remember(spans, worth, rows)
            related, gone = self._related(spans, held, rows)
            touched += related
        numbers = np.unique(np.concatenate(touched))
        before, after, corrected = self._decide(numbers).of_earlier(base) if len(numbers) else (None, None, None)
        duplicate = np.zeros(spans.rows, np.bool_)
        borrowed: dict[int, Numbers] = {}
        if len(rows):
            calls = self._held[-1].calls
            duplicate[rows[~calls.counts]] = True
            borrowed = {int(rows[at]): numbers for at, numbers in calls.borrowed.items()}
            late = self._late(calls, gone)
            self._join()
        return Copies(
            duplicate=duplicate,
            borrowed=borrowed,
            superseded=before,
            reinstated=after,
            corrected=corrected,
            late=late,
        )

    def forget(self, now: int) -> None:
        """Forgets what is older than `settle_s` by now (`ArrivalClock`)."""
        self._now = now
        settled = now - self._settle_ns
        while self._held and (
            int(self._held[0].calls.seen[-1]) < settled or self._next - self._held[0].calls.base > MAX_CALLS
        ):
            held = self._held.popleft()
            calls = held.calls
            self._responses.add(calls.response[calls.counts & (calls.response != 0) & (calls.kind != TOOL)])
            self._unlist_waiting(calls)
            self._account(held, -1)
        self._fresh = self._next
        if self._held:
            calls = self._held[0].calls
            first = int(calls.seen.searchsorted(settled))
            self._fresh = calls.base + int(calls.first[first])
        self._responses.forget(now)
        self._agent_runs.forget(now)
        oldest = self._next - self._remembered
        for table in self._tables.values():
            table.forget(oldest)
        self._beside.forget(oldest)

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
        self._beside.restart()
        self._with_note = 0
        for held in self._held:
            self._account(held, 1)
            self._list_waiting(held.calls, np.flatnonzero(held.calls.waits))
        self._responses.restore(state["responses"])
        self._agent_runs.restore(state["agent_runs"])
        self._tables = {name: KeyTable(self._next - self._remembered) for name in _KEYS}
        for name, table in self._tables.items():
            for held in self._held:
                table.add(getattr(held.calls, name))

    @property
    def _remembered(self) -> int:
        return self._next - self._held[0].calls.base if self._held else 0

    def _remember(self, spans: Spans, worth: Worth, rows: NDArray[np.int64]) -> _Held:
        """Takes note of the calls of a batch; all of them count for now."""
        added = worth.contributions
        run_key = spans.run_keys[spans.run[rows]]
        kind = worth.kind[rows]
        tool = kind == TOOL
        tool_rows = rows[tool]
        response = spans.response_id[rows]
        call_id = text_keys(spans.tool_call_id, tool_rows)
        response[tool] = np.where(call_id == 0, np.uint64(0), call_id ^ run_key[tool])
        answered = spans.has_usage[rows]
        answered[tool] = _any_bits(spans.args_hash)[tool_rows]
        parent = spans.parent_key[rows]
        columns = [added.service, added.agent_name, added.agent_version, added.provider, added.model, added.tool_name]
        columns += [added.op, spans.request_model, spans.scope, worth.scope, worth.cost_source]
        works, work = works_of([words.take(rows) for words in columns])
        tokens = np.stack([getattr(added, name)[rows] for name in TOKENS], axis=1)
        tenants = [xxhash.xxh3_64_intdigest(tenant.encode()) for tenant in spans.tenant.words]
        tenant = np.array(tenants, np.uint64)[spans.tenant.codes[rows]]
        common = common_keys(tenant, kind, tokens, answered, added.error[rows])
        calls = Calls(
            base=self._next,
            first=np.zeros(1, np.int64),
            seen=np.full(1, self._now),
            tenants=spans.tenant.words,
            tenant=spans.tenant.codes[rows],
            works=works,
            work=work,
            trace=trace_bytes(spans.trace.words)[spans.trace.codes[rows]],
            run=run_key,
            kind=kind,
            span=id_numbers(spans.span_id, rows),
            here=spans.span_key[rows] ^ run_key,
            parent=np.where(parent == 0, parent, parent ^ run_key),
            response=response,
            common=common,
            within=np.where(common == 0, common, mixed(common, run_key)),
            content=np.zeros(len(rows), np.uint64),
            answered=answered,
            estimated=spans.usage_estimated[rows],
            of_other=spans.usage_of_other.present[rows],
            counts=np.ones(len(rows), np.bool_),
            owner=np.arange(self._next, self._next + len(rows)),
            waits=np.zeros(len(rows), np.bool_),
            requested=narrow(spans.asked_calls[rows]),
            error=added.error[rows],
            unpriced=added.unpriced[rows],
            end_ns=added.end_ns[rows],
            duration_ns=added.duration_ns[rows],
            cost_nano=added.cost_nano[rows],
            tokens=narrow(tokens),
        )
        noted = np.flatnonzero((calls.parent == 0) & (_waits_for_note(calls) | _is_note(calls)))
        if len(noted):
            calls.content[noted] = _content_keys(spans.otlp.column("input_messages"), rows[noted])
        held = _Held(calls)
        self._next += len(rows)
        self._held.append(held)
        self._account(held, 1)
        return held

    def _account(self, held: _Held, sign: int) -> None:
        self._beside.count(held.calls, sign)
        self._with_note += sign * held.with_note

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
            for part in parts:
                self._account(part, -1)
            self._held.append(_Held(joined([part.calls for part in parts])))
            self._account(self._held[-1], 1)

    def _list_waiting(self, calls: Calls, rows: NDArray[np.integer]) -> None:
        calls.waits[rows] = True
        for at in rows.tolist():
            self._waiting.setdefault(int(calls.run[at]), []).append(calls.base + at)

    def _unlist_waiting(self, calls: Calls) -> None:
        end = calls.base + calls.rows
        for key in set(calls.run[calls.waits].tolist()):
            younger = [number for number in self._waiting.pop(key, ()) if number >= end]
            if younger:
                self._waiting[key] = younger

    def _hear_of_agents(self, spans: Spans) -> NDArray[np.int64]:
        """Calls in runs that turn out to be agents'."""
        rows = np.flatnonzero(spans.op.isin(AGENT_OPS))
        if not len(rows):
            return _NO_NUMBERS
        runs = spans.run_keys[np.unique(spans.run[rows])]
        self._agent_runs.add(runs)
        if not self._waiting:
            return _NO_NUMBERS
        heard = [number for run in runs.tolist() for number in self._waiting.pop(run, ())]
        numbers = np.unique(np.array(heard, np.int64))
        for calls, at in self._parts(numbers):
            calls.waits[at] = False
        numbers = numbers[numbers >= self._fresh]
        if not len(numbers):
            return numbers
        return numbers[self._taken(numbers, "counts") | (self._taken(numbers, "owner") >= self._fresh)]

    def _related(
        self, spans: Spans, held: _Held, rows: NDArray[np.int64]
    ) -> tuple[list[NDArray[np.int64]], NDArray[np.bool_]]:
        """Numbers of calls that may be copies, new ones and of what; and which new ones' copies were too long ago."""
        calls = held.calls
        base = calls.base
        place = np.full(spans.rows, -1)
        place[rows] = np.arange(len(rows))
        parent_row = spans.parent_row[rows]
        here = np.flatnonzero(parent_row >= 0)
        outer = place[parent_row[here]]
        alike = (outer >= 0) & (calls.kind[outer] == calls.kind[here])
        found = [base + here[alike], base + outer[alike]]
        gone = np.zeros(len(rows), np.bool_)
        for name, of_other in _RELATIVES:
            keys = getattr(calls, name)
            if name == "parent":
                keys = np.where(parent_row < 0, keys, 0)
            which, numbers = self._find(keys, calls.kind, of_other)
            fresh = numbers >= self._fresh
            found += [base + which[fresh], numbers[fresh]]
            if name == "response":
                gone[which[~fresh]] = True
        for name, table in self._tables.items():
            keys = getattr(calls, name)
            if name == "parent":  # one that came with the batch is not waited for, and mostly no such call
                keys = keys.copy()
                keys[here[~alike]] = 0
            twice = table.add(keys)
            if name == "response":
                found.append(base + twice)
        new = base + np.arange(len(rows))
        found += self._beside.related(calls, (one.calls for one in self._held if one is not held))
        found += self._with_notes(new)
        return found, gone

    def _late(self, calls: Calls, gone: NDArray[np.bool_]) -> int:
        """Responses of a batch's calls that count though a copy did too long ago."""
        told = calls.counts & (calls.response != 0) & (calls.kind != TOOL)
        ids = calls.response[told]
        late = gone[told] | self._responses.among(ids)
        return len(np.unique(ids[late])) if late.any() else 0

    def _find(self, keys: Keys, kinds: NDArray[np.int8], column: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Remembered calls of these kinds with these keys: index in `keys`, and number; what is settled left out."""
        which, numbers = self._tables[column].find(keys)
        if not len(which):
            return which, numbers
        distinct, place = np.unique(numbers, return_inverse=True)
        open_ones = self._taken(distinct, "counts") | (self._taken(distinct, "owner") >= self._fresh)
        fits = open_ones[place] & (self._taken(distinct, "kind")[place] == kinds[which])
        return which[fits], numbers[fits]

    def _parts(self, numbers: NDArray[np.int64]) -> Iterator[tuple[Calls, NDArray[np.int64]]]:
        """Remembered calls by their numbers, sorted ones: calls and rows of them."""
        for held, rows in self._places_of(numbers):
            yield held.calls, rows

    def _places_of(self, numbers: NDArray[np.int64]) -> Iterator[tuple[_Held, NDArray[np.int64]]]:
        if not len(numbers):
            return
        for held in self._held:
            base = held.calls.base
            start, end = numbers.searchsorted([base, base + held.calls.rows])
            if start < end:
                yield held, numbers[start:end] - base

    def _taken(self, numbers: NDArray[np.int64], name: str) -> NDArray[Any]:
        """A column of remembered calls."""
        return np.concatenate([getattr(calls, name)[rows] for calls, rows in self._parts(numbers)])

    def _agreeing(self, numbers: NDArray[np.int64]) -> Agreeing:
        columns = (self._taken(numbers, name) for name in ("common", "within", "end_ns", "parent"))
        common, within, end_ns, parent = columns
        return Agreeing(numbers, common, within, end_ns, (parent == 0).view(np.uint8))

    def _placed(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], Keys]:
        """Of some calls those that may have a note, and notes: number, and key of where they belong."""
        found = [(_NO_NUMBERS, _NO_KEYS)]
        if self._with_note:
            for held, rows in self._places_of(numbers):
                placed, keys = held.places
                at = np.flatnonzero(np.isin(placed, rows))
                found.append((held.calls.base + placed[at], keys[at]))
        number, key = (np.concatenate(column) for column in zip(*found, strict=True))
        which, _ = self._in_places(key)
        alone = np.bincount(which, minlength=len(key)) <= NOTES_CROWD
        return number[alone], key[alone]

    def _in_places(self, keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Calls and notes that belong there: index in `keys`, and number."""
        which, numbers = [_NO_NUMBERS], [_NO_NUMBERS]
        for held in self._held if len(keys) else ():
            placed, _ = held.places
            if len(placed):
                index, at = held.by_place.find(keys)
                which.append(index)
                numbers.append(held.calls.base + placed[at])
        return np.concatenate(which), np.concatenate(numbers)

    def _with_notes(self, numbers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Calls and notes in the same places as some calls, and those of these."""
        number, key = self._placed(numbers)
        which, others = self._in_places(key)
        apart = number[which] != others
        return [number[which[apart]], others[apart]]

    def _whole(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Some calls, all that may be copies of them, all that may be copies of these, and so on."""
        known = numbers
        while len(numbers):
            kind = self._taken(numbers, "kind")
            found = []
            for name, of_other in _RELATIVES:
                found.append(self._find(self._taken(numbers, name), kind, of_other)[1])
            if self._beside.active:
                found += self._beside.others(self._agreeing(numbers))
            found += self._with_notes(numbers)
            related = np.unique(np.concatenate(found))
            numbers = np.setdiff1d(related[related >= self._fresh], known, assume_unique=True)
            known = np.union1d(known, numbers)
        return known

    def _decide(self, touched: NDArray[np.int64]) -> _Verdicts:
        """What becomes of some calls, and of all that may be copies of them."""
        numbers = self._whole(touched)
        parts = list(self._parts(numbers))
        tenants, tenant = _distinct([(calls.tenants, calls.tenant[rows]) for calls, rows in parts])
        works, work = _distinct([(calls.works, calls.work[rows]) for calls, rows in parts])
        columns = {name: self._taken(numbers, name) for name in PER_CALL}
        columns["common"], columns["within"] = self._beside.without_crowds(self._agreeing(numbers))
        candidates = Candidates(
            works=works,
            work=work,
            of_agent=self._agent_runs.among(columns["run"]),
            place=_spread(numbers, *self._placed(numbers)),
            **{field.name: columns[field.name] for field in fields(Candidates) if field.name in columns},
        )
        same = same_calls(candidates)
        own = same.own
        before = {
            calls.base + row: calls.borrowed[row]
            for calls, rows in parts
            for row in rows.tolist()
            if row in calls.borrowed
        }
        counts = own == np.arange(len(numbers))
        after = _borrowed(candidates, numbers, same, before)
        for calls, rows in parts:
            start = int(numbers.searchsorted(calls.base))
            here = slice(start, start + len(rows))
            calls.counts[rows] = counts[here]
            calls.owner[rows] = numbers[own[here]]
            for row in rows.tolist():
                calls.borrowed.pop(row, None)
            calls.borrowed |= {
                int(number) - calls.base: after[number] for number in numbers[here].tolist() if number in after
            }
        if not candidates.of_agent.all():
            self._let_wait(numbers, own, candidates.run, candidates.of_agent)
        return _Verdicts(candidates, numbers, tenants, tenant, columns, counts, before, after)

    def _let_wait(
        self, numbers: NDArray[np.int64], own: NDArray[np.int64], run: Keys, of_agent: NDArray[np.bool_]
    ) -> None:
        """Lists copies in several runs that are not known for agents' yet."""
        apart = np.zeros(len(numbers), np.bool_)
        np.logical_or.at(apart, own, run != run[own])
        waits = apart[own] & ~of_agent & ~self._taken(numbers, "waits")
        for calls, rows in self._parts(numbers[waits]):
            self._list_waiting(calls, rows)


@dataclass(frozen=True, slots=True)
class _Verdicts:
    """What calls add now, and added before."""

    calls: Candidates
    numbers: NDArray[np.int64]
    tenants: list[str]
    tenant: NDArray[np.int32]
    columns: dict[str, NDArray[Any]]  # `counts` as they were
    counts: NDArray[np.bool_]
    before: dict[int, Numbers]
    after: dict[int, Numbers]

    def of_earlier(self, base: int) -> tuple[Changed | None, Changed | None, Corrected | None]:
        """Calls with numbers below `base` that add other than before: what they added, what they add, what to tell."""
        numbers = self.numbers.tolist()
        changed = self.counts != self.columns["counts"]
        if self.before or self.after:
            changed |= np.array([self.before.get(number) != self.after.get(number) for number in numbers])
        rows = np.flatnonzero(changed & (self.numbers < base))
        if not len(rows):
            return None, None, None
        added, adds = rows[self.columns["counts"][rows]], rows[self.counts[rows]]
        return (
            self._changed(added, self.before) if len(added) else None,
            self._changed(adds, self.after) if len(adds) else None,
            self._corrected(rows),
        )

    def _changed(self, rows: NDArray[np.int64], borrowed: dict[int, Numbers]) -> Changed:
        calls, columns = self.calls, self.columns
        tokens, cost = calls.tokens[rows].astype(np.int64), columns["cost_nano"][rows]
        unpriced, guessed = calls.unpriced[rows], calls.estimated[rows]
        requested = calls.requested[rows].astype(np.int64)
        for i, number in enumerate(self.numbers[rows].tolist()):
            if other := borrowed.get(number):
                tokens[i], cost[i] = other.tokens, other.cost_nano
                unpriced[i], guessed[i], requested[i] = other.unpriced, other.estimated, other.requested
        named = {"end_ns": calls.end_ns, "duration_ns": calls.duration_ns, "error": calls.error}
        each = contributions(
            calls.kind[rows],
            *self._names(rows),
            [calls.works[code] for code in calls.work[rows].tolist()],
            {name: column[rows] for name, column in named.items()}
            | {"cost_nano": cost, "unpriced": unpriced, "guessed": guessed},
            tokens,
        )
        return Changed(each, id_texts(calls.span[rows]), requested)

    def _corrected(self, rows: NDArray[np.int64]) -> Corrected | None:
        calls, counted = self.calls, self.columns["counts"]
        kept, told = [], []
        for row in rows.tolist():
            number = int(self.numbers[row])
            before, after = (self._told(row, numbers.get(number)) for numbers in (self.before, self.after))
            if not self.counts[row]:
                kept.append(row)
                told.append(("duplicate", "", 0, *self._told(row, None)[3:], "duplicate"))
            elif not counted[row] or before != after:
                kept.append(row)
                told.append((*after, "completed" if number in self.after else "reinstated"))
        if not told:
            return None
        scope, cost_source, cost_nano, tokens, estimated, reason = map(list, zip(*told, strict=True))
        tenants, traces = self._names(kept)
        return Corrected(
            tenant=tenants,
            trace=traces,
            span_ids=id_texts(calls.span[kept]),
            scope=scope,
            cost_source=cost_source,
            reason=reason,
            cost_nano=np.array(cost_nano, np.int64),
            tokens=np.array(tokens, np.int64),
            estimated=np.array(estimated, np.bool_),
        )

    def _names(self, rows: NDArray[np.integer] | list[int]) -> tuple[list[str], list[str]]:
        """Tenants and trace ids of some calls."""
        return [self.tenants[code] for code in self.tenant[rows].tolist()], trace_texts(self.calls.trace[rows])

    def _told(self, row: int, borrowed: Numbers | None) -> tuple[str, str, int, tuple[int, ...], bool]:
        """Scope, source and amount of cost, tokens and whether they are a guess, of a call that counts."""
        if borrowed:
            cost = borrowed.scope, borrowed.cost_source, borrowed.cost_nano
            return *cost, borrowed.tokens, borrowed.estimated
        calls = self.calls
        work = calls.works[int(calls.work[row])]
        cost = work.scope, work.cost_source, int(calls.cost_nano[row])
        return *cost, tuple(calls.tokens[row].tolist()), bool(calls.estimated[row])


def _borrowed(
    calls: Candidates, numbers: NDArray[np.int64], same: Same, before: dict[int, Numbers]
) -> dict[int, Numbers]:
    """What counts by the calls that count, where copies tell more of them."""
    rows = np.arange(len(calls))
    counts = same.own == rows
    found = {}
    for row in np.flatnonzero(counts & ((same.lender != rows) | (same.asker != rows))).tolist():
        lender, asker = int(same.lender[row]), int(same.asker[row])
        work = calls.works[int(calls.work[lender])]
        found[int(numbers[row])] = Numbers(
            lender=int(numbers[asker if lender == row else lender]),
            tokens=tuple(calls.tokens[lender].tolist()),
            cost_nano=int(calls.cost_nano[lender]),
            unpriced=bool(calls.unpriced[lender]),
            scope=work.scope,
            cost_source=work.cost_source,
            estimated=bool(calls.estimated[lender]),
            requested=int(calls.requested[asker]),
        )
    for number, numbers_of in before.items():
        # The lender is settled and gone; what it lent stays.
        at = int(numbers.searchsorted(number))
        if counts[at] and number not in found and not _among(numbers, numbers_of.lender):
            found[number] = numbers_of
    return found


def _among(numbers: NDArray[np.int64], number: int) -> bool:
    at = int(numbers.searchsorted(number))
    return at < len(numbers) and int(numbers[at]) == number


def _distinct(parts: Sequence[tuple[Sequence[Any], NDArray[np.int32]]]) -> tuple[list[Any], NDArray[np.int32]]:
    """Distinct values and codes of some rows of several columns."""
    used = [np.unique(codes, return_inverse=True) for _, codes in parts]
    chosen = [
        ([values[code] for code in codes.tolist()], place.astype(np.int32))
        for (values, _), (codes, place) in zip(parts, used, strict=True)
    ]
    return same_values(chosen)


def _spread(numbers: NDArray[np.int64], some: NDArray[np.int64], keys: Keys) -> Keys:
    """The keys of some of the numbers, sorted ones; 0 for the others."""
    spread = np.zeros(len(numbers), np.uint64)
    spread[numbers.searchsorted(some)] = keys
    return spread


def _any_bits(hashes: pa.FixedSizeBinaryArray) -> NDArray[np.bool_]:
    """Is a hash more than zeros?"""
    halves = np.frombuffer(hashes.buffers()[1], np.uint64, 2 * len(hashes), 16 * hashes.offset).reshape(-1, 2)
    found: NDArray[np.bool_] = (halves[:, 0] | halves[:, 1]) != 0
    return found


def _content_keys(messages: pa.ListArray, rows: NDArray[np.integer]) -> Keys:
    """A key for the messages of some rows, 0 for none."""
    offsets = messages.offsets.to_numpy()
    hashes = messages.values
    halves = np.frombuffer(hashes.buffers()[1], np.uint64, 2 * len(hashes), 16 * hashes.offset).reshape(-1, 2)
    found = np.zeros(len(rows), np.uint64)
    for i, row in enumerate(rows.tolist()):
        part = halves[offsets[row] : offsets[row + 1]]
        if len(part):
            found[i] = xxhash.xxh3_64_intdigest(part.tobytes()) | 1
    return found


def _waits_for_note(calls: Calls) -> NDArray[np.bool_]:
    waits: NDArray[np.bool_] = (calls.kind == INFERENCE) & ~calls.answered & ~calls.of_other & ~calls.error
    return waits


def _is_note(calls: Calls) -> NDArray[np.bool_]:
    notes: NDArray[np.bool_] = (calls.kind == INFERENCE) & calls.of_other
    return notes
