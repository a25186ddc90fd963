"""Wires the processor together; the only file that knows all parts."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware

from clew_processor.control.directory import content_key, held, scratch
from clew_processor.control.health import Health, Stage
from clew_processor.control.metrics import Metrics
from clew_processor.decode.decoder import Decoder, TimeWindow, inspector
from clew_processor.enrich.enricher import Enricher
from clew_processor.errors import Refused, StartError
from clew_processor.loader import Loader
from clew_processor.normalise.normaliser import Normaliser
from clew_processor.pipeline import Pipeline, StageSet
from clew_processor.price_files import PriceFiles, PriceKeeper
from clew_processor.query.app import query_app
from clew_processor.query.passthrough import passthrough_app
from clew_processor.receiver.grpc import GrpcReceiver
from clew_processor.receiver.http import http_app
from clew_processor.receiver.listen import address_of, listening
from clew_processor.reprice.repricer import Answer, Repricer
from clew_processor.rules import Rules
from clew_processor.sample.sampler import Sampler
from clew_processor.spool.batcher import Batcher, BatchLimits
from clew_processor.spool.consumer import Consumer, Pace
from clew_processor.spool.files import DiskFiles
from clew_processor.spool.intake import Intake, IntakeLimits
from clew_processor.spool.opening import opened
from clew_processor.spool.record import Kind, Record
from clew_processor.spool.request import Signal
from clew_processor.spool.reserve import Reserve
from clew_processor.spool.worker import Worker
from clew_processor.write.schema import Retention, apply_schema
from clew_processor.write.store import Store, parse_dsn
from clew_processor.write.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from clickhouse_connect.driver.client import Client
    from starlette.applications import Starlette

    from clew_processor.config import Settings
    from clew_processor.control.directory import Hold
    from clew_processor.enrich.pricing import PriceBook

log = logging.getLogger(__name__)

SECONDS_PER_DAY = 86_400
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
ANSWER_TIMEOUT_S = 30.0
"""A store that is silent for longer has not taken an insert, as far as can be known."""
MOST_REPLAYED_BYTES = 256 * 1024 * 1024
"""Of the spool between two checkpoints: some seconds' work to be done again after a crash."""
TICK_S = 10.0
"""Between ticks while nothing arrives."""


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


