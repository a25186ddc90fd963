"""The stages of the processor in this process, for tests: real kernel, real stages, a sink of choice."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_processor.control.metrics import Metrics
from clew_processor.decode.decoder import DecodedBatch, Decoder, TimeWindow
from clew_processor.enrich.enricher import Enricher
from clew_processor.enrich.pricing import PriceBook
from clew_processor.normalise.normaliser import Normaliser
from clew_processor.pipeline import Pipeline, StageSet
from clew_processor.rules import Rules
from clew_processor.sample.sampler import Sampler
from clew_processor.spool.batches import Batch
from clew_processor.spool.record import Kind, Placed, Record
from clew_processor.spool.request import Request, Signal
from clew_processor.write.partitions import cut
from shared.otlp import T0

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    from clew_processor.normalise.spans import Spans
    from clew_processor.write.store import Store

TENANT = "default"
KEY = b"0123456789abcdef"
#: When requests arrive unless told otherwise: a minute after T0.
ARRIVAL = T0 + 60 * 10**9

_PRICES = PriceBook()


class Recorder:
    """Stands where the store does and keeps what is inserted."""

    def __init__(self) -> None:
        self.tables: dict[str, list[pa.Table]] = defaultdict(list)

    def put(self, table: str, rows: pa.Table, *, token: str) -> None:
        self.tables[table].append(rows)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Rows of all inserts so far."""
        return [row for rows in self.tables[table] for row in rows.to_pylist()]

    def copy_to(self, store: Store) -> None:
        """All inserts, each table's as one (aggregating tables give the same answer: that is what they are)."""
        for name, inserts in self.tables.items():
            for partition, rows in cut(name, pa.concat_tables(inserts).combine_chunks()):
                store.put(name, rows, token=f"copy:{name}:{partition}")


def new_decoder(
    *, max_span_bytes: int = 1 << 24, days: int = 3650, refresh_s: int = 86_400, resend_horizon_s: int = 0
) -> Decoder:
    return Decoder(
        content_key=KEY,
        content_refresh_s=refresh_s,
        max_span_bytes=max_span_bytes,
        window=TimeWindow(days, days),
        resend_horizon_s=resend_horizon_s,
    )


def new_stages(*, probability: float = 1.0, settle_s: float = 600, **decoder: int) -> StageSet:
    return StageSet(
        decoder=new_decoder(**decoder),
        normaliser=Normaliser(),
        enricher=Enricher(_PRICES, settle_s=settle_s),
        sampler=Sampler(probability),
    )


#: In force wherever a test does not care.
RULES = Rules(
    version="test",
    probability=1.0,
    settle_s=600,
    span_bytes=1 << 24,
    past_days=3650,
    future_days=3650,
    content_refresh_s=86_400,
    resend_horizon_s=0,
)


class DirectPipeline:
    """The stages without a spool: a list of requests is a batch, its rows go straight to the sink."""

    def __init__(self, sink: Store | Recorder, metrics: Metrics, stages: Callable[[], StageSet]) -> None:
        self._sink = sink
        self._metrics = metrics
        self._pipeline = Pipeline(lambda _: stages(), RULES, metrics)
        self._position = 0

    def restart(self) -> None:
        """New stages go on with what these remember."""
        self._pipeline.restore(self._pipeline.state())

    def process(self, requests: Sequence[Request]) -> None:
        batch = batch_of(requests, start=self._position)
        self._position = batch.end
        processed = self._pipeline.process(batch, excluded=())
        ledger = processed.ledger.rows(batch.arrival_ns)
        for name, rows in (*processed.tables.items(), ("ledger_1m", ledger)):
            if rows is not None and rows.num_rows:
                for partition, block in cut(name, rows):
                    self._sink.put(name, block, token=f"{batch.id}:{name}:{partition}")
        self._metrics.ledger.settle(ledger, 0)


def batch_of(requests: Sequence[Request], *, start: int = 0) -> Batch:
    """Requests as a batch read from the spool, closed when the last of them arrived."""
    records = [
        Placed(Record(Kind.of(one.signal), one.arrival_ns, one.tenant, 1, one.body), at, at + 1, at)
        for at, one in enumerate(requests, start)
    ]
    end = start + len(requests)
    return Batch(
        id=f"test-{start}-{end}",
        start=start,
        end=end,
        arrival_ns=max(one.arrival_ns for one in requests),
        records=records,
        spans_after=end,
        lost_spans=0,
    )


def new_pipeline(sink: Store | Recorder, *, metrics: Metrics | None = None, **stages: float) -> DirectPipeline:
    return DirectPipeline(sink, metrics or Metrics(), lambda: new_stages(**stages))


def arrived(body: ExportTraceServiceRequest | bytes, *, tenant: str = TENANT, at: int = ARRIVAL) -> Request:
    """A request as the receiver hands it on."""
    return Request(body if isinstance(body, bytes) else body.SerializeToString(), tenant, at)


def arrived_logs(body: ExportLogsServiceRequest | bytes, *, tenant: str = TENANT, at: int = ARRIVAL) -> Request:
    """The same of log records."""
    return Request(body if isinstance(body, bytes) else body.SerializeToString(), tenant, at, Signal.LOGS)


def decode(
    *bodies: ExportTraceServiceRequest, tenants: Sequence[str] = (), decoder: Decoder | None = None
) -> DecodedBatch:
    """One batch out of some requests."""
    owners = tenants or [TENANT] * len(bodies)
    return (decoder or new_decoder()).decode(
        [arrived(body, tenant=tenant) for body, tenant in zip(bodies, owners, strict=True)], ARRIVAL
    )


def normalise(*bodies: ExportTraceServiceRequest, tenants: Sequence[str] = (), decoder: Decoder | None = None) -> Spans:
    """The canonical columns of some requests."""
    return Normaliser().normalise(decode(*bodies, tenants=tenants, decoder=decoder))


def one_by_one(bodies: Iterable[ExportTraceServiceRequest]) -> list[ExportTraceServiceRequest]:
    """Each span as a request of its own, under the resource and scope it came with."""
    single = []
    for body in bodies:
        for resource in body.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    alone = ExportTraceServiceRequest()
                    group = alone.resource_spans.add(resource=resource.resource, schema_url=resource.schema_url)
                    group.scope_spans.add(scope=scope.scope, schema_url=scope.schema_url, spans=[span])
                    single.append(alone)
    return single
