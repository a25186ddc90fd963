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
from clew_processor.pipeline import Pipeline
from clew_processor.sample.sampler import Sampler
from clew_processor.spool.request import Request
from shared.otlp import T0

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clew_processor.normalise.spans import Spans
    from clew_processor.write.store import Store

DIALECT = "otel_genai"
TENANT = "default"
KEY = b"0123456789abcdef"
#: When requests arrive unless told otherwise: a minute after T0.
ARRIVAL = T0 + 60 * 10**9

_PRICES = PriceBook()


class Recorder:
    """Stands where the store does and keeps what is inserted."""

    def __init__(self) -> None:
        self.tables: dict[str, list[pa.Table]] = defaultdict(list)

    def insert(self, table: str, rows: pa.Table, *, token: str, deadline_s: float) -> None:
        self.tables[table].append(rows)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Rows of all inserts so far."""
        return [row for rows in self.tables[table] for row in rows.to_pylist()]

    def copy_to(self, store: Store) -> None:
        """All inserts, each table's as one (aggregating tables give the same answer: that is what they are)."""
        for name, inserts in self.tables.items():
            store.insert(name, pa.concat_tables(inserts).combine_chunks(), token=f"copy:{name}", deadline_s=1)


def new_decoder(*, max_span_bytes: int = 1 << 24, days: int = 3650, refresh_s: int = 86_400) -> Decoder:
    return Decoder(
        dialect=DIALECT,
        content_key=KEY,
        content_refresh_s=refresh_s,
        max_span_bytes=max_span_bytes,
        window=TimeWindow(days, days),
    )


def new_pipeline(
    sink: Store | Recorder,
    *,
    probability: float = 1.0,
    settle_s: float = 600,
    metrics: Metrics | None = None,
    **decoder: int,
) -> Pipeline:
    return Pipeline(
        decoder=new_decoder(**decoder),
        normaliser=Normaliser(DIALECT),
        enricher=Enricher(_PRICES, settle_s=settle_s),
        sampler=Sampler(probability),
        store=sink,
        metrics=metrics or Metrics(),
        insert_deadline_s=1,
    )


def arrived(body: ExportTraceServiceRequest | bytes, *, tenant: str = TENANT, at: int = ARRIVAL) -> Request:
    """A request as the receiver hands it on."""
    return Request(body if isinstance(body, bytes) else body.SerializeToString(), tenant, at)


def decode(
    *bodies: ExportTraceServiceRequest, tenants: Sequence[str] = (), decoder: Decoder | None = None
) -> DecodedBatch:
    """One batch out of some requests."""
    owners = tenants or [TENANT] * len(bodies)
    return (decoder or new_decoder()).decode(
        [arrived(body, tenant=tenant) for body, tenant in zip(bodies, owners, strict=True)]
    )


def normalise(*bodies: ExportTraceServiceRequest, tenants: Sequence[str] = (), decoder: Decoder | None = None) -> Spans:
    """The canonical columns of some requests."""
    return Normaliser(DIALECT).normalise(decode(*bodies, tenants=tenants, decoder=decoder))


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
