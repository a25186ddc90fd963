"""`clew runs`, `show`, `loops` and `query` over hand-made rows in the real tables, behind the real query endpoint."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shared import recorded_runs as recorded
from shared.cli import Clew, same_as_golden
from shared.query_server import query_server
from shared.store import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).with_name("cli_golden")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    statements = [*schema(), *recorded.statements()]
    with query_server(tmp_path_factory.mktemp("store") / "db", statements=statements) as server:
        yield f"{server.host}:{server.port}"


@pytest.fixture
def clew(address: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Clew:
    return Clew(monkeypatch, capfd, address)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("runs", ["runs", "--since", "1h"]),
        ("loops", ["loops"]),
        ("show_looping", ["show", recorded.LOOPING]),
        ("show_denied", ["show", recorded.DENIED]),
        ("show_broken", ["show", recorded.BROKEN]),
        ("show_broken_all", ["show", recorded.BROKEN, "--all"]),
        ("show_long", ["show", recorded.LONG]),
        ("show_bare", ["show", recorded.BARE]),
        ("show_hung", ["show", recorded.HUNG]),
        ("show_killed", ["show", recorded.KILLED]),
        ("show_sampled_out", ["show", recorded.SAMPLED_OUT]),
    ],
)
def test_what_is_printed_at_80_columns(clew: Clew, name: str, arguments: list[str]):
    ended = clew(*arguments)
    assert (ended.code, ended.err) == (0, "")
    assert all(len(line) <= 80 for line in ended.out.splitlines())
    assert all(char.isprintable() for line in ended.out.split("\n") for char in line)
    same_as_golden(ended.out, GOLDEN / f"{name}.txt")


def test_every_span_of_a_long_run_is_there_when_asked_for(clew: Clew):
    lines = clew("show", recorded.LONG, "--all").out.splitlines()
    assert sum("fetch_page" in line for line in lines) == 1000
    assert sum("─ ▹ step " in line for line in lines) == 1000


def test_a_beginning_of_the_trace_id_is_enough(clew: Clew):
    assert clew("show", recorded.LOOPING[:4]).out == clew("show", recorded.LOOPING.upper()).out


def test_an_ambiguous_beginning_lists_the_candidates(clew: Clew):
    ended = clew("show", "abcdef01")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines()[1:] == [f"  {twin}" for twin in recorded.TWINS]


def test_an_unknown_trace_is_said_to_be_unknown(clew: Clew):
    ended = clew("show", "00'; DROP\x1b")
    assert ended.code == 1
    assert "no run's trace id begins with" in ended.err
    assert "\x1b" not in ended.err


def test_show_as_json_is_whole_and_exact(clew: Clew):
    shown = json.loads(clew("show", recorded.BROKEN, "--json").out, parse_float=Decimal)
    assert shown["run"]["cost_usd"] == Decimal("0.000087")
    assert shown["run"]["agent_name"] == recorded.HOSTILE
    assert len(shown["spans"]) == 10
    # The correction is applied: the later copy costs nothing.
    assert [(s["usage_scope"], Decimal(s["cost_usd"])) for s in shown["spans"] if s["op"] == "chat"] == [
        ("duplicate", 0),
        ("own", Decimal("0.000087")),
        ("duplicate", 0),
        ("own", 0),
    ]


def test_runs_as_json_has_whole_ids_and_times(clew: Clew):
    runs = json.loads(clew("runs", "--agent", "researcher", "--json").out)
    assert [(run["trace_id"], run["started_at"], run["loops"]) for run in runs] == [
        (recorded.LOOPING, "2100-01-02T03:04:05Z", 1)
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--status", "running"], {recorded.LONG, recorded.HUNG, recorded.KILLED}),
        (["--agent", "old"], {recorded.LONG_AGO}),
        (["--agent", "old", "--since", "7d"], set()),
        (["--status", "error", "--agent", "researcher"], set()),
        (["--agent", "x' OR '1"], set()),
    ],
)
def test_runs_are_chosen_by_time_agent_and_status(clew: Clew, arguments: list[str], expected: set[str]):
    assert {run["trace_id"] for run in json.loads(clew("runs", "--json", *arguments).out)} == expected


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--fail-on", "loops"], 1),
        (["--fail-on", "denied", "--limit", "1"], 1),
        (["--fail-on", "loops", "--fail-on", "denied", "--agent", "twin"], 0),
        (["--fail-on", "failure", "--agent", "researcher"], 1),
        (["--fail-on", "interrupted"], 0),
        (["--fail-on", "sunshine"], 2),
        (["--since", "yesterday"], 2),
        (["--status", "fine"], 2),
    ],
)
def test_the_exit_code_of_runs_answers_the_question(clew: Clew, arguments: list[str], code: int):
    assert clew("runs", *arguments).code == code


def test_loops_as_json(clew: Clew):
    loops = json.loads(clew("loops", "--json").out, parse_float=Decimal)
    assert [(loop["trace_id"], loop["tool_name"], loop["wasted_cost_usd"]) for loop in loops] == [
        (recorded.LOOPING, "web_search", Decimal("0.000816")),
        (recorded.BARE, "lookup", Decimal("0.000246")),
    ]


def test_query_prints_tsv_where_there_is_no_terminal(clew: Clew):
    assert clew("query", "SELECT 1, 'a'").out == "1\ta\n"
    assert clew("query", "SELECT 1 AS x", "--format", "CSVWithNames").out == '"x"\n1\n'
    assert json.loads(clew("query", "SELECT 1 AS x", "--json").out)["data"] == [{"x": 1}]


def test_query_passes_on_the_stores_own_error(clew: Clew):
    ended = clew("query", "SELECT nope")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Code: 47. DB::Exception:")


def test_a_terminal_is_not_driven_by_what_is_stored(address: str):
    shown = _on_a_terminal(address, "query", "SELECT agent_name FROM runs WHERE agent_name LIKE 'evil%'")
    assert "─" in shown  # PrettyCompact
    assert "\x1b" not in shown
    assert "evil\\x1b[2J" in shown


def test_colours_only_where_they_are_wanted(address: str):
    command = ("show", recorded.LOOPING)
    assert "\x1b[" in _on_a_terminal(address, *command)
    assert "\x1b[" not in _on_a_terminal(address, *command, env={"NO_COLOR": "1"})


def _on_a_terminal(address: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    """What the command writes to a terminal."""
    ours, theirs = pty.openpty()
    base = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "CI"}}
    command = [sys.executable, "-m", "clew.cli", *arguments, "--query", address]
    with subprocess.Popen(command, stdout=theirs, env=base | {"TERM": "xterm-256color"} | (env or {})):
        os.close(theirs)
        written = b""
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # Linux's way of saying that the other side is closed
                break
            if not chunk:
                break
            written += chunk
    os.close(ours)
    return written.decode()


@pytest.mark.parametrize("command", [["runs"], ["loops"], ["show", "a1"], ["query", "SELECT 1"]])
def test_an_absent_processor_is_named_with_what_to_do(clew: Clew, command: list[str]):
    ended = clew(*command, "--query", "127.0.0.1:1")
    assert (ended.code, ended.out) == (1, "")
    assert "http://127.0.0.1:1 (Connection refused)" in ended.err
    assert "clew up" in ended.err
