"""What the spool adds to a span: looked at before it is acknowledged, written and synced, handed to the reader.

    python bench/spool_cost.py      # beside a grpcio server that discards the same bytes, measured in the same run

CPU time of one thread that does nothing else, the least of several rounds. `files` is what reading costs where the
reader lags by more than is kept in memory, and reads files. Bar: look, write and memory together at most 0.7 of
`discard`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import payloads
import programs
import run
import yardsticks
from clew_processor.decode.decoder import TimeWindow, inspector
from clew_processor.spool.batcher import Batcher, BatchLimits
from clew_processor.spool.batches import BatchReader
from clew_processor.spool.commit import Committer
from clew_processor.spool.files import DiskFiles
from clew_processor.spool.log import RECENT_BYTES
from clew_processor.spool.opening import opened
from clew_processor.spool.record import Kind, Record
from clew_processor.spool.request import Request

if TYPE_CHECKING:
    from payloads import Case

CASES = ("400 B x 512", "4 kB x 512", "dialects x 512")
BAR = 0.7
SPANS = 60_000
ROUNDS = 5
GROUP = 8
"""Requests written together, about what comes within `spool.commit_ms` under load."""


def main() -> int:
    """Prints us a span; 1 where the bar is missed."""
    print(
        f"{'us of CPU a span':<18}{'discard':>8}{'look':>8}{'write':>8}{'memory':>8}{'files':>8}{'ratio':>8}{'bar':>7}"
    )
    missed = False
    for case in (case for case in payloads.CASES if case.name in CASES):
        discard = min(_discarded(case, kind) for kind in yardsticks.KINDS)
        look = min(_look(case, number) for number in range(ROUNDS))
        write, memory = map(min, zip(*(_spooled(case, number, RECENT_BYTES) for number in range(ROUNDS)), strict=True))
        files = min(_spooled(case, number, 0)[1] for number in range(ROUNDS))
        ratio = (look + write + memory) / discard
        missed |= ratio > BAR
        verdict = "missed" if ratio > BAR else "pass"
        print(
            f"{case.name:<18}{discard:8.2f}{look:8.3f}{write:8.3f}{memory:8.3f}{files:8.3f}{ratio:8.2f}{verdict:>7}",
            flush=True,
        )
    return int(missed)


def _discarded(case: Case, kind: str) -> float:
    arguments = (case.name, str(case.pool_spans), str(case.spans), str(2 * case.request_spans))
    with programs.helper("load.py", *arguments) as load, programs.helper("yardsticks.py", "discard", kind) as server:
        return run.discarded(load, server)


def _requests(case: Case, number: int) -> tuple[list[bytes], int]:
    pool = payloads.templates(case)
    bodies, _ = payloads.bodies(pool, SPANS, generation=number * SPANS)
    return bodies, payloads.span_count(pool, len(bodies))


def _look(case: Case, number: int) -> float:
    bodies, spans = _requests(case, number)
    inspect = inspector(max_span_bytes=16 << 20, window=TimeWindow(past_days=36_500, future_days=1))
    requests = [Request(body, "default", time.time_ns()) for body in bodies]
    began = time.thread_time()
    for request in requests:
        inspect(request)
    return (time.thread_time() - began) / spans * 1e6


def _spooled(case: Case, number: int, recent_bytes: int) -> tuple[float, float]:
    """To write them, and to read them."""
    bodies, spans = _requests(case, number)
    written = read = 0.0
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        files = DiskFiles(Path(folder), direct=True)
        log = opened(files, segment_bytes=16 << 20, recent_bytes=recent_bytes).log
        limits = BatchLimits(max_spans=20_000, max_wait_s=0.05, tick_s=10, settle_s=30)
        committer = Committer(log, Batcher(limits), max_spool_bytes=1 << 40)
        reader = BatchReader(log, 0, spans_before=0)
        for start in range(0, len(bodies), GROUP):
            some = bodies[start : start + GROUP]
            records = [Record(Kind.TRACES, time.time_ns(), "default", case.request_spans, body) for body in some]
            began = time.thread_time()
            committer.commit(records)
            between = time.thread_time()
            while reader.next() is not None:
                pass
            written += between - began
            read += time.thread_time() - between
        log.close()
    return written / spans * 1e6, read / spans * 1e6


if __name__ == "__main__":
    sys.exit(main())
