"""One model call seen twice counts once: which copy is `own`, and which are `duplicate`.

Two instrumentors stacked, or a client library with spans of its own, show the same call as two spans. The response id
joins them; without one, an inference span directly inside another does. Which copy is own (contract section 5): the one
with more kinds of tokens, then the lower (trace id, span id), whatever order they came in. When the better copy comes
later, the earlier one is superseded: what it added is taken away again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from clew_processor.normalise.spans import INFERENCE_OPS

if TYPE_CHECKING:
    from collections.abc import Iterator, KeysView

    from numpy.typing import NDArray

    from clew_processor.enrich.contributions import Contributions
    from clew_processor.normalise.spans import Spans
    from clew_processor.words import Words

MAX_CALLS = 1_000_000
"""Calls remembered at most; beyond it the oldest are forgotten early and a later copy of them counts."""


@dataclass(slots=True)
class Superseded:
    """A call that counted until a better copy came.

    Attributes:
        contribution: the one row to take away.
        span_id: of the span that is a duplicate now.
        requested: how many tool calls its answer asked for.
    """

    contribution: Contributions
    span_id: str
    requested: int


@dataclass(slots=True)
class _Remembered:
    """The model calls of one batch, copies included; call number `base + i` is row i."""

    base: int
    arrival_ns: int
    tenant: Words
    trace: Words
    span_ids: pa.StringArray
    span_keys: list[int]
    parent_keys: list[int]
    response_ids: list[int]  # 0 = none
    kinds: NDArray[np.int8]
    requested: NDArray[np.int64]
    contributions: Contributions
    counts: NDArray[np.int64]  # row of contributions; -1 where a copy counts instead


@dataclass(frozen=True, slots=True)
class _Call:
    """One remembered call."""

    batch: _Remembered
    at: int

    @property
    def run(self) -> tuple[str, str]:
        return _word(self.batch.tenant, self.at), _word(self.batch.trace, self.at)

    @property
    def has_id(self) -> bool:
        return self.batch.response_ids[self.at] != 0

    @property
    def key(self) -> tuple[int, str, str]:
        return -int(self.batch.kinds[self.at]), _word(self.batch.trace, self.at), self.batch.span_ids[self.at].as_py()

    def supersede(self) -> list[Superseded]:
        """Takes it out of what counts; nothing when it does not count anyway."""
        row = int(self.batch.counts[self.at])
        if row < 0:
            return []
        self.batch.counts[self.at] = -1
        return [
            Superseded(
                contribution=self.batch.contributions.take(np.array([row])),
                span_id=self.batch.span_ids[self.at].as_py(),
                requested=int(self.batch.requested[self.at]),
            )
        ]


class CallIndex:
    """Remembers the calls of the last `settle_s` seconds of arrival time, to tell copies across batches."""

    def __init__(self, settle_s: float) -> None:
        self._settle_ns = int(settle_s * 1e9)
        self._batches: deque[_Remembered] = deque()
        self._next = 0
        # Call numbers by what a copy would know of them.
        self._own: dict[int, int] = {}  # response id -> the copy that counts
        self._spans: dict[int, int] = {}  # key of the span id -> call
        self._answered: dict[int, int] = {}  # of the parent's -> its latest child that told tokens
        self._empty: dict[int, list[int]] = {}  # of the parent's -> its children that told none

    def duplicates(self, spans: Spans) -> tuple[NDArray[np.bool_], list[Superseded]]:
        """Which rows are copies of a call that counts elsewhere, and which earlier calls this batch supersedes."""
        self._forget(spans.arrival_ns)
        inference = spans.op.isin(INFERENCE_OPS)
        rows = np.flatnonzero(inference)
        if not len(rows):
            return np.zeros(spans.rows, np.bool_), []
        duplicate = _nested(spans, inference)
        superseded = self._nested_in_earlier(spans, rows, duplicate)
        superseded += self._around_earlier(spans, rows, duplicate)
        superseded += self._same_response(spans, rows, duplicate)
        return duplicate, superseded

    def remember(self, spans: Spans, contributions: Contributions, rows: NDArray[np.integer]) -> None:
        """Takes note of the model calls of a batch.

        Args:
            spans: the batch.
            contributions: the batch's counted rows.
            rows: for each row of `contributions`, its row in `spans`.
        """
        calls = np.flatnonzero(spans.op.isin(INFERENCE_OPS))
        if not len(calls):
            return
        contributes = np.full(spans.rows, -1, np.int64)
        contributes[rows] = np.arange(len(rows))
        kept = contributes[calls] >= 0
        batch = _Remembered(
            base=self._next,
            arrival_ns=spans.arrival_ns,
            tenant=spans.tenant.take(calls),
            trace=spans.trace.take(calls),
            span_ids=spans.span_id.take(pa.array(calls)),
            span_keys=spans.span_key[calls].tolist(),
            parent_keys=spans.parent_key[calls].tolist(),
            response_ids=spans.response_id[calls].tolist(),
            kinds=_kinds(spans)[calls],
            requested=spans.requested_calls[calls],
            contributions=contributions.take(contributes[calls[kept]]),
            counts=np.where(kept, np.cumsum(kept) - 1, -1),
        )
        self._batches.append(batch)
        numbers = np.arange(self._next, self._next + len(calls))
        self._next += len(calls)

        self._spans.update(zip(batch.span_keys, numbers.tolist(), strict=True))
        named = kept & (spans.response_id[calls] != 0)
        self._own.update(zip(spans.response_id[calls[named]].tolist(), numbers[named].tolist(), strict=True))
        answered = spans.has_usage[calls]
        parents = spans.parent_key[calls]
        self._answered.update(zip(parents[answered].tolist(), numbers[answered].tolist(), strict=True))
        for parent, number in zip(parents[~answered].tolist(), numbers[~answered].tolist(), strict=True):
            self._empty.setdefault(parent, []).append(number)  # failed calls: few

    def _same_response(self, spans: Spans, rows: NDArray[np.integer], duplicate: NDArray[np.bool_]) -> list[Superseded]:
        rows = rows[~duplicate[rows] & (spans.response_id[rows] != 0)]
        ids = spans.response_id[rows]
        kinds = _kinds(spans)
        distinct = np.unique(ids)
        if len(distinct) < len(ids):
            _worse_copies(spans, rows, ids, kinds, duplicate)
        superseded: list[Superseded] = []
        known = self._own.keys() & set(distinct.tolist()) if self._own else ()
        if known:
            best = np.isin(ids, np.fromiter(known, np.uint64, len(known))) & ~duplicate[rows]
            for row, response_id in zip(rows[best].tolist(), ids[best].tolist(), strict=True):
                earlier = self._call(self._own[response_id])
                if _key(spans, row, kinds) < earlier.key:
                    superseded += earlier.supersede()
                else:
                    duplicate[row] = True
        return superseded

    def _nested_in_earlier(
        self, spans: Spans, rows: NDArray[np.integer], duplicate: NDArray[np.bool_]
    ) -> list[Superseded]:
        """The rule of `_nested` for rows whose parent came in an earlier batch."""
        superseded: list[Superseded] = []
        children = rows[(spans.parent_row[rows] < 0) & ~spans.is_root[rows]]
        for row, key in _found(spans.parent_key, children, self._spans.keys()):
            parent = self._call(self._spans[key])
            if _tells_apart(spans, row, parent):
                continue
            if spans.has_usage[row]:
                superseded += parent.supersede()
            else:
                duplicate[row] = True
        return superseded

    def _around_earlier(
        self, spans: Spans, rows: NDArray[np.integer], duplicate: NDArray[np.bool_]
    ) -> list[Superseded]:
        """The rule of `_nested` for rows whose children came in earlier batches."""
        superseded: list[Superseded] = []
        if not (self._answered or self._empty):
            return superseded
        for row, key in _found(spans.span_key, rows, self._answered.keys()):
            if not _tells_apart(spans, row, self._call(self._answered[key])):
                duplicate[row] = True
        for row, key in _found(spans.span_key, rows, self._empty.keys()):
            for number in self._empty[key]:
                child = self._call(number)
                if not _tells_apart(spans, row, child):
                    superseded += child.supersede()
        return superseded

    def _call(self, number: int) -> _Call:
        batch = self._batches[bisect_right(self._batches, number, key=lambda batch: batch.base) - 1]
        return _Call(batch, number - batch.base)

    def _forget(self, now_ns: int) -> None:
        while self._batches and (
            self._batches[0].arrival_ns < now_ns - self._settle_ns or self._next - self._batches[0].base > MAX_CALLS
        ):
            oldest = self._batches.popleft()
            for number, (response_id, span_key, parent_key) in enumerate(
                zip(oldest.response_ids, oldest.span_keys, oldest.parent_keys, strict=True), oldest.base
            ):
                if self._own.get(response_id) == number:
                    del self._own[response_id]
                if self._spans.get(span_key) == number:
                    del self._spans[span_key]
                if self._answered.get(parent_key) == number:
                    del self._answered[parent_key]
                self._empty.pop(parent_key, None)  # its younger siblings too: they failed within the same call


def _word(words: Words, row: int) -> str:
    return words.words[int(words.codes[row])]


def _found(keys: NDArray[np.uint64], rows: NDArray[np.integer], among: KeysView[int]) -> Iterator[tuple[int, int]]:
    """Those of the rows whose key is among these, and the key."""
    asked = keys[rows].tolist()
    if among and any(map(among.__contains__, asked)):
        for row, key in zip(rows.tolist(), asked, strict=True):
            if key in among:
                yield row, key


def _tells_apart(spans: Spans, row: int, other: _Call) -> bool:
    """Is a row no copy of the call it is nested with: other runs, or two responses of their own?"""
    run = _word(spans.tenant, row), _word(spans.trace, row)
    return other.run != run or (other.has_id and bool(spans.response_id[row] != 0))


def _kinds(spans: Spans) -> NDArray[np.int8]:
    """How many kinds of tokens each span tells."""
    kinds = np.zeros(spans.rows, np.int8)
    for tokens in (
        spans.input_tokens,
        spans.output_tokens,
        spans.cache_read_tokens,
        spans.cache_write_tokens,
        spans.reasoning_tokens,
    ):
        kinds += tokens > 0
    return kinds


def _key(spans: Spans, row: int, kinds: NDArray[np.int8]) -> tuple[int, str, str]:
    """Copies sort by this; the least is own."""
    return -int(kinds[row]), spans.trace.words[spans.trace.codes[row]], spans.span_id[int(row)].as_py()


def _worse_copies(
    spans: Spans,
    rows: NDArray[np.integer],
    ids: NDArray[np.uint64],
    kinds: NDArray[np.int8],
    duplicate: NDArray[np.bool_],
) -> None:
    """Marks all but the best row of each response id."""
    order = np.argsort(ids, kind="stable")
    sorted_ids, sorted_rows = ids[order], rows[order]
    same_as_next = sorted_ids[1:] == sorted_ids[:-1]
    copies = np.flatnonzero(np.append(same_as_next, False) | np.insert(same_as_next, 0, False))
    best: dict[int, tuple[tuple[int, str, str], int]] = {}
    for response_id, row in zip(sorted_ids[copies].tolist(), sorted_rows[copies].tolist(), strict=True):
        key = _key(spans, row, kinds)
        rival = best.get(response_id)
        if rival is None or key < rival[0]:
            best[response_id] = (key, row)
            loser = rival[1] if rival else None
        else:
            loser = row
        if loser is not None:
            duplicate[loser] = True


def _nested(spans: Spans, inference: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Inference directly inside inference, where no response id tells more.

    A child without usage under a model call is the same (failed) attempt seen from below: the child is the copy.
    A child with usage under a parent without response id is the call itself: the parent is the copy.
    """
    duplicate = np.zeros(spans.rows, np.bool_)
    children = np.flatnonzero(inference & (spans.parent_row >= 0))
    children = children[inference[spans.parent_row[children]]]
    if not len(children):
        return duplicate
    parents = spans.parent_row[children]
    told_by_id = (spans.response_id[children] != 0) & (spans.response_id[parents] != 0)
    empty = ~spans.has_usage[children] & ~told_by_id
    duplicate[children[empty]] = True
    duplicate[parents[~empty & ~told_by_id]] = True
    return duplicate
