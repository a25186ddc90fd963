"""The enrich stage: verdicts first, then the rows that do not depend on sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from clew_processor.enrich.context import Context, ContextAccountant
from clew_processor.enrich.corrections import correction_rows
from clew_processor.enrich.dialects import dialect_rows
from clew_processor.enrich.gates import gate_rows
from clew_processor.enrich.guess import guess_tokens
from clew_processor.enrich.loops import LoopChanges, LoopFinder, loop_rows
from clew_processor.enrich.memory import ArrivalClock
from clew_processor.enrich.open_spans import Opened, OpenSpans
from clew_processor.enrich.rollups import usage_rows
from clew_processor.enrich.usage import Usage, UsageAccountant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clew_processor.enrich.pricing import PriceBook
    from clew_processor.normalise.spans import Spans


@dataclass(frozen=True, slots=True)
class Enriched:
    """What enriching adds to a batch.

    Attributes:
        usage: scope and cost per span.
        loops: what changed in the loops of its runs.
        context: what the windows of its model calls were made of.
        usage_rows, gate_rows, loop_rows, correction_rows, dialect_rows: rows of those tables, exact whatever is
            sampled; None where there are none.
    """

    usage: Usage
    loops: LoopChanges
    context: Context
    usage_rows: pa.Table | None
    gate_rows: pa.Table | None
    loop_rows: pa.Table | None
    correction_rows: pa.Table | None
    dialect_rows: pa.Table | None


class Enricher:
    """Owns what is remembered between batches: recent calls, the calls of running runs, and which spans are open."""

    def __init__(self, prices: PriceBook, *, settle_s: float) -> None:
        self._usage = UsageAccountant(prices, settle_s=settle_s)
        self._loops = LoopFinder()
        self._context = ContextAccountant(prices)
        self._open = OpenSpans()
        self._clock = ArrivalClock()

    def use(self, prices: PriceBook) -> None:
        """Goes by these prices from the next batch on."""
        self._usage.use(prices)
        self._context.use(prices)

    def open_minutes(self) -> set[int]:
        """Minutes since the epoch in which a span ended whose cost or scope may still change."""
        return self._usage.open_minutes()

    def enrich(self, spans: Spans, *, version: int) -> Enriched:
        """The verdicts for a batch.

        Args:
            spans: the batch.
            version: greater than that of any earlier batch; orders later verdicts.
        """
        now = self._clock.advance(spans.arrival_ns)
        guess_tokens(spans)
        usage = self._usage.account(spans, now)
        loops = self._loops.find(spans, usage, now)
        context = self._context.account(spans, usage.duplicate, now)
        totals = [usage_rows(usage.contributions)] if usage.contributions.rows else []
        if usage.superseded:
            totals.append(usage_rows(usage.superseded.contributions, sign=-1))
        if usage.reinstated:
            totals.append(usage_rows(usage.reinstated.contributions))
        return Enriched(
            usage=usage,
            loops=loops,
            context=context,
            usage_rows=pa.concat_tables(totals).combine_chunks() if totals else None,
            gate_rows=gate_rows(spans),
            loop_rows=loop_rows(loops, version),
            correction_rows=correction_rows(usage.corrected, version),
            dialect_rows=dialect_rows(spans),
        )

    def open_spans(self, ended: Spans | None, started: Spans | None, over: NDArray[np.integer]) -> Opened:
        """Which spans opened and closed in a batch.

        Args:
            ended: its spans; None where there are none.
            started: its start records, likewise. One of both is there.
            over: rows of `started` whose end is known to have come before them.
        """
        batch = ended or started
        assert batch is not None
        return self._open.take(ended, started, over, self._clock.advance(batch.arrival_ns))

    def tick(self, arrival_ns: int) -> None:
        """Time passes without spans.

        Args:
            arrival_ns: what time it is, Unix ns, as batches tell it.
        """
        now = self._clock.advance(arrival_ns)
        self._usage.forget(now)
        self._loops.forget(now)
        self._context.forget(now)

    def state(self) -> object:
        """What is remembered between batches, to be pickled before the next one."""
        return {
            "clock": self._clock.state(),
            "usage": self._usage.state(),
            "loops": self._loops.state(),
            "context": self._context.state(),
            "open": self._open.state(),
        }

    def restore(self, state: Any) -> None:
        """Remembers that instead of what it does.

        Args:
            state: from `state`, in this process or another one.
        """
        self._clock.restore(state["clock"])
        self._usage.restore(state["usage"])
        self._loops.restore(state["loops"])
        self._context.restore(state["context"])
        self._open.restore(state["open"])
