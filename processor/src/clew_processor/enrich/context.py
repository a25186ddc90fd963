"""What each model call's window was made of, and which part of it had been read before.

A model counts tokens of its whole prompt; what share of them each block has (system instructions, tool definitions,
messages) is told from the blocks' lengths in bytes, so that the parts add up to the prompt exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from clew_processor.enrich.memory import Recent
from clew_processor.grouping import dense, sorting

if TYPE_CHECKING:
    import pyarrow as pa

    from clew_processor.enrich.pricing import PriceBook
    from clew_processor.normalise.spans import Spans

Int64s = NDArray[np.int64]

PARTS: Final = ("system", "tools", "user", "history", "tool_results")
"""What a window is made of; `history` is what the model itself said before."""
SYSTEM, TOOLS, USER, HISTORY, TOOL_RESULTS = range(len(PARTS))
_PART_OF_ROLE: Final = np.array([USER, SYSTEM, USER, HISTORY, TOOL_RESULTS], np.int64)
"""By the kernel's number of a role: none, system, user, assistant, tool."""
REREAD_S: Final = 3600.0
"""A block is known to have been read before for so long, or twice, after a call of the same run last had it."""
MAX_BLOCKS: Final = 3_000_000
"""Blocks in one of two generations: 64 MB together."""


@dataclass(frozen=True, slots=True)
class Context:
    """The windows of a batch's model calls, tokens per span (0 on other spans and where no content was recorded).

    Attributes:
        parts: one column for each of `PARTS`; where content was recorded they add up to the input tokens.
        repeated: in blocks that stand in the same window once before.
        reread: in blocks that an earlier call of the run had in its window too.
        window: the largest prompt the model takes, where that is known.
    """

    parts: Int64s  # (len(PARTS), spans)
    repeated: Int64s
    reread: Int64s
    window: Int64s


class ContextAccountant:
    """Says what windows are made of. Remembers which blocks each run has read."""

    def __init__(self, prices: PriceBook) -> None:
        self._prices = prices
        self._read = Recent(size=MAX_BLOCKS, keep_s=REREAD_S)

    def use(self, prices: PriceBook) -> None:
        """Takes the sizes of windows from there from the next batch on."""
        self._prices = prices

    def account(self, spans: Spans, duplicate: NDArray[np.bool_], now: int) -> Context:
        """The windows of a batch.

        Args:
            spans: the batch.
            duplicate: its copies of calls that count elsewhere: they have read nothing themselves.
            now: by the `ArrivalClock`.
        """
        self.forget(now)
        context = Context(
            parts=np.zeros((len(PARTS), spans.rows), np.int64),
            repeated=np.zeros(spans.rows, np.int64),
            reread=np.zeros(spans.rows, np.int64),
            window=self._windows(spans),
        )
        blocks = _Blocks.of(spans, spans.inference & ~duplicate & (spans.input_tokens > 0))
        if blocks is None:
            return context
        tokens = blocks.tokens(spans.input_tokens)
        np.add.at(context.parts.reshape(-1), blocks.part * spans.rows + blocks.row, tokens)
        seen = self._seen_before(spans, blocks)
        np.add.at(context.reread, blocks.row[seen.reread], tokens[seen.reread])
        np.add.at(context.repeated, blocks.row[seen.repeated], tokens[seen.repeated])
        return context

    def forget(self, now: int) -> None:
        """Forgets what was read longer ago (`ArrivalClock`)."""
        self._read.forget(now)

    def state(self) -> object:
        """What it remembers."""
        return self._read.state()

    def restore(self, state: Any) -> None:
        """Remembers that instead."""
        self._read.restore(state)

    def _windows(self, spans: Spans) -> Int64s:
        window = np.zeros(spans.rows, np.int64)
        rows = np.flatnonzero(spans.inference)
        if not len(rows):
            return window
        model = spans.response_model.otherwise(spans.request_model)
        pairs, of_row = np.unique(
            spans.provider.codes[rows].astype(np.int64) * len(model.words) + model.codes[rows], return_inverse=True
        )
        providers, models = spans.provider.words, model.words
        asked = [divmod(pair, len(models)) for pair in pairs.tolist()]
        sizes = [self._prices.context_window(providers[p], models[m]) or 0 for p, m in asked]
        window[rows] = np.array(sizes, np.int64)[of_row]
        return window

    def _seen_before(self, spans: Spans, blocks: _Blocks) -> _Seen:
        # Earlier means started earlier, so that a batch says the same in whatever order its spans came.
        place = np.empty(spans.rows, np.int32)
        place[np.argsort(spans.start_ns, kind="stable")] = np.arange(spans.rows, dtype=np.int32)
        order = sorting(place[blocks.row], spans.rows)
        row = blocks.row[order]
        key = blocks.key[order] ^ spans.run_keys[spans.run[row]]
        block, first = dense([key])
        in_window, once = dense([(block, len(first)), (row, spans.rows)])
        again = once[in_window] != np.arange(len(row))
        known = self._read.among(key[first])
        elsewhere = row != row[first][block]
        self._read.add(key[first])
        # Blocks without text (content that was left out before it was sent) are alike and need not be the same.
        told = blocks.size[order] > 0
        return _Seen(reread=order[(known[block] | elsewhere) & told], repeated=order[again & told])


