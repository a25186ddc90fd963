"""OTLP/HTTP (protobuf), health and metrics on one port."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from clew_processor.control.metrics import CONTENT_TYPE
from clew_processor.errors import RefusalKind, Refused
from clew_processor.receiver.grpc import RETRY_AFTER_S, clipped, status_message
from clew_processor.receiver.signals import METRICS, METRICS_NOT_TAKEN, TAKEN
from clew_processor.spool.request import Request as SpoolRequest

if TYPE_CHECKING:
    from starlette.requests import Request

    from clew_processor.control.health import Health
    from clew_processor.control.metrics import Metrics
    from clew_processor.receiver.signals import Taken
    from clew_processor.spool.intake import Intake, Outcome

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
MAX_RETRY_BYTES = 4 * 1024 * 1024
MAX_ID = 64
"""Characters of a dead letter's id."""
MAX_REPRICE_BYTES = 4096
MAX_SINCE_S = 100 * 365 * 86_400
CODES = {
    RefusalKind.MALFORMED: (400, grpc.StatusCode.INVALID_ARGUMENT),
    RefusalKind.TOO_LARGE: (413, grpc.StatusCode.RESOURCE_EXHAUSTED),
    RefusalKind.UNAVAILABLE: (503, grpc.StatusCode.UNAVAILABLE),
}


class Reprice(Protocol):
    """See `reprice.repricer.Repricer.reprice`."""

    async def __call__(self, *, since_s: int, model: str, dry_run: bool) -> dict[str, Any]:
        """Prices stored calls again."""


