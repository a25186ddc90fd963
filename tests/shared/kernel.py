"""Short ways to decode with the kernel and look at what comes out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import clew_kernel
import pyarrow as pa

from shared.otlp import T0

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KEY = bytes(range(16))
DAY_NS = 86_400 * 10**9
MIN_TIME, MAX_TIME = T0 - 3650 * DAY_NS, T0 + 3650 * DAY_NS


def decoder(**plan: Any) -> clew_kernel.Decoder:
    return clew_kernel.Decoder(json.dumps(plan))


def column(name: str, kind: str, *keys: str, source: str = "span") -> dict[str, Any]:
    return {"name": name, "keys": list(keys or [name]), "from": source, "type": kind}


def content(name: str, kind: str = "message", form: str = "elements", **more: Any) -> dict[str, Any]:
    return {"name": name, "keys": [name], "kind": kind, "form": form, **more}


def decode(
    kernel: clew_kernel.Decoder,
    *requests: ExportTraceServiceRequest | bytes,
    keys: list[bytes] | None = None,
    now_ns: int = T0,
) -> clew_kernel.Decoded:
    bodies = [r if isinstance(r, bytes) else r.SerializeToString() for r in requests]
    return kernel.decode(bodies, keys or [KEY] * len(bodies), now_ns=now_ns, min_time_ns=MIN_TIME, max_time_ns=MAX_TIME)


def spans(decoded: clew_kernel.Decoded) -> pa.RecordBatch:
    batch = pa.record_batch(decoded.spans)
    batch.validate(full=True)
    return batch


def contents(decoded: clew_kernel.Decoded) -> list[dict[str, Any]]:
    batch = pa.record_batch(decoded.contents)
    batch.validate(full=True)
    return batch.to_pylist()


def values(decoded: clew_kernel.Decoded, name: str) -> list[Any]:
    """One column of the spans."""
    return spans(decoded).column(name).to_pylist()
