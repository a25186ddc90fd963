"""Wires the processor together; the only file that knows all parts."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware

from clew_processor.control.directory import content_key, held
from clew_processor.control.health import Health, Stage
from clew_processor.control.metrics import Metrics
from clew_processor.decode.decoder import Decoder, TimeWindow
from clew_processor.enrich.enricher import Enricher
from clew_processor.enrich.pricing import PriceBook
from clew_processor.errors import StartError
from clew_processor.normalise.normaliser import Normaliser
from clew_processor.pipeline import Pipeline
from clew_processor.query.app import query_app
from clew_processor.query.passthrough import passthrough_app
from clew_processor.receiver.grpc import GrpcReceiver
from clew_processor.receiver.http import http_app
from clew_processor.receiver.listen import address_of, listening
from clew_processor.sample.sampler import Sampler
from clew_processor.spool.intake import Intake, IntakeLimits
from clew_processor.write.schema import Retention, apply_schema
from clew_processor.write.store import open_store, parse_dsn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.applications import Starlette

    from clew_processor.config import Settings
    from clew_processor.control.directory import Hold
    from clew_processor.write.store import Store

log = logging.getLogger(__name__)

DIALECT = "otel_genai"
SECONDS_PER_DAY = 86_400
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
INSERT_DEADLINE_S = 6.0
"""A stock Python exporter waits 10 s in all; a refusal has to reach it before."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the processor listens, as HOST:PORT with the real ports."""

    grpc: str
    http: str
    query: str


class _HttpServer(uvicorn.Server):
    """uvicorn inside our event loop: signals are ours, the socket is bound before it starts."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(settings: Settings, announce: Callable[[Addresses, Settings], None]) -> bool:
    """Serves until SIGTERM or SIGINT, then drains.

    Args:
        settings: all of them.
        announce: called once it takes requests.

    Returns:
        Whether all it had taken was stored; if not, its senders know.

    Raises:
        StartError: an address, the directory or the store cannot be had.
        ConfigError: the DSN is wrong.
    """
    # Batches are many small objects without cycles: with the default thresholds the collector took 1.3 us a span.
    gc.set_threshold(100_000, 50, 100)
    # Compressing inserts on a pool of threads cost 0.7 us a span more than doing it in the pipeline thread.
    pa.set_cpu_count(1)
    with held(settings.data) as hold:
        return asyncio.run(_serve(settings, hold, announce))


async def _serve(settings: Settings, hold: Hold, announce: Callable[[Addresses, Settings], None]) -> bool:
    # What is quickly found wrong comes first: nothing is made for a processor that does not start.
    parse_dsn(settings.dsn)
    key = content_key(hold.path, settings.content_key)
    metrics, health = Metrics(), Health()
    http_socket, query_socket = listening(settings.http, "http"), listening(settings.query, "query")
    grpc_receiver = GrpcReceiver(
        tenant=settings.tenant,
        max_request_bytes=settings.limits.request_bytes,
        health_state=health,
        metrics=metrics,
    )
    addresses = Addresses(
        grpc_receiver.bind(settings.grpc),
        address_of(http_socket, settings.http),
        address_of(query_socket, settings.query),
    )
    hold.tell(f"clew up, OTLP/gRPC at {addresses.grpc}")

    store = open_store(settings.dsn, answer_timeout_s=INSERT_DEADLINE_S)
    applied = apply_schema(store.client, store.database, Retention(**settings.retention.model_dump()))
    if applied:
        log.info("schema: applied %d files to database %s", len(applied), store.database)
    pipeline = _pipeline(settings, key, store, metrics)
    intake = Intake(
        pipeline.process,
        IntakeLimits(
            max_batch_spans=settings.batch.max_spans,
            max_batch_wait_s=settings.batch.max_wait_ms / 1000,
            max_waiting_bytes=settings.limits.waiting_bytes,
        ),
    )
    metrics.watch_waiting(lambda: intake.waiting_bytes)
    receive_app = http_app(
        intake,
        tenant=settings.tenant,
        max_request_bytes=settings.limits.request_bytes,
        health=health,
        metrics=metrics,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, stop, number)

    intake.start()
    await grpc_receiver.start(intake)
    http, query = _HttpServer(_uvicorn_config(receive_app)), _HttpServer(_uvicorn_config(_query(settings, store)))
    servers = [
        asyncio.create_task(http.serve(sockets=[http_socket])),
        asyncio.create_task(query.serve(sockets=[query_socket])),
    ]
    while not (http.started and query.started):  # uvicorn tells of its start by a flag only
        if ended := next((server for server in servers if server.done()), None):
            await ended
            raise StartError("http: a server ended while it was starting; its message is above")
        await asyncio.sleep(0.01)
    health.enter(Stage.SERVING)
    await grpc_receiver.show(Stage.SERVING)
    announce(addresses, settings)

    await stop.wait()
    health.enter(Stage.DRAINING)
    await grpc_receiver.show(Stage.DRAINING)
    drained = await intake.drain(settings.shutdown_s)
    if not drained:
        log.error("not everything was stored within %g s; its senders were told to try again", settings.shutdown_s)
    await grpc_receiver.stop(grace_s=1)
    http.should_exit = query.should_exit = True
    await asyncio.wait(servers, timeout=5)
    if drained:  # otherwise the pipeline's thread is still in the middle of an insert
        store.close()
    return drained


def _pipeline(settings: Settings, key: bytes, store: Store, metrics: Metrics) -> Pipeline:
    return Pipeline(
        decoder=Decoder(
            dialect=DIALECT,
            content_key=key,
            # Written again before half of its retention has passed, so that a content in use never expires.
            content_refresh_s=settings.retention.content_days * SECONDS_PER_DAY // 2,
            max_span_bytes=settings.limits.span_bytes,
            window=TimeWindow(settings.limits.past_days, settings.limits.future_days),
        ),
        normaliser=Normaliser(DIALECT),
        enricher=Enricher(PriceBook(), settle_s=settings.usage.settle_s),
        sampler=Sampler(settings.sampling.probability),
        store=store,
        metrics=metrics,
        insert_deadline_s=INSERT_DEADLINE_S,
    )


def _query(settings: Settings, store: Store) -> Starlette:
    if store.path is not None:
        app = query_app(store.path, store.database, settings.queries)
    else:
        app = passthrough_app(settings.dsn, store.database, settings.queries)
    host = settings.query.rpartition(":")[0]
    if host in LOOPBACK:  # else a web page could read it by a name of its own that resolves to this machine
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK), www_redirect=False)
    return app


def _uvicorn_config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_keep_alive=330,  # Grafana keeps connections for 5 minutes and breaks when they close under it
        timeout_graceful_shutdown=2,
    )


def _on_signal(stop: asyncio.Event, number: int) -> None:
    if stop.is_set():  # the second signal: nothing unacknowledged was promised, nothing acknowledged is open
        sys.stderr.write("clew: leaving at once\n")
        sys.stderr.flush()
        os._exit(128 + number)  # as a shell shows a program that the signal ended
    stop.set()