def http_app(
    intake: Intake, *, reprice: Reprice, tenant: str, max_request_bytes: int, health: Health, metrics: Metrics
) -> Starlette:
    """The ASGI application of the HTTP port.

    Args:
        intake: where requests go.
        reprice: prices stored calls again.
        tenant: whose requests these are.
        max_request_bytes: larger requests are refused, before and after decompression.
        health: what /healthz and /readyz answer.
        metrics: what /metrics shows.
    """

    async def export(taken: Taken, request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != PROTOBUF:
            metrics.count_request("http", "415")
            return PlainTextResponse(
                f"content type {kind or 'missing'} is not taken, expected {PROTOBUF}: "
                "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n",
                415,
            )
        outcome: Outcome
        try:
            body = await _body(request, max_request_bytes)
            outcome = await intake.submit(SpoolRequest(body, tenant, time.time_ns(), taken.signal))
        except ClientDisconnect:
            return Response(status_code=400)
        except Refused as refused:
            outcome = refused.with_traceback(None)
        if isinstance(outcome, Refused):
            http, code = CODES[outcome.kind]
            metrics.count_request("http", str(http))
            headers = {"Retry-After": str(RETRY_AFTER_S)} if http == 503 else {}
            return Response(status_message(code, clipped(str(outcome))).SerializeToString(), http, headers, PROTOBUF)
        metrics.count_request("http", "200")
        return Response(taken.response(outcome), 200, media_type=PROTOBUF)

    async def retry_dead_letters(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != JSON:  # so no web page can ask without asking
            return PlainTextResponse(f"expected content type {JSON}\n", 415)
        try:
            ids = json.loads(await _body(request, MAX_RETRY_BYTES))["ids"]
        except ClientDisconnect:
            return Response(status_code=400)
        except Refused as refused:
            return PlainTextResponse(f"{refused}\n", CODES[refused.kind][0])
        except (ValueError, TypeError, KeyError):
            ids = None
        if not (isinstance(ids, list) and ids and all(isinstance(one, str) and len(one) <= MAX_ID for one in ids)):
            return PlainTextResponse('expected {"ids": ["...", ...]}, ids of dead letters\n', 400)
        outcome = await intake.retry(json.dumps(ids).encode(), tenant)
        if isinstance(outcome, Refused):
            return PlainTextResponse(f"{outcome}\n", CODES[outcome.kind][0], {"Retry-After": str(RETRY_AFTER_S)})
        return PlainTextResponse(f"{len(ids)} dead letters will be tried again\n", 202)

    async def reprice_calls(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != JSON:  # so no web page can ask without asking
            return PlainTextResponse(f"expected content type {JSON}\n", 415)
        try:
            order = _reprice_order(await _body(request, MAX_REPRICE_BYTES))
            return JSONResponse(await reprice(**order))
        except ClientDisconnect:
            return Response(status_code=400)
        except Refused as refused:
            code = CODES[refused.kind][0]
            headers = {"Retry-After": str(RETRY_AFTER_S)} if code == 503 else {}
            return PlainTextResponse(f"{refused}\n", code, headers)

    async def metrics_not_taken(_request: Request) -> Response:
        status = status_message(grpc.StatusCode.NOT_FOUND, METRICS_NOT_TAKEN)
        return Response(status.SerializeToString(), 404, None, PROTOBUF)

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse(f"{health.stage.value}\n")

    async def readyz(_request: Request) -> Response:
        trouble = health.trouble()
        waiting = f"requests are taken and wait in the spool; the store: {trouble}\n" if trouble else ""
        return PlainTextResponse(f"{health.stage.value}\n{waiting}", 200 if health.ready else 503)

    async def exposition(_request: Request) -> Response:
        return Response(metrics.exposition(), headers={"content-type": CONTENT_TYPE})

    return Starlette(
        routes=[
            *(Route(f"/v1/{taken.signal}", partial(export, taken), methods=["POST"]) for taken in TAKEN),
            Route(f"/v1/{METRICS}", metrics_not_taken, methods=["POST"]),
            Route("/v1/dead-letter/retry", retry_dead_letters, methods=["POST"]),
            Route("/v1/reprice", reprice_calls, methods=["POST"]),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", exposition),
        ]
    )


def _reprice_order(body: bytes) -> dict[str, Any]:
    """Arguments of `Reprice`.

    Raises:
        Refused: it is no such order.
    """
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    order = {"since_s": None, "model": "", "dry_run": False} | (said if isinstance(said, dict) else {})
    since_s, model, dry_run, *others = order.values()
    is_time = isinstance(since_s, int) and not isinstance(since_s, bool) and 0 < since_s <= MAX_SINCE_S
    if others or not (is_time and isinstance(model, str) and isinstance(dry_run, bool)):
        raise Refused(
            RefusalKind.MALFORMED, 'expected {"since_s": 86400, "model": "", "dry_run": false}; since_s is needed'
        )
    return order


async def _body(request: Request, limit: int) -> bytes:
    """The uncompressed body.

    Raises:
        Refused: too large, or its compression is unknown or broken.
    """
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > limit:
            raise Refused(RefusalKind.TOO_LARGE, f"the request is larger than {limit} bytes: send smaller batches")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return bytes(received)
    if encoding != "gzip":
        raise Refused(RefusalKind.MALFORMED, f"content encoding {encoding!r} is not taken; expected gzip or none")
    return await asyncio.to_thread(_gunzip, bytes(received), limit)  # a bomb must not stop the others


def _gunzip(data: bytes, limit: int) -> bytes:
    """The data of all gzip members, one after the other."""
    body = bytearray()
    while True:
        inflater = zlib.decompressobj(wbits=31)  # 31: gzip framing only
        try:
            body += inflater.decompress(data, limit + 1 - len(body))
        except zlib.error as error:
            raise Refused(RefusalKind.MALFORMED, f"bad gzip: {error}") from error
        if len(body) > limit:
            raise Refused(
                RefusalKind.TOO_LARGE, f"the request inflates to more than {limit} bytes: send smaller batches"
            )
        if not inflater.eof:
            raise Refused(RefusalKind.MALFORMED, "bad gzip: it ends too early")
        if not (data := inflater.unused_data):
            return bytes(body)
