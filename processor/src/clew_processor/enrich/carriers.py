"""Usage on spans that are no model calls (agents, workflows, steps, sessions): it mostly repeats what stands below.

Such usage counts where no span below tells any, for then it is the only source; of several such spans one below the
other the deepest counts. It counts at once, and is taken back when usage turns up below. Whether what stands below
counts, or is a copy of a call elsewhere, makes no difference. Nor does usage count that a span inside a call tells, for
it is the call's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from clew_processor.enrich.contributions import TOKENS, Changed, Contributions, Corrected, all_changed
from clew_processor.enrich.links import BELOW, NONE, PERHAPS, Links, usage_below

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from clew_processor.enrich.lookup import Keys
    from clew_processor.normalise.spans import Spans

MAX_OPEN = 250_000
"""Spans remembered at most of which it may still turn out whether their usage counts; beyond it the oldest stay as they
are."""

NS_PER_MINUTE = 60 * 10**9
_NONE_JUDGED = np.zeros(0, np.int8)


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on a batch, rows of it.

    Attributes:
        owners: spans that are no model calls whose usage counts.
        repeats: those whose usage does not.
        doubtful: those of `repeats` that may yet count.
    """

    owners: NDArray[np.int64]
    repeats: NDArray[np.int64]
    doubtful: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reversed:
    """Earlier spans whose usage counts no longer, or counts now.

    Attributes:
        before: what they added.
        after: what they add now.
        corrected: what is to be told of them.
    """

    before: Changed
    after: Changed
    corrected: Corrected


@dataclass(slots=True)
class _Batch:
    """Spans of one batch of which it is `open` whether their usage counts, and for now it does, or does not."""

    since: int
    run: Keys
    here: Keys
    contributions: Contributions
    cost_source: list[str]
    span_ids: list[str]
    open: NDArray[np.bool_]
    counts: NDArray[np.bool_]


