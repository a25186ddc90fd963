"""Running one library's program through one case, and what the processor makes of what it sent.

`python -m frameworks.run LIBRARY [CASE]` from `tests/` shows it; with `--golden` the trees are written anew
(`trees/<library>.txt`): read the difference before committing it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from corpus.golden import rows
from corpus.record.truth import served
from corpus.server import ModelServer
from frameworks.environments import HERE, python_of, table
from shared.trace_sink import trace_sink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PROGRAMS = HERE / "programs"
TREES = HERE / "trees"
_SHARED = HERE.parent / "corpus" / "record" / "programs"
_TIMEOUT_S = 240
RUNS = {"S10": 3}
"""Scenarios that call the agent more than once."""


@dataclass(frozen=True)
class Library:
    """A row of `libraries.toml`."""

    row: dict[str, Any]

    @property
    def name(self) -> str:
        return self.row["name"]

    @property
    def fast(self) -> bool:
        """Whether it runs where the tests run."""
        return self.row["env"] == "dev"

    @property
    def cases(self) -> list[str]:
        return self.row["cases"]

    @property
    def tree_file(self) -> Path:
        return TREES / f"{self.name}.txt"

    def trees(self) -> dict[str, str]:
        """Case -> tree, as `trees/` has them."""
        whole = self.tree_file.read_text("utf-8") if self.tree_file.exists() else ""
        parts = [part.partition("\n") for part in whole.split("== ") if part]
        return {case: tree.strip("\n") for case, _, tree in parts}

    def departures(self, case: str) -> dict[str, str]:
        """What is known to differ from what was served in a case: what -> what is seen instead."""
        found = [one for one in self.row.get("departs", []) if case in one["cases"]]
        return {what: str(seen) for one in found for what, seen in one["seen"].items()}


@dataclass(frozen=True)
class Sent:
    """What a program sent, in the form the corpus replays."""

    name: str
    requests: Sequence[ExportTraceServiceRequest]

    def traces(self) -> Sequence[ExportTraceServiceRequest]:
        return self.requests

    def logs(self) -> Sequence[Any]:
        return ()


@dataclass(frozen=True)
class Outcome:
    """What came of one run of a program."""

    code: int
    stdout: str
    stderr: str
    sent: Sent
    truth: dict[str, Any]
    """What was served, in the words of the corpus."""


def libraries() -> list[Library]:
    """All rows."""
    return [Library(row) for row in table()["library"]]


def run(library: Library, case: str) -> Outcome:
    """Runs the library's program through a case, in its environment, against the scripted server."""
    scenario, *mode = case.split()
    environ = {"FRAMEWORKS_MODE": " ".join(mode), **library.row.get("vars", {})}
    if "alone" in mode:
        environ["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"] = ",".join(library.row["providers"])
    program = PROGRAMS / f"{library.row['program']}.py"
    return run_file(program, python_of(library.row["env"]), scenario, name=f"{library.name} {case}", environ=environ)


def run_file(program: Path, python: Path, scenario: str, *, name: str, environ: Mapping[str, str] = {}) -> Outcome:
    """Runs a program against the scripted server, with clew sending to a receiver of ours."""
    # Who leaves a stream is to have left before its end.
    pace = {"pace_s": 0.2} if "left" in environ.get("FRAMEWORKS_MODE", "").split() else {}
    with ModelServer(scenario, **pace) as server, trace_sink() as sink, tempfile.TemporaryDirectory() as home:
        given = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "TMPDIR": home,
            "LANG": "C.UTF-8",
            "NO_PROXY": "127.0.0.1,localhost",
            "PYTHONPATH": f"{_SHARED}{os.pathsep}{PROGRAMS}",
            "CORPUS_SCENARIO": scenario,
            "CORPUS_MODEL_URL": server.url,
            "CLEW_ENDPOINT": sink.endpoint,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no fetching of prices
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "OPENAI_API_BASE": f"{server.url}/v1",  # its older name, LlamaIndex reads no other
            "ANTHROPIC_API_KEY": "sk-test",
            "ANTHROPIC_BASE_URL": server.url,
            "GOOGLE_API_KEY": "test",
            "GOOGLE_GEMINI_BASE_URL": server.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": server.url,
        }
        given |= environ
        try:
            done = subprocess.run(
                [python, program], env=given, cwd=home, capture_output=True, text=True, timeout=_TIMEOUT_S
            )
        except subprocess.TimeoutExpired as late:
            raise RuntimeError(f"{name}: no end after {_TIMEOUT_S} s: {late.stderr}") from late
        ledger = sorted(server.ledger, key=lambda line: (line["run"], line["at"]))
        truth = served(ledger, scenario=scenario, runs=RUNS.get(scenario, 1))
        return Outcome(done.returncode, done.stdout, done.stderr, Sent(name, list(sink.requests)), truth)


