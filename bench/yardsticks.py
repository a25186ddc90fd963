"""The yardsticks, measured in the same run as the processor and with the same bytes.

`python yardsticks.py discard sync|aio` serves `TraceService/Export`, forgets what it gets and answers at once: what
receiving costs with grpcio before anything is done. It prints a line `{"port": N}` and serves until its standard
input closes.

`parse_seconds` measures the generated protobuf classes: bytes to objects, nothing read from them. `decode_seconds`
measures the kernel when no dialect is asked for: what of decoding is plain OTLP.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import clew_kernel
import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
KINDS = ("sync", "aio")
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
_HORIZON_NS = 600 * 10**9
_BATCH_REQUESTS = 20
_ANSWER = b""  # an ExportTraceServiceResponse without partial_success


def parse_seconds(bodies: Sequence[bytes]) -> float:
    """CPU seconds to parse all requests, one after the other, each forgotten at once."""
    start = time.process_time()
    for body in bodies:
        ExportTraceServiceRequest.FromString(body)
    return time.process_time() - start


def decode_seconds(bodies: Sequence[bytes]) -> float:
    """CPU seconds for the kernel to make the plain OTLP columns of all requests, in batches as the processor's."""
    decoder = clew_kernel.Decoder(json.dumps({"columns": [], "contents": []}), resend_horizon_ns=_HORIZON_NS)
    start = time.process_time()
    for at in range(0, len(bodies), _BATCH_REQUESTS):
        together = list(bodies[at : at + _BATCH_REQUESTS])
        decoder.decode(
            together, [bytes(16)] * len(together), now_ns=time.time_ns(), min_time_ns=0, max_time_ns=2**63 - 1
        )
    return time.process_time() - start


def _serve_sync() -> None:
    server = grpc.server(ThreadPoolExecutor(max_workers=4), options=_UNLIMITED)
    handler = grpc.unary_unary_rpc_method_handler(lambda _request, _context: _ANSWER)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"port": port}), flush=True)
    sys.stdin.read()
    server.stop(None)


async def _serve_aio() -> None:
    async def export(_request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
        return _ANSWER

    server = grpc.aio.server(options=_UNLIMITED)
    handler = grpc.unary_unary_rpc_method_handler(export)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"port": port}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    if sys.argv[2] == "aio":
        asyncio.run(_serve_aio())
    else:
        _serve_sync()