class Carriers:
    """Remembers spans with usage as long as usage may turn up below them."""

    def __init__(self, settle_s: float) -> None:
        self._settle_ns = int(settle_s * 1e9)
        self._links = Links(settle_s)
        self._batches: deque[_Batch] = deque()
        self._count = 0
        self._of_run: dict[int, list[tuple[_Batch, int]]] = {}

    def judge(
        self, spans: Spans, tells: NDArray[np.bool_], calls: NDArray[np.bool_], now: int
    ) -> tuple[Judged, list[Reversed]]:
        """Whose usage counts.

        Args:
            spans: the batch.
            tells: the spans that tell usage.
            calls: those of them that are model calls.
            now: by the `ArrivalClock`.

        Returns:
            The verdict on the batch, and what becomes of earlier ones.
        """
        self.forget(now)
        rows = np.flatnonzero(tells & ~calls)
        below = _NONE_JUDGED
        if len(rows):
            below = usage_below(spans.parent_row, tells, calls, spans.run, spans.is_root)[rows]
        run = spans.run_keys[spans.run[rows]]
        known = self._links.known(run)
        self._links.add(spans, tells, calls, now)
        unsure = np.flatnonzero(known & (below != BELOW))
        if len(unsure):
            below[unsure] = self._links.below(run[unsure], spans.span_key[rows[unsure]])
        # Where the links are forgotten nobody can say what that usage stood below; nothing may count twice.
        below[self._links.told(run)] = BELOW
        judged = Judged(rows[below == NONE], rows[below != NONE], rows[below == PERHAPS])
        return judged, self._reversed(spans)

    def remember(
        self, spans: Spans, judged: Judged, contributions: Contributions, cost_source: Sequence[str], now: int
    ) -> None:
        """Takes note of spans whose usage counts, or may yet.

        Args:
            spans: the batch.
            judged: from `judge`.
            contributions: what `owners` add, and then what `doubtful` would.
            cost_source: where their cost is from.
            now: by the `ArrivalClock`.
        """
        rows = np.concatenate([judged.owners, judged.doubtful])
        if not len(rows):
            return
        batch = _Batch(
            since=now,
            run=spans.run_keys[spans.run[rows]],
            here=spans.span_key[rows],
            contributions=contributions.compact(),
            cost_source=list(cost_source),
            span_ids=spans.span_id.take(rows).to_pylist(),
            open=np.ones(len(rows), np.bool_),
            counts=np.arange(len(rows)) < len(judged.owners),
        )
        self._batches.append(batch)
        self._list(batch)
        while self._count > MAX_OPEN and len(self._batches) > 1:
            self._settle()

    def forget(self, now: int) -> None:
        """Forgets what is settled by now (`ArrivalClock`)."""
        while self._batches and self._batches[0].since < now - self._settle_ns:
            self._settle()
        self._links.forget(now)

    def minutes(self) -> set[int]:
        """In which minutes since the epoch the remembered spans ended."""
        ends = (batch.contributions.end_ns[batch.open] // NS_PER_MINUTE for batch in self._batches)
        return set(chain.from_iterable(np.unique(minutes).tolist() for minutes in ends))

    def state(self) -> object:
        """What it remembers."""
        batches = [
            (
                each.since, each.run, each.here, each.contributions, each.cost_source, each.span_ids, each.open,
                each.counts,
            )
            for each in self._batches
        ]  # fmt: skip
        return batches, self._links.state()

    def restore(self, state: Any) -> None:
        """Remembers that instead."""
        batches, links = state
        self._batches = deque(_Batch(*each) for each in batches)
        self._count = 0
        self._of_run = {}
        for each in self._batches:
            self._list(each)
        self._links.restore(links)

    def _list(self, batch: _Batch) -> None:
        self._count += len(batch.run)
        for at in np.flatnonzero(batch.open).tolist():
            self._of_run.setdefault(int(batch.run[at]), []).append((batch, at))

    def _settle(self) -> None:
        """The oldest stay as they are."""
        batch = self._batches.popleft()
        self._count -= len(batch.run)
        for run in set(batch.run[batch.open].tolist()):
            self._keep(run, [one for one in self._of_run[run] if one[0] is not batch])

    def _keep(self, run: int, still_open: list[tuple[_Batch, int]]) -> None:
        if still_open:
            self._of_run[run] = still_open
        else:
            del self._of_run[run]

    def _reversed(self, spans: Spans) -> list[Reversed]:
        """What the batch makes of earlier spans."""
        if not self._of_run:
            return []
        runs = [run for run in spans.run_keys.tolist() if run in self._of_run]
        if not runs:
            return []
        open_ones = [one for run in runs for one in self._of_run[run]]
        keys = np.array([(batch.run[at], batch.here[at]) for batch, at in open_ones], np.uint64)
        below = self._links.below(keys[:, 0], keys[:, 1])
        changed = []
        for (batch, at), found in zip(open_ones, below.tolist(), strict=True):
            batch.open[at] = found != BELOW
            if batch.counts[at] != (found == NONE):
                batch.counts[at] = found == NONE
                changed.append((batch, at))
        for run in runs:
            self._keep(run, [(batch, at) for batch, at in self._of_run[run] if batch.open[at]])
        return [_reversed(changed)] if changed else []


def _reversed(changed: Sequence[tuple[_Batch, int]]) -> Reversed:
    """What it means that these count now, or no longer."""
    by_batch: dict[int, tuple[_Batch, list[int]]] = {}
    for batch, at in changed:
        by_batch.setdefault(id(batch), (batch, []))[1].append(at)
    with_usage = []
    for batch, rows in by_batch.values():
        contributions = batch.contributions.take(np.array(rows))
        with_usage.append(Changed(contributions, [batch.span_ids[at] for at in rows], np.zeros(len(rows), np.int64)))
    whole = all_changed(with_usage)
    counts = np.array([batch.counts[at] for batch, rows in by_batch.values() for at in rows])
    source = [batch.cost_source[at] if batch.counts[at] else "" for batch, rows in by_batch.values() for at in rows]
    each = whole.contributions
    return Reversed(
        before=replace(whole, contributions=each.with_usage(~counts)),
        after=replace(whole, contributions=each.with_usage(counts)),
        corrected=Corrected(
            tenant=each.tenant.tolist(),
            trace=each.trace.tolist(),
            span_ids=whole.span_ids,
            scope=["own" if one else "rollup" for one in counts.tolist()],
            cost_source=source,
            reason=["reinstated" if one else "rollup" for one in counts.tolist()],
            cost_nano=np.where(counts, each.cost_nano, 0),
            tokens=np.stack([getattr(each, name) for name in TOKENS], axis=1),
            estimated=each.guessed,
        ),
    )
