"""An agent that hangs is seen while it hangs: a real programme with the SDK, a real processor, the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from os import environ
from typing import TYPE_CHECKING

import pytest

from clew.cli import running
from shared.cli import Clew
from shared.processor import Processor, processor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TICK_MS = 50
PATIENCE_S = 60.0
AGENT = """
import sys
import clew.auto
import clew

@clew.tool
def call_bank(account):
    print("in it", flush=True)
    return sys.stdin.readline()

@clew.agent(name="night-shift", version="7")
def run():
    with clew.step("act", name="reconcile"):
        return call_bank("A-1")

run()
"""
APPROVAL = """
import sys
import clew.auto
import clew

@clew.agent(name="desk")
def run():
    with clew.gate("refunds", kind="human") as gate:
        print("in it", flush=True)
        sys.stdin.readline()
        gate.allow()

run()
"""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processor]:
    with processor(tmp_path_factory.mktemp("processor"), settings={"batch": {"max_wait_ms": 5}}) as up:
        yield up


@pytest.fixture
def clew(up: Processor, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Clew:
    return Clew(monkeypatch, capfd, up.query)


@contextmanager
def hanging(up: Processor, service: str, code: str = AGENT, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A programme that has got to where it hangs; a line lets it go."""
    variables = {
        "CLEW_ENDPOINT": f"http://{up.grpc}", "OTEL_BSP_SCHEDULE_DELAY": str(TICK_MS), "CLEW_SERVICE": service,
    } | variables  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environ | variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as programme:
        try:
            assert programme.stdout.readline() == "in it\n"
            yield programme
        finally:
            programme.kill()


def until(up: Processor, service: str, names: list[str]) -> None:
    """Waits until exactly these spans of the service are open."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := open_names(up, service)) != names:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def open_names(up: Processor, service: str) -> list[str]:
    sql = "SELECT name FROM open_spans WHERE service_name = {service:String} ORDER BY started_at"
    return [name for (name,) in up.rows(sql, service=service)]


def run_of(up: Processor, service: str) -> tuple[object, ...]:
    """Agent, version, status, open spans, ended spans, trace."""
    columns = "agent_name, agent_version, status, open_spans, spans, trace_id"
    (run,) = up.rows(f"SELECT {columns} FROM runs WHERE service_name = {{service:String}}", service=service)
    return run


ALL = ["invoke_agent night-shift", "step reconcile", "execute_tool call_bank"]


def test_a_tool_that_hangs_is_seen_and_gone_when_it_ends(up: Processor, clew: Clew):
    with hanging(up, "hangs") as programme:
        until(up, "hangs", ALL)
        *run, trace = run_of(up, "hangs")
        assert run == ["night-shift", "7", "running", 3, 0]
        assert up.value("SELECT count() FROM otel_traces WHERE ServiceName = 'hangs'") == 0

        assert f"{trace[:8]} running: execute_tool call_bank for " in clew("runs").out
        shown = clew("show", trace).out
        assert "… running: execute_tool call_bank for " in shown
        assert [line.split("running")[0] for line in shown.splitlines() if " … running" in line] == [
            "● night-shift … ",
            "└─ ▹ step reconcile … ",
            "   └─ ▸ call_bank … ",
        ]
        (told,) = [run for run in json.loads(clew("runs", "--json").out) if run["trace_id"] == trace]
        assert [span["name"] for span in told["running"]] == ["execute_tool call_bank"]

        programme.communicate("on\n", timeout=PATIENCE_S)
    until(up, "hangs", [])
    assert run_of(up, "hangs")[:5] == ("night-shift", "7", "ok", 0, 3)
    assert " running" not in clew("show", trace).out
    assert up.value("SELECT count() FROM otel_traces WHERE ServiceName = 'hangs'") == 3
    assert " start records among the stored" in " ".join(clew("doctor", "--endpoint", f"http://{up.grpc}").out.split())


def test_a_gate_that_waits_for_an_answer_is_seen(up: Processor):
    with hanging(up, "waits", APPROVAL) as programme:
        until(up, "waits", ["invoke_agent desk", "gate refunds"])
        programme.communicate("yes\n", timeout=PATIENCE_S)
    until(up, "waits", [])
    assert up.rows("SELECT outcome FROM gates WHERE service_name = 'waits'") == [("allow",)]


def test_what_was_killed_stays_and_is_said_to_be_silent(up: Processor, clew: Clew, monkeypatch: pytest.MonkeyPatch):
    with hanging(up, "killed") as programme:
        until(up, "killed", ALL)
        programme.send_signal(signal.SIGKILL)
        programme.wait(PATIENCE_S)
    assert open_names(up, "killed") == ALL
    trace = run_of(up, "killed")[5]
    assert run_of(up, "killed")[2] == "running"
    assert "not heard of" not in clew("show", trace).out
    monkeypatch.setattr(running, "SILENT_NS", 0)  # as if it were minutes later
    assert "its process may be gone" in clew("show", trace).out
    assert f"{trace[:8]} not heard of for " in clew("runs").out


def test_what_is_told_to_end_is_interrupted_not_open(up: Processor):
    with hanging(up, "told") as programme:
        until(up, "told", ALL)
        programme.send_signal(signal.SIGTERM)
        programme.wait(PATIENCE_S)
    until(up, "told", [])
    assert run_of(up, "told")[2] == "interrupted"


def test_switched_off_only_what_ended_is_told(up: Processor):
    with hanging(up, "off", CLEW_START_RECORDS="off") as programme:
        time.sleep(5 * TICK_MS / 1000)
        programme.communicate("on\n", timeout=PATIENCE_S)
    up.settled()
    assert run_of(up, "off")[2:5] == ("ok", 0, 3)
    assert up.value("SELECT count() FROM open_span_marks WHERE service_name = 'off'") == 0


def test_what_is_open_outlives_the_processors_death(tmp_path: Path):
    settings = {"batch": {"max_wait_ms": 5}, "spool": {"checkpoint_s": 0.1}}
    with processor(tmp_path, settings=settings) as up, hanging(up, "outlives") as programme:
        until(up, "outlives", ALL)
        up.process.kill()
        up.process.wait(PATIENCE_S)
        with processor(tmp_path, "--grpc", up.grpc, settings=settings) as again:
            assert open_names(again, "outlives") == ALL
            programme.communicate("on\n", timeout=PATIENCE_S)
            until(again, "outlives", [])
            assert run_of(again, "outlives")[2:5] == ("ok", 0, 3)
            again.settled()
            balance = "sum(received) - sum(stored) - sum(sampled_out) - sum(rejected) - sum(dead_letter)"
            assert again.value(f"SELECT {balance} FROM ledger_1m") == 0