def run(settings: Settings, announce: Callable[[Addresses, Settings], None]) -> None:
    """Serves until SIGTERM or SIGINT, then drains; what the store does not take in time stays in the spool.

    Args:
        settings: all of them.
        announce: called once it takes requests.

    Raises:
        StartError: an address, the directory or the store cannot be had.
        ConfigError: the DSN is wrong.
    """
    # Batches are many small objects without cycles: with the default thresholds the collector took 1.3 us a span.
    gc.set_threshold(100_000, 50, 100)
    # Compressing inserts on a pool of threads cost 0.7 us a span more than doing it in the pipeline thread.
    pa.set_cpu_count(1)
    with held(settings.data) as hold, _temporary_files_in(scratch(hold.path)):
        asyncio.run(_serve(settings, hold, announce))


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """The embedded engine is handed its inserts in files."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


async def _serve(settings: Settings, hold: Hold, announce: Callable[[Addresses, Settings], None]) -> None:
    # What is quickly found wrong comes first: nothing is made for a processor that does not start.
    parse_dsn(settings.dsn)
    prices = PriceFiles(settings.prices)
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

    spool = _Spool(settings, hold, key, metrics, prices)
    store = _store(settings, is_first_start=spool.log.end == 0)
    intake, worker = spool.intake, spool.worker
    keeper = PriceKeeper(prices, spool.announce_prices)
    repricer = Repricer(_Place(spool, store), keeper.look)
    receive_app = http_app(
        intake,
        reprice=repricer.reprice,
        tenant=settings.tenant,
        max_request_bytes=settings.limits.request_bytes,
        health=health,
        metrics=metrics,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, stop, number)

    health.trouble = spool.start(store)
    looking = asyncio.create_task(keeper.keep_looking(settings.prices.refresh_s))
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
    looking.cancel()
    health.enter(Stage.DRAINING)
    await grpc_receiver.show(Stage.DRAINING)
    await intake.close()
    drained = await asyncio.to_thread(worker.drain, settings.shutdown_s)
    if not drained:
        log.warning(
            "%d spans and log records are left in the spool after %g s; they are stored after the next start",
            metrics.ledger.in_flight,
            settings.shutdown_s,
        )
    await grpc_receiver.stop(grace_s=1)
    http.should_exit = query.should_exit = True
    await asyncio.wait(servers, timeout=5)
    if not worker.ended:  # an insert is under way, and the embedded engine crashes when it is taken down beneath one
        _leave(0)
    spool.close()
    store.close()


class _Spool:
    """From the door to the store: what is acknowledged, and the two threads that see it through."""

    def __init__(self, settings: Settings, hold: Hold, key: bytes, metrics: Metrics, prices: PriceFiles) -> None:
        try:
            sync = settings.spool.durability == "fsync"
            self.files = Reserve(DiskFiles(hold.path / "spool", direct=sync))
            self.log, self.progress, self.checkpoints = opened(
                self.files, segment_bytes=settings.spool.segment_bytes, sync=sync
            )
        except OSError as error:
            raise StartError(f"data: the spool in {hold.path} cannot be opened: {error}") from error
        rules = _rules(settings)
        self.worker = Worker()
        batcher = Batcher(
            BatchLimits(
                max_spans=settings.batch.max_spans,
                max_wait_s=settings.batch.max_wait_ms / 1000,
                tick_s=TICK_S,
                settle_s=settings.usage.settle_s,
            ),
            behind=lambda: self.worker.behind,
        )
        if self.log.end:
            batcher.reopened(time.monotonic())  # an earlier process may have left a batch open
        self.intake = Intake(
            self.log,
            batcher,
            IntakeLimits(
                max_waiting_bytes=settings.limits.waiting_bytes,
                max_spool_bytes=settings.spool.max_bytes,
                commit_s=settings.spool.commit_ms / 1000,
            ),
            opening=[
                Record(Kind.RULES, time.time_ns(), body=rules.to_bytes()),
                Record(Kind.PRICES, time.time_ns(), body=prices.prices.to_bytes()),
            ],
            inspect=inspector(max_span_bytes=rules.span_bytes, window=TimeWindow(rules.past_days, rules.future_days)),
            written=self._written,
            timed=lambda: metrics.stage("spool"),
        )
        self._metrics = metrics
        self.pipeline = Pipeline(_stages(key, prices.book), rules, metrics)
        self._pace = Pace(
            every_s=settings.spool.checkpoint_s, every_bytes=min(MOST_REPLAYED_BYTES, settings.spool.max_bytes // 8)
        )
        mark = self.progress.mark
        left = self.log.read(mark.stored) if self.log.spans > mark.spans else ()
        metrics.ledger.start(
            spooled=self.log.spans, settled=mark.spans, logs=_log_records(placed.record for placed in left)
        )

    def start(self, store: Store) -> Callable[[], str]:
        """Takes requests, and stores what is spooled.

        Returns:
            What says what is wrong with the store.
        """
        writer = Writer(
            store,
            self.files,
            clock=time.monotonic,
            pause=self.worker.pause,
            random=random.random,
            watch=self._metrics,
        )
        loader = Loader(writer, self._metrics)
        self.consumer = Consumer(
            self.log,
            self.files,
            self.progress,
            self.checkpoints,
            stages=self.pipeline,
            sink=loader,
            clock=time.monotonic,
            pause=self.worker.pause,
            pace=self._pace,
        )
        self._metrics.watch("clew_waiting_bytes", "Bytes of requests to be written.", lambda: self.intake.waiting_bytes)
        self._metrics.watch("clew_spool_bytes", "Bytes of the spool on disk.", lambda: self.log.size)
        self._metrics.watch(
            "clew_spool_damaged_bytes", "Bytes of the spool found damaged since start.", lambda: self.log.damage.size
        )
        self._metrics.watch(
            "clew_store_lag_seconds", "How long the oldest request has waited for the store.", lambda: loader.lag_s
        )
        self._metrics.watch(
            "clew_store_trouble", "1 while the store does not take inserts.", lambda: bool(writer.trouble)
        )
        self.intake.start()
        self.worker.start(self.consumer, first=lambda: _connect(store), taken=self.intake.look_again)
        return lambda: writer.trouble

    async def announce_prices(self, prices: bytes) -> bool:
        """Writes prices to the spool, in force from there on; False if there is no room now."""
        return not isinstance(await self.intake.order(Kind.PRICES, prices), Refused)

    def close(self) -> None:
        """Lets the files go."""
        self.log.close()
        self.progress.close()

    def _written(self, records: Sequence[Record]) -> None:
        self._metrics.ledger.receive(self.log.spans, logs=_log_records(records))
        self.worker.wake(closed=sum(record.kind is Kind.TICK for record in records))


class _Place:
    """See `reprice.repricer.Place`."""

    def __init__(self, spool: _Spool, store: Store) -> None:
        self._spool = spool
        self.read = store.read

    @property
    def end(self) -> int:
        return self._spool.log.end

    def has_stored(self, position: int) -> bool:
        return self._spool.consumer.has_stored(position)

    def open_minutes(self) -> set[int]:
        return self._spool.pipeline.open_minutes()

    def between(self, job: Callable[[], Answer]) -> Future[Answer]:
        return self._spool.worker.between(job)

    async def spool(self, changes: bytes) -> Refused | None:
        outcome = await self._spool.intake.order(Kind.REPRICE, changes)
        return outcome if isinstance(outcome, Refused) else None


def _log_records(records: Iterable[Record]) -> int:
    return sum(record.spans for record in records if record.kind.signal is Signal.LOGS)


def _store(settings: Settings, *, is_first_start: bool) -> Store:
    """Opened and up to date; but a server that was there before may come later: requests wait in the spool.

    Raises:
        StartError: it cannot be had, or refuses.
    """

    def prepare(client: Client, database: str) -> None:
        if applied := apply_schema(client, database, Retention(**settings.retention.model_dump())):
            log.info("schema: applied %d files to database %s", len(applied), database)

    store = Store.later(settings.dsn, answer_timeout_s=ANSWER_TIMEOUT_S, prepare=prepare)
    if store.path is not None or is_first_start:
        _ = store.client
    return store


def _connect(store: Store) -> None:
    """On the thread that will insert: a server that does not answer holds up nobody else."""
    try:
        _ = store.client
    except Exception as error:  # whatever it is, the first insert will meet it again
        log.warning("%s; requests are kept in the spool until it is there", error)


def _rules(settings: Settings) -> Rules:
    return Rules(
        version=version("clew-processor"),
        probability=settings.sampling.probability,
        settle_s=settings.usage.settle_s,
        span_bytes=settings.limits.span_bytes,
        past_days=settings.limits.past_days,
        future_days=settings.limits.future_days,
        # Written again before half of its retention has passed, so that a content in use never expires.
        content_refresh_s=settings.retention.content_days * SECONDS_PER_DAY // 2,
        resend_horizon_s=settings.spool.resend_horizon_s,
    )


def _stages(key: bytes, prices: PriceBook) -> Callable[[Rules], StageSet]:
    def made(rules: Rules) -> StageSet:
        return StageSet(
            decoder=Decoder(
                content_key=key,
                content_refresh_s=rules.content_refresh_s,
                max_span_bytes=rules.span_bytes,
                window=TimeWindow(rules.past_days, rules.future_days),
                resend_horizon_s=rules.resend_horizon_s,
            ),
            normaliser=Normaliser(),
            enricher=Enricher(prices, settle_s=rules.settle_s),
            sampler=Sampler(rules.probability),
        )

    return made


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
    if stop.is_set():  # the second signal: what was acknowledged is in the spool
        sys.stderr.write("clew: leaving at once\n")
        _leave(128 + number)  # as a shell shows a program that the signal ended
    stop.set()


def _leave(code: int) -> None:
    """Ends the process without taking anything down."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
