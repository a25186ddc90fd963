"""The loop rule: pure functions over the calls of one run, in order of start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

THRESHOLD = 3
"""The same call this many times in a row is a loop (as in OpenLIT's rule, the one users know)."""


class Call(NamedTuple):
    """One tool call of a run; sorts by start."""

    start_ns: int
    span_id: str
    position: int  # among the calls of one answer; 0 for a tool span
    tool: str
    args: bytes  # canonical hash of the arguments, 16 bytes little-endian
    failed: bool
    agent: str


@dataclass(frozen=True, slots=True)
class Streak:
    """The same call several times in a row.

    Attributes:
        pattern: `same_call`; `retry_storm` where it is repeated because it keeps failing.
        repetitions: number of calls.
        first, last: of them.
    """

    pattern: str
    repetitions: int
    first: Call
    last: Call


def streaks(calls: Sequence[Call]) -> Iterator[Streak]:
    """The loops among the calls of a run, whatever steps and model calls lie between.

    A call that follows a failure of the same call is a retry, not a repetition: two failures and a success are no loop,
    but three failures in a row are a retry storm.

    Args:
        calls: in order of start.
    """
    start = 0
    for end in range(1, len(calls) + 1):
        if end < len(calls) and calls[end].args == calls[start].args and calls[end].tool == calls[start].tool:
            continue
        if end - start >= THRESHOLD and (pattern := _pattern(calls[start:end])):
            yield Streak(pattern, end - start, calls[start], calls[end - 1])
        start = end


def _pattern(same: Sequence[Call]) -> str:
    failures = sum(call.failed for call in same)
    repeated_after_success = 1 + sum(not call.failed for call in same[:-1])
    if repeated_after_success >= THRESHOLD:
        return "same_call"
    return "retry_storm" if failures >= THRESHOLD else ""


def count_retries(calls: Sequence[Call]) -> int:
    """Calls that follow a failed call of the same tool, with whatever arguments."""
    failed: set[str] = set()
    retries = 0
    for call in calls:
        if call.tool in failed:
            retries += 1
        (failed.add if call.failed else failed.discard)(call.tool)
    return retries
