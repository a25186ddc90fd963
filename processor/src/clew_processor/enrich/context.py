"""What each model call's window was made of, and which part of it had been read before.

A model counts tokens of its whole prompt; what share of them each block has (system instructions, tool definitions,
messages) is told from the blocks' lengths in bytes, so that the parts add up to the prompt exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import clew_kernel
import numpy as np
from numpy.typing import NDArray

from clew_processor.enrich.memory import Recent
from clew_processor.grouping import Groups

if TYPE_CHECKING:
    import pyarrow as pa

    from clew_processor.enrich.pricing import PriceBook
    from clew_processor.normalise.spans import Spans

Int64s = NDArray[np.int64]

PARTS: Final = ("system", "tools", "user", "history", "tool_results")
"""What a window is made of; `history` is what the model itself said before. In the kernel's order."""
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

    parts: tuple[Int64s, ...]
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
        otlp = spans.otlp
        messages = otlp.column("input_messages")
        columns, read = clew_kernel.windows(
            system=_single(otlp, "system_hash"),
            tools=_single(otlp, "tools_hash"),
            messages=_contents(messages.flatten(), otlp.column("input_messages.bytes").flatten()),
            roles=otlp.column("input_messages.roles").flatten().to_numpy(),
            counts=np.diff(messages.offsets.to_numpy()).astype(np.uint32),
            tokens=np.where(spans.inference & ~duplicate, spans.input_tokens, 0),
            start_ns=spans.start_ns,
            run=spans.run_keys[spans.run],
            known=self._read.generations,
        )
        self._read.add(np.frombuffer(read, np.uint64))
        *parts, repeated, reread = (np.frombuffer(column, np.int64) for column in columns)
        return Context(tuple(parts), repeated, reread, self._windows(spans))

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
        model = spans.response_model.otherwise(spans.request_model)
        calls = Groups([spans.provider, model], among=spans.inference)
        pairs = zip(spans.provider.take(calls.first).tolist(), model.take(calls.first).tolist(), strict=True)
        sizes = [self._prices.context_window(provider, name) or 0 for provider, name in pairs]
        return np.array([*sizes, 0], np.int64)[calls.of_row]


def _contents(hashes: pa.FixedSizeBinaryArray, size: pa.UInt32Array) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    if not len(hashes):  # there may be no buffer at all
        return np.zeros(0, np.uint64), np.zeros(0, np.uint32)
    halves = np.frombuffer(hashes.buffers()[1], np.uint64, 2 * len(hashes), hashes.offset * 16)
    return halves, size.to_numpy()


def _single(otlp: pa.RecordBatch, name: str) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    return _contents(otlp.column(name), otlp.column(f"{name}.bytes"))
