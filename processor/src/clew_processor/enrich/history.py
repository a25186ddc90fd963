"""What running runs have called so far, kept as slices of batches and looked at only when a run gets suspicious."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import xxhash

from clew_processor.enrich.ids import id_numbers, id_texts
from clew_processor.enrich.streaks import Call, count_retries
from clew_processor.words import Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from clew_processor.enrich.remembered import RunKey
    from clew_processor.enrich.usage import Usage
    from clew_processor.normalise.spans import Spans

Slice = tuple["RunKey", int, int, int]
"""Where the calls of a run stand in a batch sorted by run: (run, its key, first row, end)."""
ARGS_BYTES = 16
NO_ARGS = bytes(ARGS_BYTES)


class ModelCall(NamedTuple):
    """Own usage of one model call of a run; sorts by start."""

    start_ns: int
    tokens: int
    cost_nano: int


@dataclass(slots=True, eq=False)
class ToolCalls:
    """The tool calls of one batch, sorted by run; `live` of them belong to runs that are remembered."""

    start_ns: NDArray[np.int64]
    span: NDArray[np.uint64]
    position: NDArray[np.int32]
    tool: Words
    args: NDArray[np.uint64]  # (calls, 2)
    failed: NDArray[np.bool_]
    agent: Words
    live: int = 0

    def __len__(self) -> int:
        return len(self.start_ns)

    def brief(self, start: int, end: int) -> Iterator[tuple[int, str, bool]]:
        """Start, tool and failure of each call."""
        tools = map(self.tool.words.__getitem__, self.tool.codes[start:end].tolist())
        return zip(self.start_ns[start:end].tolist(), tools, self.failed[start:end].tolist(), strict=True)

    def calls(self, start: int, end: int) -> list[Call]:
        """Some of them as objects."""
        span_ids = id_texts(self.span[start:end])
        positions = self.position[start:end].tolist()
        hashes = self.args[start:end].tobytes()
        # Without recorded arguments nobody can tell whether two calls are the same: each is taken as its own.
        args = [
            hashed
            if (hashed := hashes[i * ARGS_BYTES : (i + 1) * ARGS_BYTES]) != NO_ARGS
            else bytes.fromhex(span_id) + position.to_bytes(8, "little")
            for i, (span_id, position) in enumerate(zip(span_ids, positions, strict=True))
        ]
        starts, tools, failed = zip(*self.brief(start, end), strict=True)
        agents = map(self.agent.words.__getitem__, self.agent.codes[start:end].tolist())
        return list(map(Call, starts, span_ids, positions, tools, args, failed, agents))


@dataclass(slots=True, eq=False)
class ModelCalls:
    """The model calls of one batch, sorted by run; `live` of them belong to runs that are remembered."""

    start_ns: NDArray[np.int64]
    tokens: NDArray[np.int64]
    cost_nano: NDArray[np.int64]
    live: int = 0

    def __len__(self) -> int:
        return len(self.start_ns)

    def calls(self, start: int, end: int) -> list[ModelCall]:
        """Some of them as objects."""
        columns = (self.start_ns, self.tokens, self.cost_nano)
        return list(map(ModelCall, *(column[start:end].tolist() for column in columns)))


AnyCalls = TypeVar("AnyCalls", ToolCalls, ModelCalls)
ToolPart = tuple[ToolCalls, int, int]
"""Calls of one run in one batch: batch, first row, end."""
ModelPart = tuple[ModelCalls, int, int]


class _Objects:
    """What was already made of the parts of a history, so that each is looked at once."""

    __slots__ = ("_calls", "_counted", "_failures", "_last", "_made", "_of_tools", "_tied")

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._made = 0
        self._of_tools = False
        self._failures = self._counted = 0
        self._last: dict[str, tuple[int, bool]] = {}
        self._tied = False

    def calls(self, parts: list[ToolPart], *, of_tools: bool) -> list[Call]:
        if of_tools != self._of_tools:
            self._calls, self._made, self._of_tools = [], 0, of_tools
        if self._made < len(parts):
            for batch, start, end in parts[self._made :]:
                self._calls += batch.calls(start, end)
            self._calls.sort()
            self._made = len(parts)
        return self._calls

    def retries(self, parts: list[ToolPart]) -> int | None:
        """Every failed call of a tool but the tool's last call; None where only the ids tell which was the last."""
        last = self._last
        for batch, start, end in parts[self._counted :]:
            for start_ns, tool, failed in batch.brief(start, end):
                self._failures += failed
                latest = last.get(tool)
                if latest is None or start_ns > latest[0]:
                    last[tool] = (start_ns, failed)
                elif start_ns == latest[0] and failed != latest[1]:
                    self._tied = True
        self._counted = len(parts)
        return None if self._tied else self._failures - sum(failed for _, failed in last.values())


