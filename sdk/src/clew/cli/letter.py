"""What is in a dead letter, for people and JSON."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message


def decoded(content: str, *, where: str) -> dict[str, Any] | None:
    """The row or request in a letter as JSON has it; None where that cannot be told.

    Times become text to the nanosecond, decimals text, 128-bit hashes their number, other bytes text.

    Args:
        content: base64 of an Arrow stream of one row, or of an OTLP request.
        where: the letter's: `request` or `logs_request`, else the name of the row's table.
    """
    data = base64.b64decode(content)
    match where:
        case "request":
            from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

            return _request(data, ExportTraceServiceRequest)
        case "logs_request":
            from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

            return _request(data, ExportLogsServiceRequest)
        case _:
            return _row(data)


def _request(data: bytes, kind: type[Message]) -> dict[str, Any] | None:
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import DecodeError

    try:
        request: dict[str, Any] = MessageToDict(kind.FromString(data))
    except DecodeError:
        return None
    return request


def _row(data: bytes) -> dict[str, Any] | None:
    try:
        import pyarrow as pa
    except ImportError:  # it comes with the processor
        return None

    def without_times(kind: Any) -> Any:
        """Arrow's own values of time hold no nanoseconds."""
        if pa.types.is_timestamp(kind):
            return pa.utf8()
        if pa.types.is_list(kind):
            return pa.list_(without_times(kind.value_type))
        return kind

    try:
        with pa.ipc.open_stream(data) as reader:
            rows = reader.read_all()
        rows = rows.cast(pa.schema([field.with_type(without_times(field.type)) for field in rows.schema]))
        (row,) = rows.to_pylist(maps_as_pydicts="lossy")
    except (pa.ArrowException, ValueError):
        return None
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    match value:
        case bytes() if len(value) == 16:
            return str(int.from_bytes(value, "little"))
        case bytes():
            return value.decode(errors="backslashreplace")
        case Decimal():
            return f"{value:f}"
        case dict():
            return {str(_plain(key)): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value
