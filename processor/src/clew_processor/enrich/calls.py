"""One model call seen twice counts once: which copy is `own`, and which are `duplicate`.

Two instrumentors stacked, or a client library with spans of its own, show the same call as two spans. The response id
joins them; without one, an inference span directly inside another does. Which copy is own (contract section 5): the one
with more kinds of tokens, then the lower (trace id, span id), whatever order they came in. When the better copy comes
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
    from numpy.typing import NDArray

    from clew_processor.enrich.contributions import Contributions
    from clew_processor.normalise.spans import Spans

MAX_CALLS = 1_000_000
"""Calls remembered at most; beyond it the oldest are forgotten early and a later copy of them counts."""


@dataclass(slots=True)
class _Remembered:
    """The own calls of one batch; call number `base + i` is row i."""

    base: int
    arrival_ns: int
    response_ids: list[int]
    contributions: Contributions
    span_ids: list[str]
    kinds: NDArray[np.int8]


@dataclass(slots=True)
class Superseded:
    """A call that counted until a better copy came.

    Attributes:
        contribution: the one row to take away.
        span_id: of the span that is a duplicate now.
    """

    contribution: Contributions
    span_id: str


class CallIndex:
    """Remembers the calls of the last `settle_s` seconds of arrival time, to tell copies across batches."""

    def __init__(self, settle_s: float) -> None:
        self._settle_ns = int(settle_s * 1e9)
        self._own: dict[int, int] = {}  # response id -> call number
        self._batches: deque[_Remembered] = deque()
        self._next = 0

    def duplicates(self, spans: Spans) -> tuple[NDArray[np.bool_], list[Superseded]]:
        """Which rows are copies of a call that counts elsewhere, and which earlier calls this batch supersedes."""
        self._forget(spans.arrival_ns)
        inference = spans.op.isin(INFERENCE_OPS)
        duplicate = _nested(spans, inference)
        rows = np.flatnonzero(inference & ~duplicate & (spans.response_id != 0))
        if not len(rows):
            return duplicate, []
        ids = spans.response_id[rows]
        kinds = _kinds(spans)
        distinct = np.unique(ids)
        if len(distinct) < len(ids):
            _worse_copies(spans, rows, ids, kinds, duplicate)
        superseded: list[Superseded] = []
        if self._own:
            for response_id in self._own.keys() & set(distinct.tolist()):
                here = rows[(ids == response_id) & ~duplicate[rows]][0]
                earlier, position = self._find(self._own[response_id])
                if _key(spans, here, kinds) < _remembered_key(earlier, position):
                    superseded.append(
                        Superseded(earlier.contributions.take(np.array([position])), earlier.span_ids[position])
                    )
                else:
                    duplicate[here] = True
        return duplicate, superseded

    def remember(self, spans: Spans, contributions: Contributions, rows: NDArray[np.integer]) -> None:
        """Takes note of the own calls of a batch.

        Args:
            spans: the batch.
            contributions: the batch's counted rows.
            rows: for each row of `contributions`, its row in `spans`.
        """
        keep = np.flatnonzero(contributions.inference & (spans.response_id[rows] != 0))
        if not len(keep):
            return
        span_rows = rows[keep]
        ids = spans.response_id[span_rows].tolist()
        self._batches.append(
            _Remembered(
                base=self._next,
                arrival_ns=spans.arrival_ns,
                response_ids=ids,
                contributions=contributions.take(keep),
                span_ids=spans.span_id.take(pa.array(span_rows)).to_pylist(),
                kinds=_kinds(spans)[span_rows],
            )
        )
        self._own.update(zip(ids, range(self._next, self._next + len(ids)), strict=True))
        self._next += len(ids)

    def _find(self, number: int) -> tuple[_Remembered, int]:
        at = bisect_right(self._batches, number, key=lambda batch: batch.base) - 1
        return self._batches[at], number - self._batches[at].base

    def _forget(self, now_ns: int) -> None:
        while self._batches and (
            self._batches[0].arrival_ns < now_ns - self._settle_ns or self._next - self._batches[0].base > MAX_CALLS
        ):
            oldest = self._batches.popleft()
            for number, response_id in enumerate(oldest.response_ids, oldest.base):
                if self._own.get(response_id) == number:
                    del self._own[response_id]


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


def _remembered_key(batch: _Remembered, position: int) -> tuple[int, str, str]:
    trace = batch.contributions.trace
    return -int(batch.kinds[position]), trace.words[trace.codes[position]], batch.span_ids[position]


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
