"""The summary as text: one line a run, what was checked, and what to try next. At most 79 columns wide."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from clew.demo.processor import Ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from clew.demo.record import Recorded

GRAFANA = "http://localhost:3000"

# SGR codes, ECMA-48 section 8.3.117.
_BOLD, _DIM, _RED, _GREEN, _YELLOW = "1", "2", "31", "32", "33"


@dataclass(frozen=True)
class Pen:
    """Writes lines to a stream, in colour where the stream is a terminal and `NO_COLOR` is not set."""

    stream: TextIO

    def line(self, text: str = "", style: str = "") -> None:
        """Writes one line and flushes, so that progress is seen when it happens."""
        coloured = style and self.stream.isatty() and not os.environ.get("NO_COLOR")
        self.stream.write(f"\x1b[{style}m{text}\x1b[0m\n" if coloured else f"{text}\n")
        self.stream.flush()

    def good(self, text: str) -> None:
        """A line that says something is as it should be."""
        self.line(text, _GREEN)

    def bad(self, text: str) -> None:
        """A line that says something is wrong."""
        self.line(text, _RED)

    def quiet(self, text: str) -> None:
        """A line of lesser weight."""
        self.line(text, _DIM)

    def head(self, text: str) -> None:
        """A heading."""
        self.line(text, _BOLD)


@dataclass(frozen=True)
class _Column:
    title: str
    width: int
    cell: Callable[[Recorded], str]
    right: bool = True

    def fit(self, text: str) -> str:
        return text.rjust(self.width) if self.right else text.ljust(self.width)


_COLUMNS = (
    _Column("agent", 17, lambda run: run.agent_name, right=False),
    _Column("outcome", 7, lambda run: run.outcome or run.status, right=False),
    _Column("steps", 5, lambda run: str(run.steps or "-")),
    _Column("calls", 5, lambda run: str(run.model_calls)),
    _Column("tools", 5, lambda run: str(run.tool_calls)),
    _Column("tokens", 6, lambda run: f"{run.input_tokens + run.output_tokens:,}"),
    _Column("cost $", 11, lambda run: f"{run.cost_usd:.9f}"),
    _Column("loops, $", 10, lambda run: f"{run.loops} {run.loop_cost_usd:.6f}" if run.loops else "-"),
    _Column("denied", 6, lambda run: f"{run.gates_denied}/{run.gates}" if run.gates else "-"),
)


def show_runs(pen: Pen, runs: Sequence[Recorded]) -> None:
    """The table of runs; runs with a loop or a denied gate stand out."""
    pen.head(" ".join(column.fit(column.title) for column in _COLUMNS).rstrip())
    for run in runs:
        stands_out = run.loops or run.gates_denied
        pen.line(" ".join(column.fit(column.cell(run)) for column in _COLUMNS), _YELLOW if stands_out else "")


def show_check(pen: Pen, runs: Sequence[Recorded], different: Iterable[str]) -> None:
    """What the comparison with the hand calculation found."""
    lines = list(different)
    if lines:
        pen.bad("NOT EQUAL to the hand calculation from the model server's own ledger:")
        for line in lines:
            pen.bad(f"  {line}")
        return
    calls = sum(run.model_calls for run in runs)
    total = sum((run.cost_usd for run in runs), Decimal(0))
    pen.good(f"Every cost equals the hand calculation to the last digit: {len(runs)} runs,")
    pen.good(f"{calls} model calls, ${total:.9f}. Tokens, tool calls, loops and gates do, too.")


def next_steps(looping: Recorded | None, ports: Ports, data: Path, *, serving: bool) -> list[tuple[str, str]]:
    """What to try next: pairs of what it is for and what to type or open."""
    clew = clew_command()
    query = "" if ports.query == Ports().query else f" --query 127.0.0.1:{ports.query}"
    steps = []
    if not serving:
        query = ""
        steps.append(("Serve this data again:", f"{clew} up --data {data}"))
    if looping is not None:
        steps.append(("The tree of the run that went in circles:", f"{clew} show {looping.trace_id}{query}"))
    grpc = ports.grpc if serving else Ports().grpc
    steps.append(("Record an agent of your own:", f"export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{grpc}"))
    # In containers, with a store of its own: the demo's embedded store is reached from this machine only.
    compose = "docker compose -f deploy/compose.embedded.yaml --env-file deploy/.env up"
    steps.append((f"Grafana with clew's boards at {GRAFANA}, see deploy/README.md:", compose))
    return steps


def show_next(pen: Pen, steps: Iterable[tuple[str, str]]) -> None:
    """The last lines: what to try next."""
    pen.head("Try next")
    for purpose, command in steps:
        pen.line(f"  {purpose}")
        pen.line(f"    {command}")


def clew_command() -> str:
    """How to type the `clew` of this Python: by its name where that finds it, else by its path."""
    beside = Path(sys.executable).parent / "clew"
    found = shutil.which("clew")
    if not beside.exists() or (found is not None and Path(found).resolve() == beside.resolve()):
        return "clew"
    return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)
