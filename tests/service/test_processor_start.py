"""What the processor refuses to start with, in one line that names it, and which of several settings counts."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from clew_processor.commands import up
from clew_processor.config import load
from shared.otlp import request, span
from shared.processor import Processor, processor, refused, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FREE = dict.fromkeys(("grpc", "http", "query"), "127.0.0.1:0")


class Refusal(NamedTuple):
    """How a processor is started that must not start, and what it has to say.

    `{here}` is the test's folder, which holds a file `file`, wrong prices in `prices` and a damaged key in `damaged`;
    `{taken}` an address that somebody listens on.
    """

    names: tuple[str, ...]
    flags: tuple[str, ...] = ()
    data: str | None = None
    taken: str | None = None
    settings: dict[str, dict[str, str]] | None = None


REFUSALS = {
    "path in a file": Refusal(("store:", "{here}/file/store"), ("--store", "chdb://{here}/file/store")),
    "nobody there": Refusal(
        ("store:", "127.0.0.1:1/clew", "Connection refused"), ("--store", "clickhouse://u:secret@127.0.0.1:1/clew")
    ),
    "grpc port taken": Refusal(("grpc:", "{taken}", "in use", "--grpc"), taken="grpc"),
    "http port taken": Refusal(("http:", "{taken}", "in use", "--http"), taken="http"),
    "query port taken": Refusal(("query:", "{taken}", "in use", "--query"), taken="query"),
    "data in a file": Refusal(("data:", "{here}/file/data", "--data"), data="{here}/file/data"),
    "prices that are none": Refusal(
        ("prices.file:", "{here}/prices", "models[0].prices[0].input", "-1", "greater than or equal to 0"),
        settings={"prices": {"file": "{here}/prices"}},
    ),
    "no prices there": Refusal(
        ("prices.data:", "{here}/nowhere", "No such file"), settings={"prices": {"data": "{here}/nowhere"}}
    ),
    "damaged key": Refusal(("data:", "content.key", "3 bytes", "16"), data="{here}/damaged"),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, dict[str, str]]]]:
    """What each of them said, and the names in its messages. They start together: starting is most of the time."""
    here = tmp_path_factory.mktemp("refusals")
    (here / "file").write_text("a file")
    (here / "prices").write_text("models: [{model: a, prices: {input: -1}}]")
    (here / "damaged").mkdir()
    (here / "damaged" / "content.key").write_bytes(b"123")
    with socket.create_server(("127.0.0.1", 0)) as server:
        words = {"here": str(here), "taken": f"127.0.0.1:{server.getsockname()[1]}"}
        started: dict[str, Processor] = {}
        try:
            for name, case in REFUSALS.items():
                started[name] = start(
                    here / name.replace(" ", "-"),
                    *(flag.format(**words) for flag in case.flags),
                    data=type(here)(case.data.format(**words)) if case.data else None,
                    addresses=FREE | ({case.taken: words["taken"]} if case.taken else {}),
                    settings=yaml.safe_load(yaml.safe_dump(case.settings).format(**words)) if case.settings else None,
                )
            yield {name: (refused(each), words) for name, each in started.items()}
        finally:
            for each in started.values():
                each.close()


@pytest.mark.parametrize("name", REFUSALS)
def test_it_refuses_to_start_and_names_what_is_wrong(said: dict[str, tuple[str, dict[str, str]]], name: str) -> None:
    line, words = said[name]
    for word in REFUSALS[name].names:
        assert word.format(**words) in line
    assert "secret" not in line


WRONG_SETTINGS: dict[str, tuple[dict[str, Any], dict[str, str], list[str]]] = {
    "unknown key in the file": (
        {"sampling": {"probabilty": 0.5}},
        {},
        ["sampling.probabilty", "'sampling.probability'"],
    ),
    "unknown section": ({"smapling": {"probability": 0.5}}, {}, ["smapling", "'sampling'"]),
    "unknown variable": ({}, {"CLEW_SAMPLING_PROBABILITY": "0.5"}, ["'CLEW_SAMPLING__PROBABILITY'"]),
    "unknown key in JSON": ({}, {"CLEW_SAMPLING": '{"probabilty": 1}'}, ["'sampling.probability'"]),
    "wrong number": ({"sampling": {"probability": 5}}, {}, ["sampling.probability", "5", "less than or equal to 1"]),
    "wrong variable": ({}, {"CLEW_SAMPLING__PROBABILITY": "lots"}, ["sampling.probability", "'lots'", "number"]),
    "value for a section": ({"sampling": 0.5}, {}, ["sampling", "0.5", "sampling.probability"]),
    "variable for a section": ({}, {"CLEW_SAMPLING": "x"}, ["CLEW_SAMPLING", "'x'", "CLEW_SAMPLING__"]),
    "address without port": ({}, {"CLEW_HTTP": "localhost"}, ["http", "'localhost'", "HOST:PORT"]),
    "store of unknown scheme": (
        {"store": "mysql://u:secret@db/x"},
        {},
        ["store:", "'mysql'", "chdb:///absolute/dir", "clickhouse://", "clickhouses://"],
    ),
    "store at a relative path": ({"store": "chdb://some/dir"}, {}, ["store:", "chdb://some/dir", "absolute"]),
    "store without a host": ({"store": "clickhouse:///clew"}, {}, ["store:", "host"]),
    "store whose port is no number": ({"store": "clickhouse://u:secret@db:x/clew"}, {}, ["store:", "'x'"]),
    "not keys and values": ([1, 2], {}, ["config", "clew.yaml", "keys and values"]),
}


@pytest.mark.parametrize("name", WRONG_SETTINGS)
def test_a_wrong_setting_is_named_with_what_is_allowed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file, variables, names = WRONG_SETTINGS[name]
    (tmp_path / "clew.yaml").write_text(yaml.safe_dump(in_file))
    line = one_line_of_refusal(invoke(tmp_path, monkeypatch, variables))
    for word in names:
        assert word in line
    assert "secret" not in line


@pytest.mark.parametrize("content", [b"a: [1", b"\xff\xfe"])
def test_a_settings_file_that_is_not_yaml_is_named(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clew.yaml").write_bytes(content)
    assert "clew.yaml is not YAML" in one_line_of_refusal(invoke(tmp_path, monkeypatch, {}))


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = one_line_of_refusal(invoke(tmp_path, monkeypatch, {}, "--config", "other.yaml"))
    assert "cannot read other.yaml" in line


def invoke(directory: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *flags: str) -> Result:
    """`clew up` in this process: a wrong setting ends it before anything is opened."""
    monkeypatch.chdir(directory)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    app = typer.Typer()
    app.command()(up)
    return CliRunner().invoke(app, flags)


def one_line_of_refusal(result: Result) -> str:
    lines = result.stderr.splitlines()
    assert (result.exit_code, len(lines)) == (2, 1), result.output
    assert lines[0].startswith("clew: ")
    return lines[0]


def test_a_flag_counts_before_the_environment_before_the_file_before_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(
        yaml.safe_dump(
            {"grpc": "h:1", "http": "h:1", "query": "h:1", "batch": {"max_spans": 1, "max_wait_ms": 1}, "tenant": "f"}
        )
    )
    variables = {"CLEW_GRPC": "h:2", "CLEW_HTTP": "h:2", "CLEW_BATCH__MAX_SPANS": "2", "CLEW_CONTENT": "off"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = load({"grpc": "h:3", "http": None}, config=file)
    assert (settings.grpc, settings.http, settings.query) == ("h:3", "h:2", "h:1")
    assert (settings.batch.max_spans, settings.batch.max_wait_ms) == (2, 1)
    assert (settings.tenant, settings.sampling.probability) == ("f", 1.0)


def test_a_running_processor_follows_the_same_order(tmp_path: Path) -> None:
    in_file = {"store": f"chdb://{tmp_path}/of-the-file", "tenant": "of-the-file", "data": "/dev/null/of-the-file"}
    in_env = {"CLEW_STORE": f"chdb://{tmp_path}/of-the-environment", "CLEW_GRPC": "127.0.0.1:1"}
    with processor(tmp_path, settings=in_file, env=in_env) as running:
        assert f"chdb://{tmp_path}/of-the-environment" in running.out
        assert running.data.is_dir()
        running.export(request(span(start=time.time_ns())))
        running.settled()
        assert running.value("SELECT TenantId FROM otel_traces") == "of-the-file"
    assert not (tmp_path / "of-the-file").exists()
