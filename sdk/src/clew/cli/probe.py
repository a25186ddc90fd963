"""One span to the processor and back, for `clew doctor`."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

if TYPE_CHECKING:
    from clew.cli.endpoint import Endpoint

#: The service the probe says it comes from, so that it can be told from real telemetry.
SERVICE = "clew-doctor"

_SEND_TIMEOUT_S = 10.0

#: An acknowledged span is in the spool; it takes a moment until it can be read.
_READ_TIMEOUT_S = 10.0


def send(endpoint: str) -> str:
    """Send one span by OTLP/gRPC; returns its trace id in hex once the processor has acknowledged it.

    Raises:
        ConnectionError: it was not accepted; the message says why.
    """
    parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    target = parts.netloc
    # The last 56 bits decide consistent sampling (W3C Trace Context level 2): all ones is kept at any probability.
    trace_id = secrets.token_bytes(9) + b"\xff" * 7
    now = time.time_ns()
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    attribute = group.resource.attributes.add(key="service.name")
    attribute.value.string_value = SERVICE
    scope = group.scope_spans.add()
    scope.scope.name = "clew.cli.doctor"
    scope.spans.add(
        trace_id=trace_id,
        span_id=secrets.token_bytes(8),
        name="probe",
        kind="SPAN_KIND_INTERNAL",
        start_time_unix_nano=now,
        end_time_unix_nano=now + 1,
    )
    secure = parts.scheme == "https"
    options = [("grpc.enable_http_proxy", 0)]
    channel = (
        grpc.secure_channel(target, grpc.ssl_channel_credentials(), options=options)
        if secure
        else grpc.insecure_channel(target, options=options)
    )
    with channel:
        try:
            answer = TraceServiceStub(channel).Export(request, timeout=_SEND_TIMEOUT_S)  # type: ignore[no-untyped-call]
        except grpc.RpcError as error:
            raise ConnectionError(f"{error.code().name}: {error.details()}") from error
    if answer.partial_success.rejected_spans:
        raise ConnectionError(f"the span was rejected: {answer.partial_success.error_message}")
    return trace_id.hex()


def read_back(query: Endpoint, trace_id: str) -> bool:
    """Whether the span can be read within `_READ_TIMEOUT_S` seconds."""
    deadline = time.monotonic() + _READ_TIMEOUT_S
    while True:
        sql = "SELECT count() AS spans FROM otel_traces WHERE TraceId = {trace_id:String}"
        if query.rows(sql, trace_id=trace_id)[0]["spans"]:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
