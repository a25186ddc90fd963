"""What running runs have called so far, kept as slices of batches and looked at only when a run gets suspicious."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from clew_processor.enrich.streaks import Call, count_retries
from clew_processor.grouping import run_codes
from clew_processor.normalise.spans import INFERENCE_OPS
from clew_processor.words import Words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from clew_processor.enrich.calls import Superseded
    from clew_processor.enrich.usage import Usage
    from clew_processor.normalise.spans import Spans

RunKey = tuple[str, str]
"""Tenant and trace id."""
NO_ARGS = bytes(16)


class ModelCall(NamedTuple):
    """Own usage of one model call of a run; sorts by start."""

    start_ns: int
    tokens: int
    cost_nano: int


@dataclass
class ToolCalls:
    """The tool calls of one batch, sorted by run; `fingerprint` is equal for the same call of the same run."""

    start_ns: NDArray[np.int64]
    span_id: pa.StringArray
    position: NDArray[np.int64]
    tool: Words
    args: pa.FixedSizeBinaryArray
    failed: NDArray[np.bool_]
    agent: Words
    fingerprint: NDArray[np.uint64]

    def slice(self, start: int, end: int) -> list[Call]:
        """Rows start to end as calls."""
        return list(map(Call, *(column[start:end] for column in self._lists)))

    @cached_property
    def brief(self) -> tuple[list[int], list[str], list[bool]]:
        """Start, tool and failure of each call as Python objects."""
        return self.start_ns.tolist(), self.tool.tolist(), self.failed.tolist()

    @cached_property
    def _lists(self) -> tuple[list[Any], ...]:
        """The columns of `Call` as Python objects: made once, when the first run of the batch is looked at."""
        span_ids = self.span_id.to_pylist()
        positions = self.position.tolist()
        # Without recorded arguments nobody can tell whether two calls are the same: each is taken as its own.
        args = [
            hashed if hashed != NO_ARGS else bytes.fromhex(span_id) + position.to_bytes(8, "little")
            for hashed, span_id, position in zip(self.args.to_pylist(), span_ids, positions, strict=True)
        ]
        return (
            self.brief[0],
            span_ids,
            positions,
            self.brief[1],
            args,
            self.brief[2],
            self.agent.tolist(),
        )


@dataclass(slots=True)
class ModelCalls:
    """The model calls of one batch, sorted by run."""

    start_ns: NDArray[np.int64]
    tokens: NDArray[np.int64]
    cost_nano: NDArray[np.int64]

    def slice(self, start: int, end: int) -> list[ModelCall]:
        """Rows start to end as calls."""
        columns = (self.start_ns, self.tokens, self.cost_nano)
        return list(map(ModelCall, *(column[start:end].tolist() for column in columns)))


class ToolSlice:
    """The tool calls of one run in one batch; made into objects when somebody asks, and only once."""

    __slots__ = ("_batch", "_calls", "_end", "_start")

    def __init__(self, batch: ToolCalls, start: int, end: int) -> None:
        self._batch: ToolCalls | None = batch
        self._start = start
        self._end = end
        self._calls: list[Call] = []

    def __len__(self) -> int:
        return self._end - self._start

    def brief(self) -> Iterable[tuple[int, str, bool]]:
        """Start, tool and failure of each call."""
        if self._batch is None:
            return [(call.start_ns, call.tool, call.failed) for call in self._calls]
        return zip(*(column[self._start : self._end] for column in self._batch.brief), strict=True)

    def calls(self) -> list[Call]:
        """The calls; the batch they came in is let go."""
        if self._batch is not None:
            self._calls = self._batch.slice(self._start, self._end)
            self._batch = None
        return self._calls


@dataclass(slots=True)
class RunHistory:
    """What one run did, in slices of batches; model calls as (batch, first row, end)."""

    tools: list[ToolSlice] = field(default_factory=list)
    requested: list[ToolSlice] = field(default_factory=list)
    models: list[tuple[ModelCalls, int, int]] = field(default_factory=list)
    superseded: dict[str, ModelCall] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """Number of calls held."""
        calls = sum(map(len, self.tools)) + sum(map(len, self.requested))
        return calls + sum(end - start for _, start, end in self.models)

    def calls(self) -> list[Call]:
        """The run's tool calls in order of start: its tool spans, else what its models asked for."""
        if self.tools:
            return sorted(chain.from_iterable(part.calls() for part in self.tools))
        asked = chain.from_iterable(part.calls() for part in self.requested)
        return sorted(call for call in asked if call.span_id not in self.superseded)

    def retries(self) -> int:
        """`count_retries` of the calls without sorting them: every failed call of a tool but the tool's last call."""
        failures = 0
        last: dict[str, tuple[int, bool]] = {}
        for start_ns, tool, failed in chain.from_iterable(part.brief() for part in self.tools or self.requested):
            failures += failed
            latest = last.get(tool)
            if latest is None or start_ns > latest[0]:
                last[tool] = (start_ns, failed)
            elif start_ns == latest[0] and failed != latest[1]:  # which was the last? their ids tell
                return count_retries(self.calls())
        return failures - sum(failed for _, failed in last.values())

    def model_calls(self) -> list[ModelCall]:
        """The run's model calls in order of start; a superseded one stands there again, taken away."""
        calls = [call for batch, start, end in self.models for call in batch.slice(start, end)]
        return sorted(calls + list(self.superseded.values()))

    def supersede(self, gone: Superseded) -> None:
        """Takes back what a call added that is a copy now."""
        one = gone.contribution
        self.superseded[gone.span_id] = ModelCall(
            start_ns=int(one.end_ns[0] - one.duration_ns[0]),
            tokens=-int(one.input_tokens[0] + one.output_tokens[0]),
            cost_nano=-int(one.cost_nano[0]),
        )