@dataclass(frozen=True, slots=True)
class _Seen:
    """Numbers of blocks."""

    reread: Int64s
    repeated: Int64s


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The blocks of all windows of a batch, those of a span together."""

    row: Int64s
    part: Int64s
    size: Int64s
    key: NDArray[np.uint64]

    @classmethod
    def of(cls, spans: Spans, wanted: NDArray[np.bool_]) -> _Blocks | None:
        if not wanted.any():
            return None
        found = [
            _whole(spans.otlp, "system_hash", SYSTEM, wanted),
            _whole(spans.otlp, "tools_hash", TOOLS, wanted),
            _messages(spans.otlp, wanted),
        ]
        row, part, size, key = (np.concatenate(column) for column in zip(*found, strict=True))
        if not len(row):
            return None
        order = sorting(row, spans.rows)
        return cls(row[order], part[order], size[order], key[order])

    def tokens(self, input_tokens: Int64s) -> Int64s:
        """The share of each block in its span's tokens; those of a span add up to them exactly."""
        starts = np.flatnonzero(np.concatenate(([True], self.row[1:] != self.row[:-1])))
        count = np.diff(np.append(starts, len(self.row)))
        size = np.maximum(self.size, 1)
        upto = np.cumsum(size)
        before = np.repeat(upto[starts] - size[starts], count)
        total = np.repeat(np.add.reduceat(size, starts), count)
        whole = input_tokens[self.row].astype(np.float64)
        # Rounding where each block ends, not its length, keeps the sum; doubles are exact up to 2**53 tokens.
        end = np.rint((upto - before) / total * whole).astype(np.int64)
        begin = np.rint((upto - before - size) / total * whole).astype(np.int64)
        share: Int64s = end - begin
        return share


def _whole(
    otlp: pa.RecordBatch, name: str, part: int, wanted: NDArray[np.bool_]
) -> tuple[Int64s, Int64s, Int64s, NDArray[np.uint64]]:
    low = _low(otlp.column(name))
    size = otlp.column(f"{name}.bytes").to_numpy().astype(np.int64)
    row = np.flatnonzero(wanted & (low != 0))
    return row, np.full(len(row), part, np.int64), size[row], low[row]


def _messages(otlp: pa.RecordBatch, wanted: NDArray[np.bool_]) -> tuple[Int64s, Int64s, Int64s, NDArray[np.uint64]]:
    hashes = otlp.column("input_messages")
    if not len(hashes.values):
        none = np.zeros(0, np.int64)
        return none, none, none, none.view(np.uint64)
    row = np.repeat(np.arange(len(hashes)), np.diff(hashes.offsets.to_numpy()))
    keep = np.flatnonzero(wanted[row])
    role = otlp.column("input_messages.roles").flatten().to_numpy()[keep]
    size = otlp.column("input_messages.bytes").flatten().to_numpy()[keep].astype(np.int64)
    return row[keep], _PART_OF_ROLE[role], size, _low(hashes.flatten())[keep]


def _low(hashes: pa.FixedSizeBinaryArray) -> NDArray[np.uint64]:
    """Half of each 16-byte hash: enough to tell contents apart."""
    return np.frombuffer(hashes.buffers()[1], np.uint64, 2 * len(hashes), hashes.offset * 16)[::2]
