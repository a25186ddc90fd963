"""What the SDK costs the agent: a span of clew's beside a bare one of OpenTelemetry's, redaction, and the imports.

    python bench/sdk_overhead.py [--spans 1000] [--rounds 40]

Spans are measured twice, in CPU time of the agent's own thread: without any span processor, and with one whose exporter
throws everything away (OpenTelemetry's batch processor for the bare span, clew's queue for clew's). Redaction is paid
by the exporting thread. Each number is the smallest of the rounds, in which the candidates take turns: many short ones,
so that what else the machine does misses some of each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import resource
import subprocess
import sys
from time import monotonic, process_time, thread_time
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import clew
from clew import _content
from clew._content import redact
from clew._content.prepare import prepare
from clew._export.limits import Limits
from clew._export.queue import ExportQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

bare_provider = TracerProvider(shutdown_on_exit=False)
clew_provider = TracerProvider(shutdown_on_exit=False)
tracer = bare_provider.get_tracer("bare")
ATTRIBUTES = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "f", "gen_ai.tool.type": "function"}

GATE = {
    "clew.op": "gate",
    "clew.gate.name": "g",
    "clew.gate.kind": "policy",
    "clew.gate.phase": "pre_tool",
    "gen_ai.agent.name": "inside",
}


def function(key: str) -> dict[str, str]:
    """What the decorated functions do: next to nothing."""
    return {"key": key}


async def async_function(key: str) -> dict[str, str]:
    """The same, asynchronous."""
    return {"key": key}


tool = clew.tool(function)
agent = clew.agent(function)
async_tool = clew.tool(async_function)


class Nowhere(SpanExporter):
    """Takes everything and keeps nothing; an exporter to OpenTelemetry, a destination to clew."""

    trouble = ""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Takes the spans."""
        del spans
        return SpanExportResult.SUCCESS

    def send(self, spans: Sequence[ReadableSpan]) -> bool:
        """Takes the spans."""
        return bool(spans)

    def close(self) -> None:
        """There is nothing to close."""


def bare() -> None:
    """The yardstick: one span, three attributes, current while the function runs."""
    with tracer.start_as_current_span("execute_tool f", attributes=ATTRIBUTES):
        function("k")


def bare_gate() -> None:
    """A bare span that says as much as `clew.gate` does: five attributes at its start, three at its end."""
    started = monotonic()
    with tracer.start_as_current_span("gate g", attributes=GATE) as span:
        waited = round((monotonic() - started) * 1000)
        span.set_attributes({"clew.gate.outcome": "allow", "clew.gate.wait_ms": waited, "clew.status": "ok"})


def step() -> None:
    """`clew.step`."""
    with clew.step("act"):
        function("k")


def gate() -> None:
    """`clew.gate` with a decision."""
    with clew.gate("g", kind="policy", phase="pre_tool") as gate:
        gate.allow()


@clew.agent
def inside(work: Callable[[], Any], times: int) -> None:
    """Runs the work as an agent's."""
    for _ in range(times):
        work()


async def _awaited(times: int) -> None:
    for _ in range(times):
        await async_tool("k")


def measure(times: int, rounds: int) -> dict[str, float]:
    """Candidate -> microseconds of CPU time for each span."""
    off, full = _content.Content.OFF, _content.Content.FULL
    candidates: dict[str, tuple[_content.Content, Callable[[], None]]] = {
        "bare OpenTelemetry span": (off, lambda: inside(bare, times)),
        "@clew.agent": (off, lambda: inside(lambda: agent("k"), times)),
        "@clew.tool, content off": (off, lambda: inside(lambda: tool("k"), times)),
        "@clew.tool, content on": (full, lambda: inside(lambda: tool("k"), times)),
        "async @clew.tool, content off": (off, lambda: asyncio.run(_awaited(times))),
        "clew.step": (off, lambda: inside(step, times)),
        "bare span saying what a gate says": (off, lambda: inside(bare_gate, times)),
        "clew.gate": (off, lambda: inside(gate, times)),
    }
    best = dict.fromkeys(candidates, float("inf"))
    for _ in range(rounds):
        for name, (content, run) in candidates.items():
            _content.set_mode(content)
            started = thread_time()
            run()
            best[name] = min(best[name], (thread_time() - started) / times * 1e6)
    return best


