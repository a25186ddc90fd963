"""A Go program using clickhouse-go over HTTP, as Grafana's data source does, reads through the query endpoint."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shared.query_server import query_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.query_server import QueryServer

MODULE = Path(__file__).parent / "clickhouse_go"

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="needs a Go toolchain (https://go.dev/dl)")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServer]:
    with query_server(tmp_path_factory.mktemp("go") / "store") as running:
        yield running


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary = tmp_path_factory.mktemp("program") / "clickhouse_go"
    subprocess.run(["go", "build", "-o", str(binary), "."], cwd=MODULE, check=True)
    return binary


@pytest.mark.parametrize("compression", ["none", "gzip", "lz4", "zstd"])
def test_clickhouse_go_reads_the_store(server: QueryServer, program: Path, compression: str) -> None:
    command = [str(program), f"{server.host}:{server.port}", compression]
    ended = subprocess.run(command, capture_output=True, text=True)

    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert report["wide"] == {
        "at": "2026-01-02T03:04:05.123456789Z", "label": "v", "name": "one", "cost": "0.000000001",
        "hash": str(2**128 - 1), "second_hash": "2", "time": "2026-01-02T03:04:05.000000001Z", "nested": "b",
        "level": "null", "outcome": "deny",
    }  # fmt: skip
    assert report["types"][3:6] == ["LowCardinality(String)", "Decimal(18, 9)", "UInt128"]
    assert (report["rows"], report["sum"]) == (300_000, 299_999 * 150_000)
    assert (report["bound"], report["parameter"]) == (1, "it's a text")
    assert report["empty"] == ["id", "labels"]
    assert report["described"][1] == "at DateTime64(9, 'UTC')"
    assert (report["error_code"], report["error_name"]) == (47, "UNKNOWN_IDENTIFIER")
    assert report["stream_code"] == 395
