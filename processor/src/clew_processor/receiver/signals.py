"""The signals of OTLP: what is taken, where it comes in, and how it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from clew_processor.spool.request import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from clew_processor.spool.request import Receipt


class Taken(NamedTuple):
    """A signal that is taken.

    Attributes:
        signal: which; it comes in over HTTP at /v1/SIGNAL.
        service: over gRPC.
        partial: the serialized response that tells of what was rejected.
    """

    signal: Signal
    service: str
    partial: Callable[[Receipt], bytes]

    def response(self, receipt: Receipt) -> bytes:
        """The serialized response: empty for a full success, `partial_success` otherwise."""
        return self.partial(receipt) if receipt.rejected else b""


def _partial_traces(receipt: Receipt) -> bytes:
    message = ExportTraceServiceResponse()
    message.partial_success.rejected_spans = receipt.rejected
    message.partial_success.error_message = receipt.message
    return message.SerializeToString()


def _partial_logs(receipt: Receipt) -> bytes:
    message = ExportLogsServiceResponse()
    message.partial_success.rejected_log_records = receipt.rejected
    message.partial_success.error_message = receipt.message
    return message.SerializeToString()


TAKEN: Final = (
    Taken(Signal.TRACES, "opentelemetry.proto.collector.trace.v1.TraceService", _partial_traces),
    Taken(Signal.LOGS, "opentelemetry.proto.collector.logs.v1.LogsService", _partial_logs),
)
METRICS: Final = "metrics"
METRICS_SERVICE: Final = "opentelemetry.proto.collector.metrics.v1.MetricsService"
METRICS_NOT_TAKEN: Final = "metrics are not taken yet, only traces and logs: set OTEL_METRICS_EXPORTER=none"
"""What a sender of metrics is told."""
