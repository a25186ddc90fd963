"""The stages in order, for one batch after the other: the same state and batch give the same rows, in any process."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from clew_processor.decode.starts import split
from clew_processor.enrich.price_file import PriceFileError
from clew_processor.enrich.pricing import PriceBook
from clew_processor.enrich.runs import run_rows
from clew_processor.prices import Prices
from clew_processor.reprice import changes
from clew_processor.rules import Rules
from clew_processor.spool.record import Kind
from clew_processor.spool.request import Request, Signal
from clew_processor.state import packed, unpacked
from clew_processor.write.ledger import LedgerCounts
from clew_processor.write.rows import content_rows, log_rows, message_rows, span_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from clew_processor.control.metrics import Metrics
    from clew_processor.decode.decoder import DecodedBatch, Decoder
    from clew_processor.enrich.enricher import Enricher
    from clew_processor.normalise.normaliser import Normaliser
    from clew_processor.normalise.spans import Spans
    from clew_processor.sample.sampler import Sampler
    from clew_processor.spool.batches import Batch
    from clew_processor.spool.intake import Verdict
    from clew_processor.spool.record import Placed, Record

log = logging.getLogger(__name__)

UNDECODABLE, DAMAGED, FAILED = "undecodable", "damaged", "failed"
"""Reasons in ledger_1m: refused at the door; its record on disk was damaged; the stages could not process it."""
SPANS_FROM_LOGS = "spans_from_logs"
"""Signal in ledger_1m of spans that log records became: nobody sent them, so they are none of `traces`."""
STATE_FORMAT = 5
"""Raised when what stages remember changes its form: an older checkpoint is then not read."""


@dataclass(slots=True)
class StageSet:
    """The stages, and what they remember."""

    decoder: Decoder
    normaliser: Normaliser
    enricher: Enricher
    sampler: Sampler


@dataclass(slots=True)
class Processed:
    """What a batch becomes.

    Attributes:
        tables: rows by table, in the order in which they are written; the ledger's come last and from elsewhere.
        ledger: what became of its spans and log records.
        failed: requests that the stages could not process.
        retries: orders to try dead letters again.
        repriced: rows by table for each order that changes costs, by the position of the order.
    """

    tables: dict[str, pa.Table | None] = field(default_factory=dict)
    ledger: LedgerCounts = field(default_factory=LedgerCounts)
    failed: list[Placed] = field(default_factory=list)
    retries: list[Placed] = field(default_factory=list)
    repriced: dict[int, dict[str, pa.Table | None]] = field(default_factory=dict)


class Pipeline:
    """decode, normalise, enrich, sample, and the rows to write. One thread at a time."""

    def __init__(self, stages: Callable[[Rules], StageSet], rules: Rules, metrics: Metrics) -> None:
        """Remembers nothing yet.

        Args:
            stages: makes new ones.
            rules: in force unless the spool says otherwise.
            metrics: counts the time each takes.
        """
        self._new_stages = stages
        self._default = self._rules = rules
        self._prices: Prices | None = None
        self._book: PriceBook | None = None
        self._stages = self._made(rules)
        self._metrics = metrics
        self._version = 0

    def process(self, batch: Batch, excluded: Collection[int]) -> Processed:
        """See `spool.consumer.Stages`."""
        processed = Processed()
        requests: dict[Kind, list[Placed]] = {Kind.TRACES: [], Kind.LOGS: []}
        if batch.lost_spans > 0:
            processed.ledger.rejected("", DAMAGED, batch.lost_spans)
        for placed in batch.records:
            record = placed.record
            if placed.start in excluded:
                processed.ledger.dead(record.tenant, FAILED, record.spans, signal=record.kind.signal)
                processed.failed.append(placed)
            elif record.kind in (Kind.UNDECODABLE, Kind.UNDECODABLE_LOGS):
                processed.ledger.rejected(record.tenant, UNDECODABLE, record.spans, signal=record.kind.signal)
            elif record.kind is Kind.RETRY:
                processed.retries.append(placed)
            elif record.kind is Kind.RULES:
                self._adopt(record.body)
            elif record.kind is Kind.PRICES:
                self._adopt_prices(record.body)
            elif record.kind is Kind.REPRICE:
                self._reprice(placed, batch.arrival_ns, processed)
            else:
                requests[record.kind].append(placed)
        self._rows(requests, batch.arrival_ns, processed)
        return processed

    def tick(self, arrival_ns: int) -> None:
        """See `spool.consumer.Stages`."""
        self._stages.enricher.tick(arrival_ns)

    def culprits(self, batch: Batch) -> list[int]:
        """See `spool.consumer.Stages`."""
        found = []
        for placed in batch.records:
            if placed.record.kind not in (Kind.TRACES, Kind.LOGS):
                continue
            alone = Pipeline(self._new_stages, self._rules, self._metrics)
            alone._price_by(self._prices, self._book)
            try:
                alone._rows({placed.record.kind: [placed]}, batch.arrival_ns, Processed())
            except BaseException:  # the kernel's panics are no `Exception`
                found.append(placed.start)
        return found

    def state(self) -> list[bytes | memoryview]:
        """See `spool.consumer.Stages`."""
        return packed((STATE_FORMAT, self._version, self._rules, self._prices, self._remembered()))

    def restore(self, state: Sequence[bytes | memoryview] | None) -> None:
        """See `spool.consumer.Stages`."""
        self._forget()
        if state is None:
            return
        found = unpacked(state)
        if not isinstance(found, tuple) or found[0] != STATE_FORMAT:
            raise ValueError("it was written by another version")
        try:
            _, self._version, self._rules, prices, remembered = found
            self._stages = self._made(self._rules)
            if prices is not None:
                self._take_prices(prices)
            self._remember(remembered)
        except Exception as error:
            self._forget()
            raise ValueError(f"it is not what this version remembers: {error!r}") from error

    def _remembered(self) -> tuple[object, ...]:
        stages = self._stages
        return stages.decoder.state(), stages.enricher.state(), stages.sampler.state()

    def _remember(self, remembered: tuple[Any, ...]) -> None:
        decoder, enricher, sampler = remembered
        self._stages.decoder.restore(decoder)
        self._stages.enricher.restore(enricher)
        self._stages.sampler.restore(sampler)

    def _forget(self) -> None:
        self._version, self._rules = 0, self._default
        self._prices = self._book = None
        self._stages = self._made(self._rules)

    def _adopt(self, body: bytes | memoryview) -> None:
        try:
            rules = Rules.from_bytes(body)
        except ValueError as error:
            log.warning("%s: %s stays in force", error, self._rules)
            return
        if rules != self._rules:
            log.info("in force: %s", rules)
            remembered = self._remembered()
            self._rules, self._stages = rules, self._made(rules)
            self._remember(remembered)

    def _made(self, rules: Rules) -> StageSet:
        stages = self._new_stages(rules)
        if self._book is not None:
            stages.enricher.use(self._book)
        return stages

    def _adopt_prices(self, body: bytes | memoryview) -> None:
        try:
            prices = Prices.from_bytes(body)
        except ValueError as error:
            log.warning("%s: those before stay in force", error)
            return
        self._take_prices(prices)

    def _take_prices(self, prices: Prices) -> None:
        if prices == self._prices:
            return
        try:
            book = PriceBook(prices)
        except PriceFileError as error:  # a form that this version does not know
            log.warning("prices: %s: those before stay in force", error)
            return
        if book.version == prices.version:
            log.info("prices in force: %s", book.version)
        else:
            log.warning("prices: %s were in force, of which %s is left", prices.version, book.version)
        self._price_by(prices, book)

    def _price_by(self, prices: Prices | None, book: PriceBook | None) -> None:
        self._prices, self._book = prices, book
        if book is not None:
            self._stages.enricher.use(book)

    def open_minutes(self) -> set[int]:
        """Minutes since the epoch in which a call ended whose verdict may still change."""
        return self._stages.enricher.open_minutes()

    def _reprice(self, placed: Placed, arrival_ns: int, processed: Processed) -> None:
        try:
            found = changes.from_bytes(placed.record.body)
        except ValueError as error:
            log.warning("%s: costs stay as they are", error)
            return
        if found.num_rows:
            processed.repriced[placed.start] = changes.rows(
                found, version=self._next_version(arrival_ns), arrival_ns=arrival_ns
            )

    def _next_version(self, arrival_ns: int) -> int:
        self._version = max(self._version + 1, arrival_ns)
        return self._version

    def _rows(self, requests: Mapping[Kind, Sequence[Placed]], arrival_ns: int, processed: Processed) -> None:
        arrivals = [_Arrival.of(placed.record) for placed in requests.get(Kind.TRACES, ())]
        if logs := requests.get(Kind.LOGS):
            arrivals += self._log_rows([_Arrival.of(placed.record) for placed in logs], arrival_ns, processed)
        if arrivals:
            self._span_rows(arrivals, arrival_ns, processed)

    def _log_rows(self, arrivals: Sequence[_Arrival], arrival_ns: int, processed: Processed) -> list[_Arrival]:
        """What became spans."""
        with self._metrics.stage("decode"):
            batch = self._stages.decoder.decode_logs([arrival.request for arrival in arrivals], arrival_ns)
        _count_verdicts(batch.verdicts, arrivals, processed.ledger)
        for arrival, verdict in zip(arrivals, batch.verdicts, strict=True):
            processed.ledger.stored(arrival.request.tenant, verdict.spans, signal=Signal.LOGS)
        with self._metrics.stage("write"):
            processed.tables |= {
                "span_contents": content_rows(batch),
                "span_messages": message_rows(batch, version=arrival_ns),
                "otel_logs": log_rows(batch),
            }
        return [_Arrival(request, SPANS_FROM_LOGS, 1) for request in batch.spans]

    def _span_rows(self, arrivals: Sequence[_Arrival], arrival_ns: int, processed: Processed) -> None:
        stages = self._stages
        with self._metrics.stage("decode"):
            batch = stages.decoder.decode([arrival.request for arrival in arrivals], arrival_ns)
        _count_verdicts(batch.verdicts, arrivals, processed.ledger)
        self._metrics.count_resends(late=sum(verdict.late for verdict in batch.verdicts), forgotten=batch.forgotten)
        if not batch.spans.num_rows:
            return
        signals = [arrival.signal for arrival in arrivals]
        version = self._next_version(arrival_ns)
        contents = _together(processed.tables.get("span_contents"), content_rows(batch))
        spans, started, over = self._normalised(batch)
        with self._metrics.stage("enrich"):
            opened = stages.enricher.open_spans(spans, started, over)
        processed.tables["span_contents"] = contents
        if started is not None:
            processed.ledger.opened(started, signals)
        if spans is None:
            processed.tables |= {"run_deltas": opened.runs, "open_span_marks": opened.marks}
            return
        with self._metrics.stage("enrich"):
            enriched = stages.enricher.enrich(spans, version=version)
        self._metrics.count_late_duplicates(enriched.usage.late_duplicates)
        with self._metrics.stage("sample"):
            sample = stages.sampler.sample(spans, enriched.loops)
        with self._metrics.stage("enrich"):
            runs = run_rows(spans, enriched.usage, enriched.loops, sample.kept)
        processed.ledger.taken(spans, sample, signals)
        with self._metrics.stage("write"):
            processed.tables |= {
                "gates": enriched.gate_rows,
                "loop_versions": enriched.loop_rows,
                "span_corrections": enriched.correction_rows,
                "usage_1m": enriched.usage_rows,
                "dialects": enriched.dialect_rows,
                "run_deltas": _together(runs, opened.runs),
                "otel_traces": span_rows(spans, enriched.usage, enriched.context, sample),
                "open_span_marks": opened.marks,  # last: a span is open until it is there as one that ended
            }

    def _normalised(self, batch: DecodedBatch) -> tuple[Spans | None, Spans | None, NDArray[np.integer]]:
        """Spans that ended, start records, and rows of the latter whose span had ended before; None for none."""
        normalise = self._stages.normaliser.normalise
        with self._metrics.stage("normalise"):
            if not len(batch.start_rows):
                return normalise(batch), None, batch.ended_rows
            ended, started = split(batch)
            return normalise(ended) if ended.spans.num_rows else None, normalise(started), started.ended_rows


def _together(one: pa.Table | None, other: pa.Table | None) -> pa.Table | None:
    """Rows of one table."""
    if one is None or other is None:
        return one or other
    return pa.concat_tables([one, other]).unify_dictionaries()


class _Arrival(NamedTuple):
    """A request of a batch, what it counts as in the ledger, and how many it counts for if it cannot be decoded."""

    request: Request
    signal: str
    weight: int

    @classmethod
    def of(cls, record: Record) -> _Arrival:
        signal = record.kind.signal
        return cls(Request(record.body, record.tenant, record.arrival_ns, signal), signal, record.spans)


def _count_verdicts(verdicts: Sequence[Verdict], arrivals: Sequence[_Arrival], ledger: LedgerCounts) -> None:
    for arrival, verdict in zip(arrivals, verdicts, strict=True):
        tenant, signal = arrival.request.tenant, arrival.signal
        if verdict.error is not None:  # the door thought otherwise; it cannot be, but must not be lost
            ledger.rejected(tenant, UNDECODABLE, arrival.weight, signal=signal)
        for reason, rejected in verdict.rejected:
            ledger.rejected(tenant, reason, rejected, signal=signal)