def measure_redaction(rounds: int) -> dict[str, float]:
    """Text -> megabytes a second that redaction searches."""
    prose = "The weather in Paris is sunny, 21 degrees; pack light and take the 08:15 train on platform 4. " * 50
    texts = {
        "messages as JSON, nothing found": json.dumps([{"role": "user", "parts": [{"content": prose}]}]),
        "messages as JSON, one address": json.dumps([{"role": "user", "parts": [{"content": prose + "a@b.org"}]}]),
        "base64": "QUJD" * 25_000,
    }
    redactor = redact.Redactor()
    best = {}
    for name, text in texts.items():
        seconds = float("inf")
        for _ in range(rounds):
            started = process_time()
            for _ in range(10):
                redactor.search(text, True)  # past the cache
            seconds = min(seconds, (process_time() - started) / 10)
        best[name] = len(text) / seconds / 1e6
    return best


def measure_preparing(rounds: int) -> dict[str, float]:
    """Span and mode -> microseconds of CPU time of the exporting thread for each span."""
    prose = "The weather in Paris is sunny, 21 degrees; pack light and take the 08:15 train on platform 4. "
    turns = [
        {"role": role, "parts": [{"type": "text", "content": prose * 5 + str(number)}]}
        for number, role in enumerate(("user", "assistant") * 4)
    ]
    spans = {
        "tool": {"gen_ai.tool.name": "look_up", "gen_ai.tool.call.arguments": '{"key":"k"}', "clew.status": "ok"},
        "chat, 4 kB": {"gen_ai.request.model": "m", "gen_ai.input.messages": json.dumps(turns)},
    }
    best = {}
    for name, attributes in spans.items():
        span = tracer.start_span(name, attributes=attributes)
        for mode in _content.Content:
            seconds = float("inf")
            for _ in range(rounds):
                started = thread_time()
                for _ in range(500):
                    prepare(span, mode)  # type: ignore[arg-type]
                seconds = min(seconds, (thread_time() - started) / 500)
            best[f"{name}, {mode.value}"] = seconds * 1e6
    return best


def measure_imports(rounds: int) -> dict[str, float]:
    """Statement -> milliseconds of CPU time of a fresh interpreter, beyond an interpreter that imports nothing."""
    statements = [
        "pass",
        "import opentelemetry.sdk.trace",
        "import opentelemetry.sdk",
        "import clew",
        "import clew.auto",
    ]
    best = dict.fromkeys(statements, float("inf"))
    for _ in range(rounds):
        for statement in statements:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", statement], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            best[statement] = min(best[statement], used * 1000)
    empty = best.pop("pass")
    return {statement: milliseconds - empty for statement, milliseconds in best.items()}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--spans", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    trace.set_tracer_provider(clew_provider)
    alone = measure(arguments.spans, arguments.rounds)
    room = Limits(queue_spans=2048, batch_spans=512, delay_s=1.0)
    bare_provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    clew_provider.add_span_processor(ExportQueue(Nowhere, _content.Content.FULL, room))
    logging.disable()  # whoever makes spans this fast loses some, on both sides
    processed = measure(arguments.spans, arguments.rounds)

    for title, unit, numbers, yardstick in (
        ("span, no processor", "us", alone, "bare OpenTelemetry span"),
        ("span, with processor", "us", processed, "bare OpenTelemetry span"),
        ("preparing a span", "us", measure_preparing(min(arguments.rounds, 7)), None),
        ("redaction", "MB/s", measure_redaction(min(arguments.rounds, 7)), None),
        ("import", "ms", measure_imports(min(arguments.rounds, 7)), "import opentelemetry.sdk.trace"),
    ):
        print(f"\n{title:<36} {unit:>8}")
        for name, number in numbers.items():
            beside = f"  {number / numbers[yardstick]:.2f}x" if yardstick else ""
            print(f"{name:<36} {number:8.1f}{beside}")


if __name__ == "__main__":
    main()