@dataclass(slots=True)
class RunHistory:
    """What one run did, in parts of batches."""

    tools: list[ToolPart] = field(default_factory=list)
    requested: list[ToolPart] = field(default_factory=list)
    models: list[ModelPart] = field(default_factory=list)
    corrected: dict[str, ModelCall] = field(default_factory=dict)  # by span id: what to add to its model calls
    uncounted: set[str] = field(default_factory=set)  # spans whose answers ask for nothing, as a copy of them counts
    events: int = 0  # calls held
    _objects: _Objects = field(default_factory=_Objects)

    def calls(self) -> list[Call]:
        """The run's tool calls in order of start: its tool spans, else what its models asked for."""
        made = self._objects.calls(self.tools or self.requested, of_tools=bool(self.tools))
        if self.tools or not self.uncounted:
            return made
        return [call for call in made if call.span_id not in self.uncounted]

    def retries(self) -> int:
        """`count_retries` of the calls. What models asked for cannot fail."""
        told = self._objects.retries(self.tools)
        return count_retries(self.calls()) if told is None else told

    def model_calls(self) -> list[ModelCall]:
        """The run's model calls, and what corrects them: a superseded one stands there again, taken away."""
        calls = [call for batch, start, end in self.models for call in batch.calls(start, end)]
        return calls + list(self.corrected.values())

    def moved(self) -> None:
        """Its parts were joined, so they are looked at anew."""
        self._objects = _Objects()

    def parts(self) -> Iterator[ToolPart | ModelPart]:
        """All of it."""
        yield from self.tools
        yield from self.requested
        yield from self.models


def packed(parts: list[tuple[AnyCalls, int, int]]) -> AnyCalls:
    """The calls of some parts, one after the other, as a batch of their own."""
    batches: list[AnyCalls] = list({id(batch): batch for batch, _, _ in parts}.values())
    offsets = np.cumsum([0, *map(len, batches)]).tolist()
    offset = {id(batch): before for batch, before in zip(batches, offsets, strict=False)}
    first = np.array([offset[id(batch)] + start for batch, start, _ in parts])
    count = np.array([end - start for _, start, end in parts])
    rows = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
    columns: dict[str, Any] = {"live": len(rows)}
    for column in fields(batches[0]):
        values = [getattr(batch, column.name) for batch in batches]
        if isinstance(values[0], np.ndarray):
            columns[column.name] = np.concatenate(values)[rows]
        elif isinstance(values[0], Words):
            columns[column.name] = _packed_words(values, rows)
    return type(batches[0])(**columns)


def _packed_words(columns: list[Words], rows: NDArray[np.integer]) -> Words:
    place: dict[str, int] = {}
    codes = np.concatenate(
        [
            np.fromiter((place.setdefault(word, len(place)) for word in column.words), np.int32, len(column.words))[
                column.codes
            ]
            for column in columns
        ]
    )
    used, codes = np.unique(codes[rows], return_inverse=True)
    words = list(place)
    return Words(codes.astype(np.int32), [words[i] for i in used.tolist()])


def by_run(spans: Spans, rows: NDArray[np.integer]) -> tuple[NDArray[np.integer], list[Slice]]:
    """An order of the rows in which each run's stand together, and where."""
    if not len(rows):
        return np.empty(0, np.int64), []
    codes = spans.run[rows]
    order = np.argsort(codes, kind="stable")
    codes = codes[order]
    starts = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))
    first = rows[order[starts]]
    keys = zip(spans.tenant.take(first).tolist(), spans.trace.take(first).tolist(), strict=True)
    ends = [*starts[1:].tolist(), len(codes)]
    return order, list(zip(keys, spans.run_keys[codes[starts]].tolist(), starts.tolist(), ends, strict=True))