def by_run(spans: Spans, rows: NDArray[np.integer]) -> tuple[NDArray[np.integer], list[tuple[RunKey, int, int]]]:
    """An order of the rows in which each run's stand together, and where: (run, first, end)."""
    if not len(rows):
        return np.empty(0, np.int64), []
    codes = run_codes(spans.tenant, spans.trace)[rows]
    order = np.argsort(codes, kind="stable")
    codes = codes[order]
    starts = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))
    first = rows[order[starts]]
    keys = zip(spans.tenant.take(first).tolist(), spans.trace.take(first).tolist(), strict=True)
    return order, list(zip(keys, starts.tolist(), [*starts[1:].tolist(), len(codes)], strict=True))


def model_calls(spans: Spans, usage: Usage) -> tuple[ModelCalls, list[tuple[RunKey, int, int]]]:
    """Own usage of a batch by run."""
    rows = np.flatnonzero(usage.own)
    order, slices = by_run(spans, rows)
    rows = rows[order]
    tokens = spans.input_tokens[rows] + spans.output_tokens[rows]
    return ModelCalls(spans.start_ns[rows], tokens, usage.cost_nano[rows]), slices


def tool_calls(spans: Spans) -> tuple[ToolCalls, list[tuple[RunKey, int, int]]]:
    """Tool spans of a batch by run."""
    rows = np.flatnonzero(spans.op.isin(("execute_tool",)))
    order, slices = by_run(spans, rows)
    rows = rows[order]
    return _tool_calls(
        spans,
        rows,
        np.zeros(len(rows), np.int64),
        spans.tool_name.take(rows),
        spans.args_hash.take(pa.array(rows)),
        spans.status.isin(("error",))[rows],
    ), slices


def requested_calls(spans: Spans, usage: Usage) -> tuple[ToolCalls, list[tuple[RunKey, int, int]]]:
    """The tool calls that models asked for in their output messages, by run."""
    column = spans.otlp.column("output_messages.calls")
    asked = column.flatten()
    counts = spans.requested_calls
    rows = np.repeat(np.arange(spans.rows), counts)
    position = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    keep = np.flatnonzero(spans.op.isin(INFERENCE_OPS)[rows] & ~usage.duplicate[rows])
    order, slices = by_run(spans, rows[keep])
    keep = keep[order]
    asked, rows = asked.take(pa.array(keep)), rows[keep]
    names = Words.from_arrow(asked.field("name").dictionary_encode())
    failed = np.zeros(len(rows), np.bool_)
    return _tool_calls(spans, rows, position[keep], names, asked.field("args"), failed), slices


def _tool_calls(
    spans: Spans,
    rows: NDArray[np.integer],
    position: NDArray[np.int64],
    tool: Words,
    args: pa.FixedSizeBinaryArray,
    failed: NDArray[np.bool_],
) -> ToolCalls:
    return ToolCalls(
        start_ns=spans.start_ns[rows],
        span_id=spans.span_id.take(pa.array(rows)),
        position=position,
        tool=tool,
        args=args,
        failed=failed,
        agent=spans.agent_name.take(rows),
        fingerprint=_fingerprints(spans, rows, tool, args),
    )


def _fingerprints(
    spans: Spans, rows: NDArray[np.integer], tool: Words, args: pa.FixedSizeBinaryArray
) -> NDArray[np.uint64]:
    """A cheap mix of run, tool and arguments; equal ones are only a reason to look closer. 0 without arguments."""
    low = np.frombuffer(args.buffers()[1], np.uint64)[args.offset * 2 : (args.offset + len(args)) * 2 : 2]
    names = np.fromiter(map(hash, tool.words), np.int64, len(tool.words)).view(np.uint64)
    traces = np.fromiter(map(hash, spans.trace.words), np.int64, len(spans.trace.words)).view(np.uint64)
    mixed = low ^ names[tool.codes] * np.uint64(0x9E3779B97F4A7C15) ^ traces[spans.trace.codes[rows]]
    return np.where(low == 0, np.uint64(0), mixed)
