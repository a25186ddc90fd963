"""`python -m corpus.record [ROW [SCENARIO ...]]` from `tests/`: records rows of `families.toml` anew.

A row is a library under an instrumentation in an environment; what it records goes to `payloads/`. Without arguments:
all.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from corpus import scenarios
from corpus.golden import corpus
from corpus.record.scrub import Scrubber
from corpus.record.sink import Sink
from corpus.record.truth import KINDS, priced, recoverable, served
from corpus.server import ModelServer

HERE = Path(__file__).parent
PAYLOADS = HERE.parent / "payloads"
TRUTH = PAYLOADS / "truth.jsonl"
ENVIRONMENTS = Path(os.environ.get("CLEW_CORPUS_ENVS", Path.home() / ".cache" / "clew-corpus"))
#: In every environment: how a program sends what it recorded.
_ALWAYS = ["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"]
_TIMEOUT_S = 180
#: Scenarios that call the agent more than once.
RUNS = {"S10": 3, "S14": 2, "S15": 2}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m corpus.record", description=__doc__)
    parser.add_argument("row", nargs="?", default="", help="a row's name, or the start of several")
    parser.add_argument("scenario", nargs="*")
    parser.add_argument("--lock", action="store_true", help="resolve the environments' versions anew")
    parser.add_argument("--recount", action="store_true", help="look again for what the files hold, record nothing")
    parser.add_argument("--verbose", action="store_true", help="what the program says")
    chosen = parser.parse_args()
    if chosen.recount:
        recount()
        return
    table = tomllib.loads((HERE / "families.toml").read_text("utf-8"))
    rows = [row for row in whole(table["row"]) if row["name"].startswith(chosen.row)]
    if not rows:
        sys.exit(f"no row starts with {chosen.row!r}; there are {', '.join(row['name'] for row in table['row'])}")
    failures = []
    for row in rows:
        python = environment(row["env"], table["env"][row["env"]]["requirements"], lock=chosen.lock)
        for scenario, off in [(s, False) for s in row["scenarios"]] + [(s, True) for s in row.get("nocontent", [])]:
            if chosen.scenario and scenario not in chosen.scenario:
                continue
            setup = [table["setup"].get(name, name) for name in row["setup"]]
            line = record(row | {"setup": setup}, scenario, python, content=not off, verbose=chosen.verbose)
            if isinstance(line, str):
                failures.append(f"{row['name']} {scenario}{' nocontent' if off else ''}: {line}")
                print("FAILED", failures[-1], flush=True)
            else:
                keep(line)
                held = line["recoverable"]
                print(
                    line["file"],
                    f"calls {held['model_calls_with_right_usage_in_a_span']}/{line['truth']['model_calls']}",
                    f"ids {held['response_ids_in_spans']} tool spans {held['tool_spans']}",
                    *line["notes"],
                    flush=True,
                )
    if failures:
        sys.exit("\n".join(["", "not recorded:", *failures]))


def whole(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with what they take from the row named in `like`."""
    known: dict[str, dict[str, Any]] = {}
    for row in rows:
        known[row["name"]] = known.get(row.get("like", ""), {}) | row
    return list(known.values())


def environment(name: str, requirements: list[str], *, lock: bool) -> Path:
    """The Python of an environment, made with the locked versions where it is not there yet."""
    folder, locked = ENVIRONMENTS / name, HERE / "requirements" / f"{name}.txt"
    python = folder / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    if not python.exists() or lock:
        subprocess.run([uv, "venv", "-q", "--allow-existing", "-p", "3.11", folder], check=True)
        wanted = [*requirements, *_ALWAYS] if lock or not locked.exists() else ["-r", str(locked)]
        subprocess.run([uv, "pip", "install", "-q", "-p", python, *wanted], check=True)
    if lock or not locked.exists():
        frozen = subprocess.run([uv, "pip", "freeze", "-p", python], check=True, capture_output=True, text=True).stdout
        locked.parent.mkdir(exist_ok=True)
        locked.write_text(frozen, "utf-8")
    return python