def model_calls(spans: Spans, usage: Usage) -> tuple[ModelCalls, list[Slice]]:
    """Own usage of a batch by run."""
    rows = np.flatnonzero(usage.own)
    order, slices = by_run(spans, rows)
    rows = rows[order]
    tokens = spans.input_tokens[rows] + spans.output_tokens[rows]
    return ModelCalls(spans.start_ns[rows], tokens, usage.cost_nano[rows]), slices


def tool_calls(spans: Spans) -> tuple[ToolCalls, NDArray[np.uint64], list[Slice]]:
    """Tool spans of a batch by run, and their fingerprints."""
    rows = np.flatnonzero(spans.op.isin(("execute_tool",)))
    order, slices = by_run(spans, rows)
    rows = rows[order]
    calls = ToolCalls(
        start_ns=spans.start_ns[rows],
        span=id_numbers(spans.span_id, rows),
        position=np.zeros(len(rows), np.int32),
        tool=spans.tool_name.take(rows),
        args=_args(spans.args_hash)[rows],
        failed=spans.error[rows],
        agent=spans.agent_name.take(rows),
    )
    return calls, _fingerprints(spans, rows, calls), slices


def requested_calls(spans: Spans, usage: Usage) -> tuple[ToolCalls, NDArray[np.uint64], list[Slice]]:
    """The tool calls that models asked for in their output messages, by run, and their fingerprints.

    Copies are among them, as they may yet be reinstated, but without a fingerprint.
    """
    asked = spans.otlp.column("output_messages.calls").flatten()
    counts = spans.requested_calls
    rows = np.repeat(np.arange(spans.rows), counts)
    position = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    keep = np.flatnonzero(spans.inference[rows])
    order, slices = by_run(spans, rows[keep])
    keep = keep[order]
    rows = rows[keep]
    calls = ToolCalls(
        start_ns=spans.start_ns[rows],
        span=id_numbers(spans.span_id, rows),
        position=position[keep].astype(np.int32),
        tool=Words.from_arrow(asked.field("name").dictionary_encode()).take(keep),
        args=_args(asked.field("args"))[keep],
        failed=np.zeros(len(rows), np.bool_),
        agent=spans.agent_name.take(rows),
    )
    return calls, np.where(usage.duplicate[rows], np.uint64(0), _fingerprints(spans, rows, calls)), slices


def copies_that_asked(spans: Spans, usage: Usage) -> list[tuple[RunKey, str]]:
    """Run and span id of the batch's duplicates that ask for tool calls."""
    rows = np.flatnonzero(usage.duplicate)
    rows = rows[spans.requested_calls[rows] > 0]
    runs = zip(spans.tenant.take(rows).tolist(), spans.trace.take(rows).tolist(), strict=True)
    return list(zip(runs, spans.span_id.take(pa.array(rows)).to_pylist(), strict=True))


def _args(hashes: pa.FixedSizeBinaryArray) -> NDArray[np.uint64]:
    """The two halves of each hash; 0 for none."""
    data = np.frombuffer(hashes.buffers()[1], np.uint64, 2 * len(hashes), hashes.offset * ARGS_BYTES)
    return data.reshape(-1, 2)


def _fingerprints(spans: Spans, rows: NDArray[np.integer], calls: ToolCalls) -> NDArray[np.uint64]:
    """A cheap mix of run, tool and arguments, equal for the same call of the same run and the same in every process.

    Equal ones are only a reason to look closer. 0 without arguments.
    """
    low = calls.args[:, 0]
    words = calls.tool.words
    names = np.fromiter((xxhash.xxh3_64_intdigest(word.encode()) for word in words), np.uint64, len(words))
    mixed = low ^ names[calls.tool.codes] ^ spans.run_keys[spans.run[rows]]
    return np.where(low == 0, np.uint64(0), mixed)
