"""Remembered calls in columns: a million of them are a few arrays, and a checkpoint writes them as they are."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from clew_processor.enrich.contributions import TOKENS, Contributions
from clew_processor.grouping import dense
from clew_processor.normalise.spans import INFERENCE_OPS
from clew_processor.words import Words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


RunKey = tuple[str, str]
"""Tenant and trace id."""
INFERENCE, EMBEDDINGS, TOOL = range(3)
"""Kinds of calls."""
KIND_OF_OP = dict.fromkeys(INFERENCE_OPS, INFERENCE) | {"embeddings": EMBEDDINGS, "execute_tool": TOOL}


class Work(NamedTuple):
    """What a call adds to, fields of `Contributions`, and what else a few words tell of it."""

    service: str
    agent_name: str
    agent_version: str
    provider: str
    model: str
    tool_name: str
    op: str
    request_model: str
    instrumentation: str  # name of the scope
    scope: str  # of its usage if it counts
    cost_source: str  # likewise


ADDS_TO = Work._fields[:7]


class Numbers(NamedTuple):
    """What counts by a call of which a copy tells more."""

    lender: int  # number of that copy
    tokens: tuple[int, ...]
    cost_nano: int
    unpriced: bool
    scope: str
    cost_source: str
    estimated: bool
    requested: int


@dataclass(slots=True)
class Calls:
    """Calls of one batch, or of some that came one after the other; copies included.

    Attributes:
        base: number of the first call, counted over all batches; call `base + i` is row i.
        first, seen: for each batch its first row, and when it arrived (`ArrivalClock`).
        tenants, tenant: the distinct tenants; for each call the place of its own.
        works, work: the distinct kinds of work, likewise.
        trace: id of the trace, its 16 bytes.
        run: key of the run (`Spans.run_keys`).
        kind: `INFERENCE`, `EMBEDDINGS` or `TOOL`.
        span: id of the span, as a number.
        here, parent: key of the span and of its parent within its run, 0 for no parent; of another run's spans they
            are different.
        response: key of the response id (of a tool call: of its id, within its run), 0 for none.
        common, within: keys of what copies have in common wherever they stand, and in the same run; see `beside`.
        content: key of the messages sent, 0 where it was not asked for.
        answered: it told tokens; of a tool call, its arguments.
        estimated: the tokens are a guess; where it `answered` the sender's, or not all of them.
        of_other: the tokens are those of another span of the same call.
        counts: it counts. False where a copy of it does instead.
        owner: number of the copy that counts for it; its own where it counts.
        waits: another copy counts, in another run, and either run may yet turn out to be an agent's.
        requested: how many tool calls it asked for.
        error, unpriced, end_ns, duration_ns, cost_nano: what it adds if it counts.
        tokens: (calls, kinds) in the order of `TOKENS`, likewise.
        borrowed: by row, what it adds instead of its own tokens and cost.
    """

    base: int
    first: NDArray[np.int64]
    seen: NDArray[np.int64]
    tenants: list[str]
    tenant: NDArray[np.int32]
    works: list[Work]
    work: NDArray[np.int32]
    trace: NDArray[np.bytes_]
    run: NDArray[np.uint64]
    kind: NDArray[np.int8]
    span: NDArray[np.uint64]
    here: NDArray[np.uint64]
    parent: NDArray[np.uint64]
    response: NDArray[np.uint64]
    common: NDArray[np.uint64]
    within: NDArray[np.uint64]
    content: NDArray[np.uint64]
    answered: NDArray[np.bool_]
    estimated: NDArray[np.bool_]
    of_other: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    owner: NDArray[np.int64]
    waits: NDArray[np.bool_]
    requested: NDArray[np.integer]
    error: NDArray[np.bool_]
    unpriced: NDArray[np.bool_]
    end_ns: NDArray[np.int64]
    duration_ns: NDArray[np.int64]
    cost_nano: NDArray[np.int64]
    tokens: NDArray[np.integer]
    borrowed: dict[int, Numbers] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of calls."""
        return len(self.span)


_ARRAYS = tuple(each.name for each in fields(Calls) if each.type.startswith("NDArray"))
PER_CALL = tuple(name for name in _ARRAYS if name not in ("first", "seen", "tenant", "work"))
"""Columns with a row for each call, but for its tenant and its work."""


def joined(parts: Sequence[Calls]) -> Calls:
    """Several as one; each one's calls must be those that came next after the one before."""
    base = parts[0].base
    columns: dict[str, Any] = {name: np.concatenate([getattr(calls, name) for calls in parts]) for name in _ARRAYS}
    columns["first"] = np.concatenate([calls.first + (calls.base - base) for calls in parts])
    columns["tenants"], columns["tenant"] = same_values([(calls.tenants, calls.tenant) for calls in parts])
    columns["works"], columns["work"] = same_values([(calls.works, calls.work) for calls in parts])
    borrowed = {row + calls.base - base: numbers for calls in parts for row, numbers in calls.borrowed.items()}
    return Calls(base=base, borrowed=borrowed, **columns)


def same_values(parts: Sequence[tuple[list[Any], NDArray[np.int32]]]) -> tuple[list[Any], NDArray[np.int32]]:
    """Distinct values and codes of several columns of such, one after the other."""
    place: dict[Any, int] = {}
    codes = []
    for values, code in parts:
        codes.append(np.array([place.setdefault(value, len(place)) for value in values], np.int32)[code])
    return list(place), np.concatenate(codes)


def contributions(
    kind: NDArray[np.int8],
    tenants: list[str],
    traces: list[str],
    works: Sequence[Work],
    columns: dict[str, Any],
    tokens: NDArray[np.integer],
) -> Contributions:
    """What some calls add when they count, one row for each."""
    words: dict[str, Any] = {name: _words([getattr(work, name) for work in works]) for name in ADDS_TO}
    return Contributions(
        tenant=_words(tenants),
        trace=_words(traces),
        inference=kind == INFERENCE,
        **words,
        **columns,
        **dict(zip(TOKENS, tokens.astype(np.int64).T, strict=True)),
    )


def _words(values: list[str]) -> Words:
    place = {value: i for i, value in enumerate(dict.fromkeys(values))}
    return Words(np.fromiter(map(place.__getitem__, values), np.int32, len(values)), list(place))


def works_of(columns: Sequence[Words]) -> tuple[list[Work], NDArray[np.int32]]:
    """The distinct combinations of words that some columns hold, and for each row the place of its own."""
    place, first = dense(columns)
    works = list(map(Work._make, zip(*(words.take(first).tolist() for words in columns), strict=True)))
    return works, place.astype(np.int32)


def narrow(values: NDArray[np.int64]) -> NDArray[np.integer]:
    """The same in half the room where they are small."""
    return values.astype(np.int32) if not len(values) or int(values.max()) < 2**31 else values