def record(row: dict[str, Any], scenario: str, python: Path, *, content: bool, verbose: bool) -> dict[str, Any] | str:
    """Runs one program once and writes its file; a text says why there is none."""
    with ModelServer(scenario) as server, Sink() as sink, tempfile.TemporaryDirectory() as home:
        app_span = scenario in row.get("app_span", [])
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "LANG": "C.UTF-8",
            "TMPDIR": home,
            "NO_PROXY": "127.0.0.1,localhost",
            "PYTHONWARNINGS": "ignore",
            "CORPUS_SCENARIO": scenario,
            "CORPUS_MODEL_URL": server.url,
            "CORPUS_SINK_URL": sink.url,
            "CORPUS_SETUP": ",".join(row["setup"]),
            "CORPUS_CONTENT": "on" if content else "off",
            "CORPUS_APP_SPAN": "1" if app_span else "0",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no fetching of prices
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "ANTHROPIC_API_KEY": "sk-test",
            "ANTHROPIC_BASE_URL": server.url,
            **(row.get("content_on", {}) if content else row.get("content_off", {})),
        }
        for name, value in row.get("vars", {}).items():
            environ[name] = value.replace("{sink}", sink.url).replace("{model}", server.url)
        program = HERE / "programs" / f"{row['program']}.py"
        try:
            done = subprocess.run(
                [python, program], env=environ, cwd=home, capture_output=True, text=True, timeout=_TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            return f"no end after {_TIMEOUT_S} s"
    if verbose:
        print(done.stdout, done.stderr, *sink.refused, sep="\n")
    if done.returncode and scenario not in row.get("raises", []):
        return f"exit {done.returncode}: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]}"
    if not sink.traces and not sink.logs:
        return "no telemetry came"
    if not server.ledger:
        return "the model server was not asked"
    variant = ".".join(part for part in (row.get("variant"), "" if content else "nocontent") if part)
    stem = "__".join((row["family"], row["library"], row["instrumentation"], scenario)) + (
        f".{variant}" if variant else ""
    )
    scrubber = Scrubber()
    traces = [ExportTraceServiceRequest.FromString(body) for body in sink.traces]
    logs = [ExportLogsServiceRequest.FromString(body) for body in sink.logs]
    for request in (*traces, *logs):
        scrubber.request(request)
    write(PAYLOADS / f"{stem}.otlp", traces)
    if logs:
        write(PAYLOADS / f"{stem}.logs.otlp", logs)
    spans = [span for r in traces for g in r.resource_spans for s in g.scope_spans for span in s.spans]
    records = [entry for r in logs for g in r.resource_logs for s in g.scope_logs for entry in s.log_records]
    ledger = sorted(server.ledger, key=lambda line: (line["run"], line["at"]))
    truth = served(ledger, scenario=scenario, runs=RUNS.get(scenario, 1))
    truth["gates"] = scenarios.GATES.get(scenario, [])
    truth["session_id"] = "session-4711" if row.get("session") else None
    held = recoverable(truth, spans, records)
    packages = row["packages"]
    return {
        "file": f"{stem}.otlp",
        "logs": f"{stem}.logs.otlp" if logs else None,
        "family": row["family"],
        "library": row["library"],
        "library_version": version(python, row["library_package"]),
        "instrumentation": row["instrumentation"],
        "instrumentation_package": packages[0],
        "instrumentation_version": version(python, packages[0]),
        **({"packages": {name: version(python, name) for name in packages}} if len(packages) > 1 else {}),
        "scenario": scenario,
        "variant": variant or None,
        "dialect": row["dialect"],
        "captured": True,
        "content": content,
        "stacked": bool(row.get("stacked")),
        "app_parent_span": app_span,
        "truth": truth,
        "recoverable": held,
        "notes": notes(truth, held),
    }


def notes(truth: dict[str, Any], held: dict[str, Any]) -> list[str]:
    """Where the wire says less than the truth."""
    said = []
    missing = held["model_calls_with_usage_on_wire"] - held["model_calls_with_right_usage_in_a_span"]
    if missing:
        said.append(f"{missing} of {held['model_calls_with_usage_on_wire']} model calls have no right usage anywhere")
    unsaid = {kind: held[f"{kind}_truth"] - held[f"{kind}_in_a_span"] for kind in KINDS[2:]}
    said += [f"{kind} of {count} calls not recorded" for kind, count in unsaid.items() if count]
    if held["tool_spans"] != truth["tool_calls"]:
        said.append(f"{held['tool_spans']} tool spans, truth {truth['tool_calls']} tool calls")
    return said


def recount() -> None:
    """`recoverable` and `notes` of all captured files anew."""
    for payload in corpus():
        if payload.folder == PAYLOADS.name and payload.line["captured"]:
            spans = [
                span for r in payload.traces() for g in r.resource_spans for s in g.scope_spans for span in s.spans
            ]
            logs = [
                entry for r in payload.logs() for g in r.resource_logs for s in g.scope_logs for entry in s.log_records
            ]
            truth = priced(payload.line["truth"]) | {"gates": scenarios.GATES.get(payload.line["scenario"], [])}
            held = recoverable(truth, spans, logs)
            keep(payload.line | {"truth": truth, "recoverable": held, "notes": notes(truth, held)})


def version(python: Path, package: str) -> str:
    [site] = (python.parent.parent / "lib").glob("python*/site-packages")
    found = next(iter(metadata.distributions(name=package, path=[str(site)])), None)
    return found.version if found else ""


def write(path: Path, requests: list[Any]) -> None:
    """Records of a 4-byte little-endian length and a body."""
    bodies = [request.SerializeToString() for request in requests]
    path.write_bytes(b"".join(len(body).to_bytes(4, "little") + body for body in bodies))


def keep(line: dict[str, Any]) -> None:
    """Puts a line into the truth, in place of the file's former one."""
    with TRUTH.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two recorders may run at a time
        file.seek(0)
        lines = {old["file"]: old for old in map(json.loads, file)}
        lines[line["file"]] = line
        file.truncate(0)
        file.write("".join(json.dumps(lines[name]) + "\n" for name in sorted(lines)))


if __name__ == "__main__":
    main()
