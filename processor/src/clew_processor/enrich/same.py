"""Which spans show the same call: a pure function of a set of spans, whatever order they came in.

Joined are, each only with its like (inference, embeddings, tool calls):

- model calls with the same response id;
- a call directly inside a call, unless both have response ids of their own. Where several calls with usage lie directly
  inside one, it is a copy of them all, and they stay different calls;
- calls that two instrumentations saw side by side, or one in a trace of its own: see `_Groups.side_by_side`;
- a call without usage and the note of it that came when its answer had been read: see `_Groups.notes`;
- tool calls with the same id: see `_Groups.tool_calls`.

Two different calls must never meet. Ids that differ prove difference, and so does one instrumentation that saw both in
the same place: it does not see a call twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from clew_processor.enrich.remembered import TOOL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from clew_processor.enrich.lookup import Keys
    from clew_processor.enrich.remembered import Work

CLOCKS_APART_NS = 5_000_000
"""Two instrumentations in one process read the clock one after the other."""
ENDS_APART_NS = 100_000_000
"""The outer of them ends so much later at most."""
SLOT_BITS = 30
"""Copies beside each other are looked for by the slot of time in which they end: 2^30 ns, more than `ENDS_APART_NS`."""
NOTE_AFTER_NS = 600 * 10**9
"""The note of a streamed call comes so long after its span at most, which ends when the stream begins."""
CROWD = 256
"""More calls of the same numbers in a slot of time are not told apart by them: none is taken for a copy any more."""
NOTES_CROWD = 2048
"""As much for calls and their notes in one place."""
_UNPLACED_CROWD = 64
"""As much where neither parent nor content tells the place, but service and model alone."""
_MAX_DEPTH = 64
_DATE = re.compile(r"[-@](?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$")


@dataclass(frozen=True, slots=True)
class Candidates:
    """Calls that may be copies of each other, one row for each; see `remembered.Calls`.

    Attributes:
        works: the distinct kinds of work, `work` of them each row's.
        of_agent: the run is an agent's.
        common, within: keys of what copies beside each other have in common, and in the same run; 0 for nothing.
        place: key of what a call and its note have in common; 0 for nothing.
    """

    works: Sequence[Work]
    work: NDArray[np.int32]
    run: Keys
    trace: NDArray[np.bytes_]
    of_agent: NDArray[np.bool_]
    common: Keys
    within: Keys
    place: Keys
    kind: NDArray[np.int8]
    span: Keys
    here: Keys
    parent: Keys
    response: Keys
    content: Keys
    answered: NDArray[np.bool_]
    estimated: NDArray[np.bool_]
    of_other: NDArray[np.bool_]
    error: NDArray[np.bool_]
    unpriced: NDArray[np.bool_]
    end_ns: NDArray[np.int64]
    duration_ns: NDArray[np.int64]
    cost_nano: NDArray[np.int64]
    tokens: NDArray[np.integer]
    requested: NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.span)

    @property
    def start_ns(self) -> NDArray[np.int64]:
        """When each began."""
        return self.end_ns - self.duration_ns


@dataclass(frozen=True, slots=True)
class Same:
    """For each row another one of its group, or itself.

    Attributes:
        own: the copy that counts.
        lender: the one whose tokens and cost count.
        asker: the one whose answer asks for the most tool calls.
    """

    own: NDArray[np.int64]
    lender: NDArray[np.int64]
    asker: NDArray[np.int64]


def same_calls(calls: Candidates) -> Same:
    """Which of the rows show the same call, and by which of them it counts."""
    groups = _Groups(calls)
    groups.same_response()
    depth = groups.nested()
    groups.tool_calls()
    groups.side_by_side()
    last = groups.covered | groups.notes()

    def best(*keys: NDArray[Any]) -> NDArray[np.int64]:
        """The first row of each group by these keys, the last of which is the strongest."""
        order = np.lexsort((calls.span, calls.trace, *keys, groups.of_row))
        group = groups.of_row[order]
        first = np.concatenate(([True], group[1:] != group[:-1]))
        found = np.empty(len(calls), np.int64)
        found[order] = order[first][np.cumsum(first) - 1]
        return found

    # Of equals, one below other spans of its run rather than one in a trace of its own.
    lonely = (calls.parent == 0) & groups.in_several(calls.run)
    own = best(depth, lonely, -groups.kinds, ~calls.of_agent, last)
    # The most complete numbers: more kinds of tokens, then a price; the own ones where others know no more.
    not_own = own != np.arange(len(calls))
    return Same(
        own=own,
        lender=best(not_own, calls.unpriced, -groups.kinds, groups.covered),
        asker=best(not_own, -calls.requested, groups.covered),
    )


class _Groups:
    """Groups of rows that show the same call.

    Attributes:
        of_row: number of each row's.
        kinds: how many kinds of tokens a row tells, thrice, one less where not all of them; 1 where they are a guess.
        covered: rows that are copies of several calls.
    """

    def __init__(self, calls: Candidates) -> None:
        self._calls = calls
        self.of_row = np.arange(len(calls))
        tools = calls.kind == TOOL
        told = 3 * (calls.tokens > 0).sum(axis=1) - calls.estimated
        self.kinds = np.where(tools, calls.answered, np.where(calls.answered, told, calls.estimated))
        self.covered = np.zeros(len(calls), np.bool_)

    def in_several(self, runs: Keys) -> NDArray[np.bool_]:
        """For each row: are those of its group in several runs?"""
        several = np.zeros(len(runs), np.bool_)
        several[self.of_row[runs != runs[self.of_row]]] = True
        return several[self.of_row]

    def same_response(self) -> None:
        """Model calls with one response id."""
        rows = np.flatnonzero((self._calls.response != 0) & (self._calls.kind != TOOL))
        _, first, place = np.unique(self._calls.response[rows], return_index=True, return_inverse=True)
        self.of_row[rows] = rows[first][place]

    def nested(self) -> NDArray[np.int64]:
        """Calls directly inside calls. Returns for each row how it stands to those: the lower, the better."""
        calls = self._calls
        inner, outer = self._inside()
        same_id = (calls.response[inner] == calls.response[outer]) & (calls.response[inner] != 0)
        told = calls.answered[inner] & (calls.kind[inner] != TOOL)
        first = np.lexsort((calls.span[inner], outer))
        first = first[told[first]]
        one_child = np.full(len(calls), -1)
        one_child[outer[first[::-1]]] = inner[first[::-1]]
        several = outer[told & (self.of_row[inner] != self.of_row[one_child[outer]])]
        while (~self.covered[several]).any():
            self.covered[several] = True
            several = outer[told & self.covered[inner]]
        several = np.flatnonzero(self.covered)
        # A copy of several calls, and attempts inside it that told nothing, go with one of them: they do not count.
        rest = self.covered[outer] & ~told
        alone = ~self.covered[outer]
        self._join(
            np.concatenate([inner[alone], inner[rest], several]),
            np.concatenate([outer[alone], one_child[outer[rest]], one_child[several]]),
        )
        above = np.full(len(calls), -1)
        above[inner[~same_id]] = outer[~same_id]
        depth, up = np.zeros(len(calls), np.int64), above
        for _ in range(_MAX_DEPTH):
            if not (up >= 0).any():
                break
            depth += up >= 0
            up = np.where(up >= 0, above[up], -1)
        # Of equals that tell usage the inner one is nearer to the call; of attempts that tell none the outer one is it.
        return np.where(calls.answered & (calls.kind != TOOL), -depth, depth)

    def tool_calls(self) -> None:
        """Tool calls of one run with one id, of the same tool, seen by two instrumentations or at the same time.

        Ids are used again by some models, and executions are repeated: one instrumentation sees one after the other.
        """
        calls = self._calls
        rows = np.flatnonzero((calls.kind == TOOL) & (calls.response != 0))
        seen_by, start = self._code(lambda work: work.instrumentation), calls.start_ns
        pairs = [
            (one, other)
            for same in _equal(calls.response[rows], rows)
            if len(same) <= CROWD
            for one, other in combinations(same, 2)
            if seen_by[one] != seen_by[other]
            or (start[one] <= calls.end_ns[other] and start[other] <= calls.end_ns[one])
        ]
        if pairs:
            one, other = np.array(pairs).T
            fits = self._same_tool(one, other)
            self._join(one[fits], other[fits])

    def side_by_side(self) -> None:
        """Calls that two instrumentations saw, neither directly inside the other.

        At most one has a response id. They agree in tenant, service, model and the numbers of tokens in and out (or
        one does not know how many went in, or both failed); one lies within the time of the other and ends with it, and
        is in the same run or in a trace of its own. An instrumentation saw the call once: of several that fit the
        nearest in time is taken.
        """
        calls = self._calls
        one, other = self._neighbours()
        swap = calls.duration_ns[one] < calls.duration_ns[other]
        outer, inner = np.where(swap, other, one), np.where(swap, one, other)
        service, seen_by = (self._code(lambda work: work.service), self._code(lambda work: work.instrumentation))
        start, end, sent = calls.start_ns, calls.end_ns, calls.tokens[:, 0]
        fits = (
            ((sent[outer] == sent[inner]) | (sent[outer] == 0) | (sent[inner] == 0))
            & (service[outer] == service[inner])
            & (seen_by[outer] != seen_by[inner])
            & ((calls.run[outer] == calls.run[inner]) | (calls.parent[inner] == 0))
            & (start[inner] >= start[outer] - CLOCKS_APART_NS)
            & (end[inner] <= end[outer] + CLOCKS_APART_NS)
        )
        outer, inner = outer[fits], inner[fits]
        apart = np.abs(start[inner] - start[outer]) + np.abs(end[inner] - end[outer])
        order = np.lexsort((calls.span[inner], calls.trace[inner], calls.span[outer], calls.trace[outer], apart))
        self._join_apart(outer[order].tolist(), inner[order].tolist(), seen_by.tolist())

    def notes(self) -> NDArray[np.bool_]:
        """A streamed call without usage, and a note of no length with usage that the same instrumentation wrote later.

        The call's span ended when the answer began; what it used was known when all of it had been read. Each note
        belongs to the latest call before it in the same place that has none yet. Returns which rows are such notes.
        """
        calls = self._calls
        is_note = np.zeros(len(calls), np.bool_)
        rows = np.flatnonzero((calls.place != 0) & ~self.covered & ~calls.error)
        if not len(rows):
            return is_note
        told = {}  # group -> its tokens in and out
        for row in rows[calls.answered[rows]].tolist():
            told[int(self.of_row[row])] = calls.tokens[row, :2].tolist()
        start, pairs = calls.start_ns, []
        for same in _equal(calls.place[rows], rows):
            if len(same) > _UNPLACED_CROWD and not calls.parent[same[0]] and not calls.content[same[0]]:
                continue
            waiting: list[int] = []
            times = [(int(calls.end_ns[row]), bool(calls.of_other[row]), int(calls.span[row]), row) for row in same]
            for at, note, _, row in sorted(times):
                if not note:
                    waiting.append(row)
                    continue
                tokens = calls.tokens[row, :2].tolist()
                for i in reversed(range(len(waiting))):
                    call = waiting[i]
                    if at - calls.end_ns[call] > NOTE_AFTER_NS:
                        break
                    silent = not calls.answered[row]
                    if start[row] >= start[call] and (silent or told.get(int(self.of_row[call]), tokens) == tokens):
                        pairs.append((row, waiting.pop(i)))
                        break
        if pairs:
            one, other = np.array(pairs).T
            is_note[one] = True
            self._join(one, other)
        return is_note

    def _inside(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Calls directly inside calls that may be the same: inner and outer rows."""
        calls = self._calls
        order = np.argsort(calls.here, kind="stable")
        inner = np.flatnonzero(calls.parent != 0)
        outer = order[np.minimum(calls.here[order].searchsorted(calls.parent[inner]), len(calls) - 1)]
        hit = (calls.here[outer] == calls.parent[inner]) & (outer != inner) & (calls.kind[outer] == calls.kind[inner])
        inner, outer = inner[hit], outer[hit]
        one_id, other_id = calls.response[inner], calls.response[outer]
        fits = (one_id == 0) | (other_id == 0) | (one_id == other_id)
        fits &= (calls.kind[inner] != TOOL) | self._same_tool(inner, outer)
        return inner[fits], outer[fits]

    def _same_tool(self, one: NDArray[np.integer], other: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Is it the same tool, or does one of the two not say?"""
        tool = self._code(lambda work: work.tool_name)
        fits: NDArray[np.bool_] = (tool[one] == tool[other]) | (tool[one] == 0) | (tool[other] == 0)
        return fits

    def _code(self, field: Callable[[Work], str]) -> NDArray[np.int64]:
        """A number for each row's word, 0 for the empty one."""
        place = {"": 0}
        codes = [place.setdefault(field(work), len(place)) for work in self._calls.works]
        return np.array(codes, np.int64)[self._calls.work]

    def _neighbours(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of rows that agree, end about together and are not the same by their ids."""
        calls = self._calls
        apart = np.where(self._may_be_apart(), calls.common, np.uint64(0))
        pairs = [np.sort(np.stack(self._near(keys)), axis=0) for keys in (calls.within, apart)]
        one, other = np.unique(np.concatenate(pairs, axis=1), axis=1)
        keep = (self.of_row[one] != self.of_row[other]) & ((calls.response[one] == 0) | (calls.response[other] == 0))
        return one[keep], other[keep]

    def _may_be_apart(self) -> NDArray[np.bool_]:
        """Rows that agree with one in a trace of its own."""
        calls = self._calls
        return np.isin(calls.common, calls.common[calls.parent == 0])

    def _near(self, keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of rows with the same key that end about together."""
        rows = np.flatnonzero((keys != 0) & ~self.covered)
        rows = rows[np.lexsort((self._calls.end_ns[rows], keys[rows]))]
        key, end = keys[rows], self._calls.end_ns[rows]
        ones, others = [rows[:0]], [rows[:0]]
        for step in range(1, len(rows)):
            near = (key[step:] == key[:-step]) & (end[step:] - end[:-step] <= ENDS_APART_NS)
            if not near.any():
                break
            ones.append(rows[:-step][near])
            others.append(rows[step:][near])
        return np.concatenate(ones), np.concatenate(others)

    def _join_apart(self, ones: list[int], others: list[int], seen_by: list[int]) -> None:
        """Joins pairs in that order where neither ids nor instrumentations of the groups say otherwise."""
        if not ones:
            return
        wanted = np.unique(self.of_row[ones + others])
        members: dict[int, list[int]] = {group: [] for group in wanted.tolist()}
        rows = np.flatnonzero(np.isin(self.of_row, wanted))
        for row, group in zip(rows.tolist(), self.of_row[rows].tolist(), strict=True):
            members[group].append(row)
        home = {row: group for group, those in members.items() for row in those}
        responses = self._calls.response.tolist()
        works, work = self._calls.works, self._calls.work.tolist()
        joined = []
        for one, other in zip(ones, others, strict=True):
            mine, its = members[home[one]], members[home[other]]
            if (
                home[one] == home[other]
                or len({responses[row] for row in mine + its} - {0}) > 1
                or {seen_by[row] for row in mine} & {seen_by[row] for row in its}
                or not _same_model(works[work[one]], works[work[other]])
            ):
                continue
            joined.append((one, other))
            gone = home[other]
            for row in its:
                home[row] = home[one]
            mine += members.pop(gone)
        if joined:
            self._join(*np.array(joined).T)

    def _join(self, ones: NDArray[np.integer], others: NDArray[np.integer]) -> None:
        """Makes one group out of the two of each pair."""
        if not len(ones):
            return
        to = np.arange(len(self.of_row))
        while True:
            one, other = to[self.of_row[ones]], to[self.of_row[others]]
            if (one == other).all():
                break
            np.minimum.at(to, np.maximum(one, other), np.minimum(one, other))
            while (to[to] != to).any():
                to = to[to]
        self.of_row = to[self.of_row]


def _same_model(one: Work, other: Work) -> bool:
    """Do both name a model, the same but perhaps for the vendor before it or the date behind it?"""
    mine, its = ({_undated(name) for name in (work.model, work.request_model) if name} for work in (one, other))
    return not mine.isdisjoint(its)


@lru_cache(maxsize=1024)
def _undated(model: str) -> str:
    return _DATE.sub("", model.rpartition("/")[2])


def _equal(keys: Keys, rows: NDArray[np.integer]) -> Iterator[list[int]]:
    """Rows with equal keys, where there are several."""
    if len(rows) < 2:
        return
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    ends = np.append(starts[1:], len(rows))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end - start > 1:
            yield rows[start:end].tolist()
