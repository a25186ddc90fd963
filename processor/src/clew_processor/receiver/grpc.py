"""OTLP/gRPC. Handlers take and give raw bytes, so that no message is parsed into Python objects."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from clew_processor.control.health import Stage
from clew_processor.errors import RefusalKind, Refused, StartError
from clew_processor.receiver.listen import listening
from clew_processor.receiver.signals import METRICS_NOT_TAKEN, METRICS_SERVICE, TAKEN
from clew_processor.spool.request import Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clew_processor.control.health import Health
    from clew_processor.control.metrics import Metrics
    from clew_processor.receiver.signals import Taken
    from clew_processor.spool.intake import Intake

    Context = grpc.aio.ServicerContext[bytes, bytes]
    Export = Callable[[bytes, Context], Awaitable[bytes]]

RETRY_AFTER_S = 1
"""The stock Python exporter gives up after about 8 s in all, and at once when asked to wait longer than it has left."""
MAX_TEXT = 300
"""Characters of an error's text. It is sent up to three times, percent-encoded and in base64, and a client that gets
more than 8 KiB of trailers makes RESOURCE_EXHAUSTED of them, which is not tried again."""
CODES = {
    RefusalKind.MALFORMED: grpc.StatusCode.INVALID_ARGUMENT,
    RefusalKind.TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    RefusalKind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}


class GrpcReceiver:
    """Serves Export of each signal that is taken and gRPC health checking on one port."""

    def __init__(self, *, tenant: str, max_request_bytes: int, health_state: Health, metrics: Metrics) -> None:
        """Binds nothing yet.

        Args:
            tenant: whose requests these are.
            max_request_bytes: larger requests are refused, after decompression.
            health_state: what health checks answer.
            metrics: counts requests.
        """
        self._tenant = tenant
        self._metrics = metrics
        self._health_state = health_state
        self._max_request_bytes = max_request_bytes
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self._intake: Intake | None = None

    def bind(self, address: str) -> str:
        """Takes the address; connections wait until `start`. Call it from the event loop that will serve.

        Args:
            address: HOST:PORT; port 0 takes a free one.

        Returns:
            The address it is bound to.

        Raises:
            StartError: the port is taken or the address is not one.
        """
        listening(address, "grpc").close()  # says why it cannot be had; grpc would only write that to its log
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", self._max_request_bytes),
                ("grpc.so_reuseport", 0),  # or two processors would share the port unnoticed
            ]
        )
        host = address.rpartition(":")[0]
        try:
            bound = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise StartError(
                f"grpc: cannot listen on {address}: it was taken just now; choose another with --grpc HOST:PORT"
            ) from error
        return f"{host}:{bound}"

    async def start(self, intake: Intake) -> None:
        """Serves.

        Args:
            intake: where requests go.
        """
        assert self._server is not None
        self._intake = intake
        self._server.add_generic_rpc_handlers(
            (
                *(_handler(taken.service, self._export(taken)) for taken in TAKEN),
                _handler(METRICS_SERVICE, _refuse_metrics),
            )
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        await self._server.start()

    async def show(self, stage: Stage) -> None:
        """Tells health checks where the processor is."""
        serving = health_pb2.HealthCheckResponse.SERVING
        status = serving if stage is Stage.SERVING else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", *(taken.service for taken in TAKEN)):
            await self._health.set(service, status)

    async def stop(self, grace_s: float) -> None:
        """Takes no new requests, lets open ones end within the grace."""
        if self._server is not None:
            await self._server.stop(grace_s)

    def _export(self, taken: Taken) -> Export:
        async def export(body: bytes, context: Context) -> bytes:
            assert self._intake is not None
            outcome = await self._intake.submit(Request(body, self._tenant, time.time_ns(), taken.signal))
            del body  # abort raises, and what it raises outlives the call by some time
            if isinstance(outcome, Refused):
                code, text = CODES[outcome.kind], clipped(str(outcome))
                self._metrics.count_request("grpc", code.name)
                context.set_trailing_metadata(_details(code, text))
                await context.abort(code, text)
            self._metrics.count_request("grpc", "OK")
            return taken.response(outcome)

        return export


def clipped(text: str) -> str:
    """The text, cut to a length that goes into trailers whatever the store or a sender wrote into it."""
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."


def status_message(code: grpc.StatusCode, text: str) -> Status:
    """A google.rpc.Status with the details that senders look for."""
    status = Status(code=code.value[0], message=text)
    if code is grpc.StatusCode.UNAVAILABLE:
        status.details.add().Pack(_retry_info())
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        status.details.add().Pack(BadRequest(field_violations=[{"description": text}]))
    return status


def _retry_info() -> RetryInfo:
    return RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_S))


def _details(code: grpc.StatusCode, text: str) -> tuple[tuple[str, bytes], ...]:
    trailers = [("grpc-status-details-bin", status_message(code, text).SerializeToString())]
    if code is grpc.StatusCode.UNAVAILABLE:
        trailers.append(
            ("google.rpc.retryinfo-bin", _retry_info().SerializeToString())
        )  # the Python exporter reads only this one
    return tuple(trailers)


def _handler(service: str, export: Export) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(service, {"Export": grpc.unary_unary_rpc_method_handler(export)})


async def _refuse_metrics(_body: bytes, context: Context) -> bytes:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, METRICS_NOT_TAKEN)
    return b""
