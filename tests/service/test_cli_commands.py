"""`clew` itself: which commands there are, versions, `clew run`, `clew doctor` against a real processor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint, version
from typing import TYPE_CHECKING

import pytest

from clew.cli import app
from shared.cli import Clew
from shared.processor import processor

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clew(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Clew:
    return Clew(monkeypatch, capfd)


def test_help_lists_every_command(clew: Clew):
    ended = clew("--help")
    assert ended.code == 0
    for name in ("runs", "show", "loops", "query", "doctor", "run", "demo", "version", "up", "reprice", "dead-letter"):
        assert f"│ {name} " in ended.out


def test_versions_of_the_parts(clew: Clew):
    parts = json.loads(clew("version", "--json").out)
    assert parts["clew"] == version("clew")
    assert set(parts) == {"clew", "clew-processor", "clew-kernel", "chdb", "opentelemetry-sdk", "python"}
    assert clew("--version").out == clew("version").out


def test_an_unknown_command_is_a_usage_error(clew: Clew):
    assert clew("frobnicate").code == 2


def test_up_without_the_processor_says_what_to_install(clew: Clew, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(app, "entry_points", lambda group: [])
    ended = clew("up", "--data", "x")
    assert ended.code == 1
    assert "pip install clew-processor" in ended.err
    assert "pip install clew-processor" in clew("--help").out


def test_a_command_that_cannot_be_loaded_does_not_break_the_others(clew: Clew, monkeypatch: pytest.MonkeyPatch):
    broken = EntryPoint("up", "no_such_module:up", "clew.commands")
    monkeypatch.setattr(app, "entry_points", lambda group: [broken])
    assert clew("--help").code == 0
    assert "No module named 'no_such_module'" in clew("up").err


def test_another_distribution_cannot_replace_a_command(clew: Clew, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(app, "entry_points", lambda group: [EntryPoint("version", "os:abort", "clew.commands")])
    assert clew("version").code == 0


def test_reading_versions_loads_no_terminal_library():
    code = "import sys\nfrom clew.cli.version import versions\nversions()\nassert 'rich' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def run(tmp_path: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`clew run` in a process of its own, with ``tmp_path`` as its directory."""
    command = [sys.executable, "-m", "clew.cli", "run", *arguments]
    # No processor: what the SDK has to say about that is not looked at here.
    quiet = {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | quiet | env)


def test_a_program_runs_instrumented_with_its_own_arguments_and_exit_code(tmp_path: Path):
    (tmp_path / "agent.py").write_text(
        "import os, sys\n"
        "print('clew.auto' in sys.modules, sys.argv, os.environ['OTEL_SERVICE_NAME'],"
        " os.environ['OTEL_EXPORTER_OTLP_ENDPOINT'])\n"
        "sys.exit(7)\n"
    )
    ended = run(tmp_path, "--service", "mine", "--endpoint", "127.0.0.1:9", "--", "agent.py", "--help", "-x")
    assert ended.stdout == "True ['agent.py', '--help', '-x'] mine http://127.0.0.1:9\n"
    assert ended.returncode == 7


def test_the_programs_own_sitecustomize_runs_too(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text("MINE = True\n")
    code = "import sitecustomize, sys; print(sitecustomize.MINE, 'clew.auto' in sys.modules)"
    assert run(tmp_path, "--", sys.executable, "-c", code, PYTHONPATH=str(tmp_path)).stdout == "True True\n"


def test_an_interpreter_without_clew_runs_its_program_all_the_same(tmp_path: Path):
    # -S leaves the environment's packages out, so clew is not there; the path still is.
    code = "import runpy, sys; runpy.run_path(sys.path[1] + '/sitecustomize.py'); print('done')"
    ended = run(tmp_path, "--", sys.executable, "-S", "-c", code)
    assert ended.stdout == "done\n"
    assert "pip install clew" in ended.stderr


def test_the_program_gets_the_signals(tmp_path: Path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM); signal.pause()"
    ended = run(tmp_path, "--", sys.executable, "-S", "-c", code)
    assert ended.returncode == -signal.SIGTERM


@pytest.mark.parametrize("program", ["no-such-program", "missing.py", "./missing"])
def test_a_program_that_is_not_there_is_named(tmp_path: Path, program: str):
    ended = run(tmp_path, "--", program)
    assert ended.returncode == 127
    assert f"cannot run '{program}'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_run_without_a_program_is_a_usage_error(tmp_path: Path):
    assert run(tmp_path).returncode == 2


def test_doctor_finds_a_healthy_processor_healthy(clew: Clew, tmp_path: Path):
    with processor(tmp_path) as running:
        addresses = ("--endpoint", f"http://{running.grpc}", "--query", running.query)
        ended = clew("doctor", "--json", *addresses)
        told = json.loads(ended.out)
        verdicts = {check["name"]: check["verdict"] for check in told["checks"]}
        assert ended.code == 0
        assert told["healthy"] is True
        assert (
            verdicts.items()
            >= {
                "versions": "ok",
                "probe_sent": "ok",
                "query": "ok",
                "probe_read": "ok",
                "balance": "ok",
                "unpriced": "ok",
            }.items()
        )
        assert running.rows("SELECT ServiceName, SpanName FROM otel_traces") == [("clew-doctor", "probe")]
        assert running.value("SELECT count() FROM runs") == 0

        text = clew("doctor", *addresses)
        assert "✓ spans add up: 2 received = 2 stored + 0 sampled_out + 0 rejected" in text.out
        assert all(len(line) <= 80 for line in text.out.splitlines())


def test_doctor_says_what_is_missing_and_what_to_do(clew: Clew):
    ended = clew("doctor", "--endpoint", "http://127.0.0.1:1", "--query", "127.0.0.1:1")
    assert ended.code == 1
    assert "✗ no span was accepted at http://127.0.0.1:1" in ended.out
    assert "✗ no clew processor answers at http://127.0.0.1:1" in ended.out
    assert ended.out.count("clew up") == 2
