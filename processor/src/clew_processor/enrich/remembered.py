"""Remembered model calls in columns: a million of them are a few arrays, and a checkpoint writes them as they are."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from clew_processor.enrich.contributions import Contributions
from clew_processor.grouping import combine
from clew_processor.words import Words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from clew_processor.normalise.spans import Spans

RunKey = tuple[str, str]
"""Tenant and trace id."""
Run = tuple[str, str, int]
"""Tenant, trace id, and the run's key (`Spans.run_keys`)."""
Work = tuple[str, ...]
"""What a call adds to, by these fields of `Contributions`, then its scope and cost source if it counts."""
WORK = ("service", "agent_name", "agent_version", "provider", "model", "tool_name", "op")
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


@dataclass(slots=True)
class Calls:
    """Model calls of one batch, or of some that came one after the other; copies included.

    Attributes:
        base: number of the first call, counted over all batches; call `base + i` is row i.
        first, seen: for each batch its first row, and when it arrived (`ArrivalClock`).
        runs, run: the distinct runs; for each call the place of its own.
        works, work: the distinct kinds of work; for each call the place of its own.
        span: id of the span, as a number.
        here, parent: key of the span and of its parent within its run; of another run's spans they are different.
        response: key of the response id, 0 for none.
        kinds: how many kinds of tokens it tells.
        answered: it told tokens.
        counts: it counts. False where a copy of it does instead.
        names: it stands for its response: a copy that comes later is compared with it.
        waits: a copy of its response counts, but it will be the better one if its run turns out to be an agent's.
        requested: how many tool calls it asked for.
        error, unpriced, guessed, end_ns, duration_ns, cost_nano: what it adds if it counts.
        tokens: (calls, kinds) in the order of `TOKENS`, likewise.
    """

    base: int
    first: NDArray[np.int64]
    seen: NDArray[np.int64]
    runs: list[Run]
    run: NDArray[np.int32]
    works: list[Work]
    work: NDArray[np.int32]
    span: NDArray[np.uint64]
    here: NDArray[np.uint64]
    parent: NDArray[np.uint64]
    response: NDArray[np.uint64]
    kinds: NDArray[np.int8]
    answered: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    names: NDArray[np.bool_]
    waits: NDArray[np.bool_]
    error: NDArray[np.bool_]
    unpriced: NDArray[np.bool_]
    guessed: NDArray[np.bool_]
    requested: NDArray[np.integer]
    end_ns: NDArray[np.int64]
    duration_ns: NDArray[np.int64]
    cost_nano: NDArray[np.int64]
    tokens: NDArray[np.integer]

    @property
    def rows(self) -> int:
        """Number of calls."""
        return len(self.span)

    def seen_at(self, row: int) -> int:
        """When a call arrived."""
        return int(self.seen[self.first.searchsorted(row, "right") - 1])

    def run_of(self, row: int) -> Run:
        """A call's run."""
        return self.runs[int(self.run[row])]

    def work_of(self, row: int) -> Work:
        """A call's work."""
        return self.works[int(self.work[row])]


def joined(parts: Sequence[Calls]) -> Calls:
    """Several as one; each one's calls must be those that came next after the one before."""
    columns: dict[str, Any] = {
        field.name: np.concatenate([getattr(calls, field.name) for calls in parts])
        for field in fields(Calls)
        if isinstance(getattr(parts[0], field.name), np.ndarray)
    }
    columns["first"] = np.concatenate([calls.first + (calls.base - parts[0].base) for calls in parts])
    columns["runs"], columns["run"] = _joined(*((calls.runs, calls.run) for calls in parts))
    columns["works"], columns["work"] = _joined(*((calls.works, calls.work) for calls in parts))
    return Calls(base=parts[0].base, **columns)


def _joined(*parts: tuple[list[Any], NDArray[np.int32]]) -> tuple[list[Any], NDArray[np.int32]]:
    """Distinct values and codes of several columns of such, one after the other."""
    distinct, place = _encoded(list(chain.from_iterable(values for values, _ in parts)))
    ends = np.cumsum([len(values) for values, _ in parts]).tolist()
    codes = [place[end - len(values) : end][code] for end, (values, code) in zip(ends, parts, strict=True)]
    return distinct, np.concatenate(codes)


def _encoded(values: list[Any]) -> tuple[list[Any], NDArray[np.int32]]:
    """Distinct values in order of appearance, and for each the place of its own."""
    place = {value: i for i, value in enumerate(dict.fromkeys(values))}
    return list(place), np.fromiter(map(place.__getitem__, values), np.int32, len(values))


def contributions(parts: Sequence[tuple[Calls, NDArray[np.integer]]]) -> Contributions:
    """What some calls add when they count: (calls, rows of them), one after the other."""
    runs, run = _encoded([calls.run_of(row) for calls, rows in parts for row in rows.tolist()])
    works, work = _encoded([calls.work_of(row) for calls, rows in parts for row in rows.tolist()])

    def taken(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(calls, name)[rows] for calls, rows in parts])

    columns: dict[str, Any] = {
        name: taken(name) for name in ("end_ns", "duration_ns", "error", "cost_nano", "unpriced", "guessed")
    }
    columns |= {name: Words(work, [values[i] for values in works]) for i, name in enumerate(WORK)}
    columns |= dict(zip(TOKENS, taken("tokens").astype(np.int64).T, strict=True))
    return Contributions(
        tenant=Words(run, [tenant for tenant, _, _ in runs]),
        trace=Words(run, [trace for _, trace, _ in runs]),
        inference=np.ones(len(run), np.bool_),
        **columns,
    )


def runs_of(spans: Spans, rows: NDArray[np.integer]) -> tuple[list[Run], NDArray[np.int32]]:
    """The distinct runs of some spans, and for each span the place of its own."""
    codes = spans.run[rows]
    any_row = np.full(len(spans.run_keys), -1, np.int64)
    any_row[codes] = rows
    used = np.flatnonzero(any_row >= 0)
    place = np.empty(len(any_row), np.int32)
    place[used] = np.arange(len(used))
    chosen = any_row[used]
    tenants, traces = spans.tenant.take(chosen).tolist(), spans.trace.take(chosen).tolist()
    return list(zip(tenants, traces, spans.run_keys[used].tolist(), strict=True)), place[codes]


def works_of(columns: Sequence[Words]) -> tuple[list[Work], NDArray[np.int32]]:
    """The distinct combinations of words that some columns hold, and for each row the place of its own."""
    codes = combine([(words.codes, len(words.words)) for words in columns])
    _, first, place = np.unique(codes, return_index=True, return_inverse=True)
    return list(zip(*(words.take(first).tolist() for words in columns), strict=True)), place.astype(np.int32)


def narrow(values: NDArray[np.int64]) -> NDArray[np.integer]:
    """The same in half the room where they are small."""
    return values.astype(np.int32) if not len(values) or int(values.max()) < 2**31 else values