def replayed(sent: Sent) -> list[dict[str, Any]]:
    """Spans and runs as the processor has them, read back by SQL."""
    return rows([sent])[sent.name]


def tree(lines: Sequence[Mapping[str, Any]]) -> str:
    """The spans as text: a line each, children indented under their parent, traces apart.

    Spans of one parent stand in order of their start, MCP's notifications last: when the other process sees one is
    chance. Traces are sorted by what they say, where there are several.
    """
    spans = [line for line in lines if "span" in line]
    scopes: dict[tuple[int, int], set[str]] = {}
    for span in spans:
        scopes.setdefault(_tokens(span), set()).add(span.get("UsageScope", ""))
    twice = {tokens for tokens, found in scopes.items() if found >= {"own", "duplicate"}}
    below: dict[Any, list[Mapping[str, Any]]] = {}
    for span in spans:
        below.setdefault(span.get("parent"), []).append(span)

    for children in below.values():
        children.sort(key=lambda span: span["SpanName"].startswith("notifications/"))

    def drawn(span: Mapping[str, Any], depth: int) -> str:
        own = "  " * depth + _line(span, twice=_tokens(span) in twice)
        return "\n".join([own, *(drawn(child, depth + 1) for child in below.get(span["span"], ()))])

    roots = [drawn(span, 0) for span in [*below.get(None, ()), *below.get("elsewhere", ())]]
    return "\n".join(sorted(roots) if len({span["trace"] for span in spans}) > 1 else roots)


def _tokens(span: Mapping[str, Any]) -> tuple[int, int]:
    return span.get("InputTokens", 0), span.get("OutputTokens", 0)


def _line(span: Mapping[str, Any], *, twice: bool) -> str:
    said = [span["SpanName"], f"[{span.get('Op', '')}]"]
    scope = span.get("UsageScope", "")
    if any(_tokens(span)):
        said.append("/".join(map(str, _tokens(span))))
        # Which of two copies counts is decided by their ids, that is by chance.
        said.append("one of two" if twice and scope in ("own", "duplicate") else scope)
    if "parent" in span and span["parent"] == "elsewhere":
        said.append("(parent elsewhere)")
    if span.get("Status") not in ("ok", "unset", None):
        said.append(span["Status"])
        said.append(span.get("ErrorType", ""))
    return " ".join(part for part in said if part)


def total(lines: Sequence[Mapping[str, Any]], column: str) -> Decimal:
    """A column of `runs`, over all runs."""
    return sum((Decimal(str(line["run"].get(column, 0))) for line in lines if "run" in line), Decimal(0))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m frameworks.run", description=__doc__)
    parser.add_argument("library", nargs="?", default="", help="a library's name")
    parser.add_argument("case", nargs="*", help="which; all of the library unless told")
    parser.add_argument("--golden", action="store_true", help="write the trees")
    parser.add_argument("--attributes", action="store_true", help="show the attributes that came")
    chosen = parser.parse_args()
    for library in libraries():
        if chosen.library not in ("", library.name):
            continue
        trees = library.trees()
        cases = [" ".join(chosen.case)] if chosen.case else library.cases
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(partial(run, library), cases))
        replays = rows([outcome.sent for outcome in outcomes])
        for case, outcome in zip(cases, outcomes, strict=True):
            lines = replays[outcome.sent.name]
            trees[case] = tree(lines)
            print(f"== {library.name} {case} (exit {outcome.code})", outcome.stdout.strip(), outcome.stderr, sep="\n")
            print(trees[case], *(line["run"] for line in lines if "run" in line), sep="\n", flush=True)
            print("served:", outcome.truth["totals_on_wire"])
            if chosen.attributes:
                print(*outcome.sent.requests, sep="\n")
        if chosen.golden:
            kept = [case for case in library.cases if case in trees]
            library.tree_file.write_text("\n".join(f"== {case}\n{trees[case]}\n" for case in kept), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
