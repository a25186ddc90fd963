"""The enrich stage: verdicts first, then the rows that do not depend on sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from clew_processor.enrich.gates import gate_rows
from clew_processor.enrich.loops import LoopChanges, LoopFinder, loop_rows
from clew_processor.enrich.rollups import usage_rows
from clew_processor.enrich.usage import Usage, UsageAccountant

if TYPE_CHECKING:
    from clew_processor.enrich.pricing import PriceBook
    from clew_processor.normalise.spans import Spans


@dataclass(frozen=True, slots=True)
class Enriched:
    """What enriching adds to a batch.

    Attributes:
        usage: scope and cost per span.
        loops: what changed in the loops of its runs.
        usage_rows, gate_rows, loop_rows: rows of those tables, exact whatever is sampled; None where there are none.
    """

    usage: Usage
    loops: LoopChanges
    usage_rows: pa.Table | None
    gate_rows: pa.Table | None
    loop_rows: pa.Table | None


class Enricher:
    """Owns what is remembered between batches: recent calls and the calls of running runs."""

    def __init__(self, prices: PriceBook, *, settle_s: float) -> None:
        self._usage = UsageAccountant(prices, settle_s=settle_s)
        self._loops = LoopFinder()

    def enrich(self, spans: Spans, *, version: int) -> Enriched:
        """The verdicts for a batch.

        Args:
            spans: the batch.
            version: greater than that of any earlier batch; orders later verdicts.
        """
        usage = self._usage.account(spans)
        loops = self._loops.find(spans, usage)
        totals = [usage_rows(usage.contributions)] if usage.contributions.rows else []
        totals += [usage_rows(gone.contribution, sign=-1) for gone in usage.superseded]
        return Enriched(
            usage=usage,
            loops=loops,
            usage_rows=pa.concat_tables(totals).combine_chunks() if totals else None,
            gate_rows=gate_rows(spans),
            loop_rows=loop_rows(loops, version),
        )
