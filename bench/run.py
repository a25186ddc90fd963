"""What a span costs: `python bench/run.py [--quick] [--embedded] [--only TEXT] [--enforce]`.

Sends each case's requests to the processor, whose store is a server that discards inserts, and takes the CPU time of
the processor from the operating system once everything is stored and it has come to rest. The same bytes go to a
grpcio server that discards them and through the generated protobuf classes: costs are compared as multiples of the
former, because microseconds differ from machine to machine. With `--embedded` the store is the embedded engine.

Prints a table and writes `bench/out/latest.json`. Bars are marked, and fail the run with `--enforce` only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import account
import payloads
import programs
import yardsticks

if TYPE_CHECKING:
    from collections.abc import Callable

    from payloads import Case
    from programs import Helper, Processor

OUT = Path(__file__).parent / "out"
STAGES = ("receive", "spool", "decode", "normalise", "enrich", "sample", "write", "rest")
_QUICK = 8
_DRAIN_S = 120.0
_POLL_S = 0.1
_ENOUGH_CPU_S = 0.5  # so that the 10 ms of the accounting are 2 %


@dataclass(frozen=True, slots=True)
class Result:
    """One case. Microseconds of CPU and bytes are per span.

    Attributes:
        case: Its name.
        spans: Spans sent while the clock ran.
        wire_bytes: Bytes of the requests.
        discard_us: The cheaper of the two discarding grpcio servers.
        discard_kind: Which one that was.
        parse_us: Parsing with the generated protobuf classes.
        processor_us: The processor, all of it.
        stages_us: By stage: `receive` is the main and gRPC's threads, `spool` the processor's own account of writing
            requests to disk and reading them back, `decode` to `write` that of the stages, `rest` what remains.
        ratio: `processor_us` over `discard_us`.
        bar: The most `ratio` may be, if the case has a bar.
        plain_us: Of `decode` what the plain OTLP columns take.
        genai_ratio: `decode` without that, `normalise` and `enrich` together over `discard_us`.
        genai_bar: The most `genai_ratio` may be, if the case has such a bar.
        spans_per_s: How fast they were stored, with the generator and the store on the same machine.
        store_bytes: Bytes of the inserts; None for the embedded store.
        batch_spans: Spans in a batch, on average; None for the embedded store.
        peak_mib: The processor's largest resident set.
        stored: Rows of otel_traces, which must be the spans sent.
        retries: Requests refused as UNAVAILABLE and sent again.
        ack_ms: Until a request was acknowledged: median and 99th percentile.
    """

    case: str
    spans: int
    wire_bytes: float
    discard_us: float
    discard_kind: str
    parse_us: float
    processor_us: float
    stages_us: dict[str, float]
    ratio: float
    bar: float | None
    plain_us: float
    genai_ratio: float
    genai_bar: float | None
    spans_per_s: float
    store_bytes: float | None
    batch_spans: float | None
    peak_mib: float
    stored: int
    retries: int
    ack_ms: list[float]

    @property
    def verdict(self) -> str:
        """`pass` or `FAIL` where there is a bar."""
        held = [
            ratio <= bar
            for ratio, bar in ((self.ratio, self.bar), (self.genai_ratio, self.genai_bar))
            if bar is not None
        ]
        return "" if not held else "pass" if all(held) else "FAIL"


def main() -> int:
    """Runs the chosen cases; 1 if a bar is missed and `--enforce` is given, or if spans were lost."""
    options = _options()
    cases = [case for case in payloads.CASES if not options.only or options.only in case.name]
    if not cases:
        names = ", ".join(case.name for case in payloads.CASES)
        print(f"no case has {options.only!r} in its name; there are: {names}", file=sys.stderr)
        return 2
    results = []
    for case in cases:
        print(f"{case.name} ...", file=sys.stderr, flush=True)
        results.append(_measure(_quick(case) if options.quick else case, options.durability, embedded=options.embedded))
    print(_report(results, embedded=options.embedded))
    _save(results, embedded=options.embedded)
    lost = [result for result in results if result.stored != result.spans]
    for result in lost:
        print(f"{result.case}: {result.spans} spans sent, {result.stored} stored", file=sys.stderr)
    missed = any(result.verdict == "FAIL" for result in results)
    return 1 if lost or (missed and options.enforce) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU per span, stage by stage, beside two yardsticks.")
    parser.add_argument("--quick", action="store_true", help="an eighth of the spans: a glance, not a measurement")
    parser.add_argument(
        "--embedded", action="store_true", help="into the embedded store instead of a discarding server"
    )
    parser.add_argument("--durability", choices=["fsync", "os"], default="fsync", help="when requests are acknowledged")
    parser.add_argument("--only", metavar="TEXT", help="only cases with this in their name")
    parser.add_argument("--enforce", action="store_true", help="exit with 1 if a bar is missed")
    return parser.parse_args()


def _quick(case: Case) -> Case:
    return replace(case, pool_spans=max(3000, case.pool_spans // 2), spans=max(6100, case.spans // _QUICK))


def _measure(case: Case, durability: str, *, embedded: bool) -> Result:
    # As much again before it: what a process fetches once, memory most of all, is no cost of the spans that follow.
    arguments = (case.name, str(case.pool_spans), str(case.spans), str(case.spans))
    with programs.helper("load.py", *arguments) as load:
        parsed = load.ask(parse=True)
        plain = load.ask(decode=True)
        discards = {}
        for kind in yardsticks.KINDS:
            with programs.helper("yardsticks.py", "discard", kind) as server:
                discards[kind] = discarded(load, server)
        kind = min(discards, key=lambda kind: discards[kind])
        measured = _embedded(load, durability) if embedded else _into_sink(load, durability)
    sent, used = measured["sent"], measured["cpu_s"]
    micros = 1e6 / sent["spans"]
    stages = {stage: seconds * micros for stage, seconds in measured["stages_s"].items()}
    plain_us = plain["seconds"] / plain["spans"] * 1e6
    genai_us = stages["decode"] - plain_us + stages["normalise"] + stages["enrich"]
    return Result(
        case=case.name,
        spans=sent["spans"],
        wire_bytes=sent["bytes"] / sent["spans"],
        discard_us=discards[kind],
        discard_kind=kind,
        parse_us=parsed["seconds"] / parsed["spans"] * 1e6,
        processor_us=used * micros,
        stages_us=stages | {"rest": used * micros - sum(stages.values())},
        ratio=used * micros / discards[kind],
        bar=None if embedded else case.bar,
        plain_us=plain_us,
        genai_ratio=genai_us / discards[kind],
        genai_bar=None if embedded else case.genai_bar,
        spans_per_s=sent["spans"] / measured["seconds"],
        store_bytes=None if embedded else measured["store_bytes"] / sent["spans"],
        batch_spans=None if embedded else measured["stored"] / measured["batches"],
        peak_mib=measured["peak_mib"],
        stored=measured["stored"],
        retries=sent["retries"],
        ack_ms=sent["ack_ms"],
    )


def discarded(load: Helper, server: Helper) -> float:
    """CPU, in us a span, of a server that forgets what the generator sends it."""
    target = f"127.0.0.1:{server.first['port']}"
    load.ask(target=target, part="warmup")
    before, used, spans = account.settled(server.pid), 0.0, 0
    while used < _ENOUGH_CPU_S:
        spans += load.ask(target=target, part="measured")["spans"]
        used = account.settled(server.pid) - before
    return used / spans * 1e6


def _into_sink(load: Helper, durability: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder, programs.helper("sink.py") as sink:
        port = sink.first["port"]

        def counts(_: Processor) -> dict[str, int]:
            tables = programs.sink_counts(port)
            spans = tables.get("otel_traces", {"rows": 0, "inserts": 0})
            size = sum(table["bytes"] for table in tables.values())
            return {"stored": spans["rows"], "batches": spans["inserts"], "store_bytes": size}

        with programs.processor(Path(folder), f"clickhouse://default@127.0.0.1:{port}/clew", durability) as up:
            return _processed(load, up, counts)


def _embedded(load: Helper, durability: str) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="clew-bench-") as folder,
        programs.processor(Path(folder), None, durability) as up,
    ):
        return _processed(load, up, lambda up: {"stored": up.stored()})


def _processed(load: Helper, up: Processor, counts: Callable[[Processor], dict[str, int]]) -> dict[str, Any]:
    warmed = load.ask(target=up.grpc, part="warmup")
    _drain(lambda: counts(up)["stored"], warmed["spans"])
    cpu, counted, stages = account.settled(up.pid), counts(up), _stages(up)
    began = time.monotonic()
    sent = load.ask(target=up.grpc, part="measured")
    _drain(lambda: counts(up)["stored"], counted["stored"] + sent["spans"])
    seconds = time.monotonic() - began
    cpu = account.settled(up.pid) - cpu
    return {
        "sent": sent,
        "seconds": seconds,
        "cpu_s": cpu,
        "stages_s": {stage: now - stages.get(stage, 0.0) for stage, now in _stages(up).items()},
        "peak_mib": account.peak_mib(up.pid),
        **{name: now - counted[name] for name, now in counts(up).items()},
    }


def _stages(up: Processor) -> dict[str, float]:
    return {"receive": account.receiving_seconds(up.pid)} | up.stage_seconds()


def _drain(stored: Callable[[], int], wanted: int) -> None:
    give_up = time.monotonic() + _DRAIN_S
    while stored() < wanted and time.monotonic() < give_up:
        time.sleep(_POLL_S)


def _report(results: list[Result], *, embedded: bool) -> str:
    rows = [
        [
            "us of CPU a span",
            "B/span",
            "discard",
            "protobuf",
            "clew",
            *STAGES,
            "ratio",
            "bar",
            "genai",
            "bar",
            "",
            "batch",
            "spans/s",
            "ack ms",
            "p99",
            "B out",
            "MiB",
        ]
    ]
    rows += [
        [
            result.case,
            f"{result.wire_bytes:.0f}",
            f"{result.discard_us:.2f} {result.discard_kind}",
            f"{result.parse_us:.2f}",
            f"{result.processor_us:.2f}",
            *(f"{result.stages_us.get(stage, 0.0):.2f}" for stage in STAGES),
            f"{result.ratio:.1f}",
            f"<={result.bar:g}" if result.bar else "",
            f"{result.genai_ratio:.1f}",
            f"<={result.genai_bar:g}" if result.genai_bar else "",
            result.verdict,
            "" if result.batch_spans is None else f"{result.batch_spans:.0f}",
            f"{result.spans_per_s:,.0f}",
            *(f"{took:.1f}" for took in result.ack_ms),
            "" if result.store_bytes is None else f"{result.store_bytes:.0f}",
            f"{result.peak_mib:.0f}",
        ]
        for result in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    store = "embedded engine (its merging included)" if embedded else "server that discards inserts, LZ4"
    return "\n".join([f"store: {store}; discard = cheaper of grpcio sync and aio, and which", *lines])


def _save(results: list[Result], *, embedded: bool) -> None:
    OUT.mkdir(exist_ok=True)
    report = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cpu": _cpu_model(), "cores": os.cpu_count(), "kernel": platform.release()},
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("clew-processor", "grpcio", "clickhouse-connect", "pyarrow")},
        "store": "embedded" if embedded else "sink",
        "results": [asdict(result) | {"verdict": result.verdict} for result in results],
    }
    text = json.dumps(report, indent=2) + "\n"
    (OUT / ("latest-embedded.json" if embedded else "latest.json")).write_text(text)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
