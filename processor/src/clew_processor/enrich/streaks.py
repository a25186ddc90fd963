"""The loop rule, over the calls of many runs at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from clew_processor.enrich.lookup import Keys

THRESHOLD = 3
"""The same call this many times in a row is a loop (as in OpenLIT's rule, the one users know)."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Tool calls of some runs, in the order in which each run made them, those of a run together.

    Attributes:
        run: key of the run.
        tool: a number for the tool.
        same: a number for tool and arguments (calls, n); None of two rows with `alone` is the same.
        alone: the call is like no other: its arguments were not recorded.
        failed: it failed.
    """

    run: Keys
    tool: Keys
    same: NDArray[np.uint64]
    alone: NDArray[np.bool_]
    failed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Streak:
    """The same call several times in a row.

    Attributes:
        pattern: `same_call`; `retry_storm` where it is repeated because it keeps failing.
        first, last: rows of `Calls`; all between them are the same call.
    """

    pattern: str
    first: int
    last: int

    @property
    def repetitions(self) -> int:
        """Number of calls."""
        return self.last - self.first + 1


def streaks(calls: Calls) -> Iterator[Streak]:
    """The loops, whatever steps and model calls lie between.

    A call that follows a failure of the same call is a retry, not a repetition: two failures and a success are no loop,
    but three failures in a row are a retry storm.
    """
    rows = len(calls.run)
    if rows < THRESHOLD:
        return
    fresh = np.ones(rows, np.bool_)
    fresh[1:] = (
        (calls.run[1:] != calls.run[:-1])
        | (calls.tool[1:] != calls.tool[:-1])
        | (calls.same[1:] != calls.same[:-1]).any(axis=1)
        | calls.alone[1:]
    )
    starts = np.flatnonzero(fresh)
    ends = np.append(starts[1:], rows)
    long = np.flatnonzero(ends - starts >= THRESHOLD)
    if not len(long):
        return
    starts, ends = starts[long], ends[long]
    failures_before = np.concatenate(([0], np.cumsum(calls.failed)))
    failures = failures_before[ends] - failures_before[starts]
    # Every call after a success of the same call repeats it.
    succeeded = (ends - 1 - starts) - (failures_before[ends - 1] - failures_before[starts])
    same_call = 1 + succeeded >= THRESHOLD
    for i in np.flatnonzero(same_call | (failures >= THRESHOLD)).tolist():
        yield Streak("same_call" if same_call[i] else "retry_storm", int(starts[i]), int(ends[i]) - 1)


def count_retries(calls: Calls) -> dict[int, int]:
    """Calls that follow a failed call of the same tool, with whatever arguments, by run."""
    order = np.lexsort((np.arange(len(calls.run)), calls.tool, calls.run))
    run, tool = calls.run[order], calls.tool[order]
    follows = (run[1:] == run[:-1]) & (tool[1:] == tool[:-1]) & calls.failed[order][:-1]
    runs, counts = np.unique(run[1:][follows], return_counts=True)
    return dict(zip(runs.tolist(), counts.tolist(), strict=True))
