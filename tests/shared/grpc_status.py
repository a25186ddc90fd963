"""What a refused gRPC call carries beside its code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

if TYPE_CHECKING:
    import grpc

DETAILS, RETRY = "grpc-status-details-bin", "google.rpc.retryinfo-bin"
"""Trailers in which Go and most other SDKs, and the Python one, look for how long to wait."""


def status(error: grpc.RpcError) -> Status:
    """The google.rpc.Status in the trailers; an empty one when there is none."""
    return Status.FromString(_trailers(error).get(DETAILS, b""))


def retry_seconds(error: grpc.RpcError) -> list[float]:
    """The delay that each of the two places asks for, in seconds; those that say nothing are left out."""
    found = []
    for detail in status(error).details:
        info = RetryInfo()
        if detail.Unpack(info):
            found.append(info.retry_delay.ToTimedelta().total_seconds())
    if (bare := _trailers(error).get(RETRY)) is not None:
        found.append(RetryInfo.FromString(bare).retry_delay.ToTimedelta().total_seconds())
    return found


def violations(answer: Status) -> list[str]:
    """The descriptions of what is wrong with a request."""
    found = []
    for detail in answer.details:
        wrong = BadRequest()
        if detail.Unpack(wrong):
            found += [violation.description for violation in wrong.field_violations]
    return found


def _trailers(error: grpc.RpcError) -> dict[str, bytes]:
    return dict(error.trailing_metadata() or ())
