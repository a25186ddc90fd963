"""The load generator: one case's requests over gRPC, from memory.

`python load.py CASE POOL SPANS WARMUP` builds everything and prints how much there is, then answers orders, one JSON
object a line, on its standard input:

    {"parse": true}                              -> {"spans", "seconds"}     CPU of the generated protobuf classes
    {"decode": true}                             -> {"spans", "seconds"}     CPU of the kernel without any plan
    {"target": "127.0.0.1:4317", "part": "warmup" | "measured"}
                                                 -> {"spans", "bytes", "requests", "seconds", "rejected", "retries",
                                                     "ack_ms": [median, 99th percentile]}

64 requests are in flight over 8 connections, each answered before its place is taken by the next; UNAVAILABLE is
tried again after the pause the server asks for, as exporters do, for 20 s; any other error ends the run.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

import payloads
import yardsticks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

IN_FLIGHT = 64
CONNECTIONS = 8
_METHOD = f"/{yardsticks.SERVICE}/Export"
_DEADLINE_S = 20
_PAUSE_S = 0.2
_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]


def main() -> None:
    """Builds, says so, and obeys until standard input closes."""
    name, pool_spans, spans, warmup = sys.argv[1], *map(int, sys.argv[2:5])
    case = next(case for case in payloads.CASES if case.name == name)
    pool = payloads.templates(replace(case, pool_spans=pool_spans))
    parts = {}
    parts["warmup"], unused = payloads.bodies(pool, warmup, generation=0)
    parts["measured"], _ = payloads.bodies(pool, spans, generation=unused)
    counts = {part: payloads.span_count(pool, len(bodies)) for part, bodies in parts.items()}
    gc.freeze()
    print(json.dumps({"ready": True, "spans": counts}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order.get("parse"):
            result = {"spans": counts["warmup"], "seconds": yardsticks.parse_seconds(parts["warmup"])}
        elif order.get("decode"):
            result = {"spans": counts["measured"], "seconds": yardsticks.decode_seconds(parts["measured"])}
        else:
            result = asyncio.run(_send(order["target"], parts[order["part"]]))
            result["spans"] = counts[order["part"]]
        print(json.dumps(result), flush=True)


async def _send(target: str, bodies: Sequence[bytes]) -> dict[str, float]:
    channels = [grpc.aio.insecure_channel(target, options=_OPTIONS) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(asyncio.wait_for(channel.channel_ready(), 10) for channel in channels))
    calls = [channel.unary_unary(_METHOD) for channel in channels]
    todo = iter(bodies)
    tally: Counter[str] = Counter()
    took: list[float] = []
    start = time.monotonic()
    await asyncio.gather(*(_worker(calls[index % CONNECTIONS], todo, tally, took) for index in range(IN_FLIGHT)))
    seconds = time.monotonic() - start
    await asyncio.gather(*(channel.close() for channel in channels))
    return {
        "bytes": sum(map(len, bodies)),
        "requests": len(bodies),
        "seconds": seconds,
        "rejected": tally["rejected"],
        "retries": tally["retries"],
        "ack_ms": [1e3 * sorted(took)[int(len(took) * share)] for share in (0.5, 0.99)],
    }


async def _worker(
    call: grpc.aio.UnaryUnaryMultiCallable, todo: Iterator[bytes], tally: Counter[str], took: list[float]
) -> None:
    for body in todo:
        began = time.monotonic()
        give_up = time.monotonic() + _DEADLINE_S
        while True:
            try:
                answer = await call(body, timeout=_DEADLINE_S)
                break
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > give_up:
                    raise
                tally["retries"] += 1
                await asyncio.sleep(_pause(error))
        took.append(time.monotonic() - began)
        if answer:
            tally["rejected"] += ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans


def _pause(error: grpc.aio.AioRpcError) -> float:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                wanted = error_details_pb2.RetryInfo()
                if detail.Unpack(wanted):
                    return wanted.retry_delay.ToMilliseconds() / 1000
    return _PAUSE_S


if __name__ == "__main__":
    main()
