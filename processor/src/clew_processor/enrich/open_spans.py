"""Which spans are open: told by their start records, until their end comes.

Whatever the order in which start records and ends come, and in whatever batches, the same spans are open after them:
an end that came before is known to the kernel (`DecodedBatch.ended_rows`), one that comes with it is looked for here,
and for one that comes later the span is remembered. Rows are written for remembered spans only: one for each of its
start records (the first opens it, later ones say that it is still open), and one that outweighs them when it closes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from clew_processor.arrow import milliseconds, timestamps
from clew_processor.enrich.ids import id_numbers, id_texts
from clew_processor.enrich.runs import SumsOfRuns, opened_rows, sum_rows
from clew_processor.grouping import Groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.normalise.spans import Spans
    from clew_processor.words import Words

KEPT_S = 7 * 86_400
"""A span nobody has heard of for so long is not shown as open any more: its process is gone, or its end was lost."""
MOST = 250_000
"""Open spans remembered at most; beyond it those not heard of for the longest are shown no more."""
_FEW = 4096
"""While no more are open, spans of runs without an open one are not even looked up."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a batch changes: rows of `open_span_marks` and of `run_deltas`, None where there are none."""

    marks: pa.Table | None = None
    runs: pa.Table | None = None


@dataclass(frozen=True, slots=True)
class _Open:
    """Spans that are open, in order of `key`.

    Attributes:
        key: tells a span from all others.
        run: key of its run.
        span: its id, as a number.
        started_ns: as its start record says, Unix ns.
        heard: when its last start record came (`ArrivalClock`).
        records: how many start records there are rows of.
        in_runs: it counts as open in its run.
        trace: its trace id.
        tenant: whose it is.
    """

    key: NDArray[np.uint64]
    run: NDArray[np.uint64]
    span: NDArray[np.uint64]
    started_ns: NDArray[np.int64]
    heard: NDArray[np.int64]
    records: NDArray[np.int64]
    in_runs: NDArray[np.bool_]
    trace: NDArray[np.bytes_]
    tenant: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.key)

    def chosen(self, rows: NDArray[Any]) -> _Open:
        return _Open(*(getattr(self, column)[rows] for column in _COLUMNS))

    def and_(self, other: _Open) -> _Open:
        both = [np.concatenate([getattr(self, column), getattr(other, column)]) for column in _COLUMNS]
        order = np.argsort(both[0], kind="stable")
        return _Open(*(column[order] for column in both))

    def told_again(self, rows: NDArray[np.int64], now: int) -> _Open:
        """The same after one more start record for each of these rows."""
        heard, records = self.heard.copy(), self.records.copy()
        heard[rows] = now
        records[rows] += 1
        return replace(self, heard=heard, records=records)

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The row of each key, -1 where it is not there."""
        if not len(self):
            return np.full(len(keys), -1)
        rows = np.minimum(np.searchsorted(self.key, keys), len(self) - 1)
        return np.where(self.key[rows] == keys, rows, -1)


_COLUMNS = tuple(column.name for column in fields(_Open))


def _none() -> _Open:
    number, time = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    return _Open(number, number, number, time, time, time, np.zeros(0, np.bool_), np.zeros(0, "S32"), np.zeros(0, "U1"))


class OpenSpans:
    """Remembers the open spans. What it remembers has the size of what is open, whatever else comes."""

    def __init__(self) -> None:
        self._open = _none()
        self._runs: NDArray[np.uint64] | None = None

    def take(self, ended: Spans | None, started: Spans | None, over: NDArray[np.integer], now: int) -> Opened:
        """What a batch changes.

        Args:
            ended: spans of the batch that ended.
            started: its start records.
            over: those rows of `started` whose end came in an earlier batch or before them.
            now: by the `ArrivalClock`.
        """
        if not len(self._open) and started is None:
            return Opened()
        arrival_ns = (started or ended).arrival_ns  # type: ignore[union-attr]
        closed = self._ended(ended)
        news = _Records.of(started, over, ended, now) if started is not None else None
        known = self._open.find(news.open.key) if news else np.zeros(0, np.int64)
        spans = self._open.told_again(known[known >= 0], now) if news else self._open
        closed |= spans.heard < now - KEPT_S * 10**9
        if not news and not closed.any():
            return Opened()
        gone, left = spans.chosen(closed), spans.chosen(~closed)
        if news:
            left = left.and_(news.open.chosen(known < 0))
        if len(left) > MOST:
            last = np.argsort(-left.heard, kind="stable")
            kept = np.zeros(len(left), np.bool_)
            kept[last[:MOST]] = True
            gone, left = gone.and_(left.chosen(~kept)), left.chosen(kept)
        self._keep(left)
        return Opened(_marks(news, gone, arrival_ns), _runs(news, known, gone, arrival_ns))

    def state(self) -> object:
        """What it remembers."""
        return tuple(getattr(self._open, column) for column in _COLUMNS)

    def restore(self, state: Any) -> None:
        """Remembers that instead."""
        self._keep(_Open(*state))

    def _keep(self, spans: _Open) -> None:
        self._open = spans
        self._runs = np.unique(spans.run) if len(spans) <= _FEW else None

    def _ended(self, spans: Spans | None) -> NDArray[np.bool_]:
        """Which of the open spans end here."""
        ended = np.zeros(len(self._open), np.bool_)
        if spans is not None and len(self._open):
            rows = self._open.find(_keys_in(spans, self._runs))
            ended[rows[rows >= 0]] = True
        return ended


@dataclass(frozen=True, slots=True)
class _Records:
    """Start records of spans that may be open, one for each span.

    Attributes:
        spans: the batch's.
        rows: of these.
        open: what is to be remembered of each, in the same order.
    """

    spans: Spans
    rows: NDArray[np.int64]
    open: _Open

    @classmethod
    def of(cls, spans: Spans, over: NDArray[np.integer], ended: Spans | None, now: int) -> _Records | None:
        key = _keys(spans, np.arange(spans.rows))
        is_over = np.isin(key, key[over])
        if ended is not None:
            is_over |= np.isin(key, _keys_in(ended, np.unique(spans.run_keys)))
        key, rows = np.unique(key, return_index=True)
        still = ~is_over[rows]
        key, rows = key[still], rows[still]
        if not len(rows):
            return None
        return cls(
            spans,
            rows,
            _Open(
                key=key,
                run=spans.run_keys[spans.run[rows]],
                span=id_numbers(spans.span_id, rows),
                started_ns=spans.start_ns[rows],
                heard=np.full(len(rows), now),
                records=np.ones(len(rows), np.int64),
                in_runs=spans.known[rows],
                trace=np.array(spans.trace.take(rows).tolist(), "S32"),
                tenant=np.array(spans.tenant.take(rows).tolist(), np.str_),
            ),
        )


def _keys(spans: Spans, rows: NDArray[np.integer]) -> NDArray[np.uint64]:
    keys: NDArray[np.uint64] = spans.span_key[rows] ^ spans.run_keys[spans.run[rows]]
    return keys


def _keys_in(spans: Spans, runs: NDArray[np.uint64] | None) -> NDArray[np.uint64]:
    """Keys of the spans that are in one of these runs, which are in order; of all where they are None."""
    if runs is None:
        return _keys(spans, np.arange(spans.rows))
    if not len(runs):
        return np.zeros(0, np.uint64)
    place = np.minimum(np.searchsorted(runs, spans.run_keys), len(runs) - 1)
    return _keys(spans, np.flatnonzero((runs[place] == spans.run_keys)[spans.run]))


def _marks(news: _Records | None, gone: _Open, arrival_ns: int) -> pa.Table | None:
    tables = []
    if news:
        tables.append(_of_records(news, arrival_ns))
    if len(gone):
        tables.append(_of_gone(gone, arrival_ns))
    return pa.concat_tables(tables).combine_chunks() if tables else None


def _of_records(news: _Records, arrival_ns: int) -> pa.Table:
    spans, rows = news.spans, news.rows
    chosen = pa.array(rows)

    def text(words: Words) -> pa.Array:
        return pa.array(words.take(rows).tolist(), pa.utf8())

    return pa.table(
        {
            "tenant_id": text(spans.tenant),
            "trace_id": text(spans.trace),
            "span_id": spans.span_id.take(chosen),
            "parent_span_id": spans.parent_span_id.take(chosen),
            "name": spans.otlp.column("SpanName").take(chosen).cast(pa.utf8()),
            "op": text(spans.op),
            "agent_name": text(spans.agent_name),
            "service_name": text(spans.service),
            "conversation_id": text(spans.conversation_id),
            "user_id": text(spans.user_id),
            "tool_name": text(spans.tool_name),
            "args_hash": spans.args_hash.take(chosen),
            "step_kind": text(spans.step_kind),
            "gate_name": text(spans.gate_name),
            "gate_kind": text(spans.gate_kind),
            "started_at": timestamps(spans.start_ns[rows]),
            "last_seen_at": milliseconds(arrival_ns, len(rows)),
            "open": pa.array(np.ones(len(rows), np.int64)),
        }
    )


def _of_gone(gone: _Open, arrival_ns: int) -> pa.Table:
    count = len(gone)
    empty = pa.array([""] * count, pa.utf8())
    return pa.table(
        {
            "tenant_id": pa.array(gone.tenant.tolist(), pa.utf8()),
            "trace_id": pa.array([trace.decode() for trace in gone.trace.tolist()], pa.utf8()),
            "span_id": pa.array(id_texts(gone.span), pa.utf8()),
            **dict.fromkeys(("parent_span_id", "name", "op", "agent_name", "service_name", "conversation_id"), empty),
            **dict.fromkeys(("user_id", "tool_name"), empty),
            "args_hash": pa.array([bytes(16)] * count, pa.binary(16)),
            **dict.fromkeys(("step_kind", "gate_name", "gate_kind"), empty),
            "started_at": timestamps(gone.started_ns),
            "last_seen_at": milliseconds(arrival_ns, count),
            "open": pa.array(-gone.records),
        }
    )


def _runs(news: _Records | None, known: NDArray[np.int64], gone: _Open, arrival_ns: int) -> pa.Table | None:
    tables = []
    if news and (shown := news.open.in_runs).any():
        tables.append(opened_rows(news.spans, news.rows[shown], known[shown] < 0))
    counted = gone.chosen(gone.in_runs)
    if len(counted):
        groups = Groups([counted.run])
        sums = SumsOfRuns(
            tenants=counted.tenant[groups.first].tolist(),
            traces=[trace.decode() for trace in counted.trace[groups.first].tolist()],
            ints={"open_spans": -groups.sum(np.ones(len(counted), np.int64))},
            money={},
        )
        tables.append(sum_rows(arrival_ns, sums))
    return pa.concat_tables(tables).combine_chunks() if tables else None
