"""Over a server store queries are passed on, read-only and within the limits.

The server is played by clew's own query endpoint, and by a recorder where the request itself is looked at. It has not
been tried with a real ClickHouse server.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import clickhouse_connect
import pytest
import uvicorn
from clickhouse_connect.driver.exceptions import DatabaseError

from clew_processor.query.passthrough import passthrough_app
from clew_processor.query.settings import QuerySettings
from shared.query_server import QueryServer, query_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def passing_on(dsn: str, **settings: Any) -> Iterator[QueryServer]:
    """The passthrough application on a port of its own."""
    app = passthrough_app(dsn, "clew", QuerySettings(**settings))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield QueryServer("127.0.0.1", listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServer]:
    with (
        query_server(tmp_path_factory.mktemp("passthrough") / "store") as server,
        passing_on(f"clickhouse://reader:pw@{server.host}:{server.port}/clew") as passed,
    ):
        yield passed


@pytest.fixture
def recorder() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that notes what it is asked and answers ``1``."""
    seen: list[dict[str, Any]] = []

    class Recorder(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            fields = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
            seen.append({"fields": fields, "headers": dict(self.headers), "sql": body})
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.send_header("X-ClickHouse-Format", "TabSeparated")
            self.end_headers()
            self.wfile.write(b"1\n")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Recorder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"clickhouse://me:se%40cret@127.0.0.1:{server.server_port}/clew", seen
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("compress", [True, False, "gzip"])
def test_stock_client_reads_through_it(endpoint: QueryServer, compress: bool | str) -> None:
    with clickhouse_connect.get_client(host=endpoint.host, port=endpoint.port, compress=compress) as client:
        rows = client.query("SELECT name FROM kinds WHERE id = {id:UInt64}", parameters={"id": 1}).result_rows
        many = client.query("SELECT number FROM numbers(500000)").row_count
        with pytest.raises(DatabaseError, match="UNKNOWN_IDENTIFIER"):
            client.query("SELECT nope FROM kinds")

    assert rows == [("one",)]
    assert many == 500_000


def test_server_is_asked_read_only_and_within_the_limits(recorder: tuple[str, list[dict[str, Any]]]) -> None:
    dsn, seen = recorder
    with passing_on(dsn, max_execution_time_s=20, max_result_rows=100) as endpoint:
        answer = endpoint.ask(
            "SELECT {x:UInt8} SETTINGS max_result_rows = 5, join_use_nulls = 1 FORMAT CSV;",
            param_x=1, max_execution_time=65, max_memory_usage=10**15, readonly=2, query_id="q",
        )  # fmt: skip

    assert answer.data == b"1\n"
    assert answer.headers["X-ClickHouse-Format"] == "TabSeparated"
    (request,) = seen
    assert request["sql"] == "SELECT {x:UInt8}"
    expected = {
        "readonly": "1", "max_execution_time": "20.000", "max_result_rows": "5", "max_memory_usage": str(1 << 30),
        "join_use_nulls": "1", "default_format": "CSV", "param_x": "1", "database": "clew", "query_id": "q",
    }  # fmt: skip
    assert {name: request["fields"].get(name) for name in expected} == expected
    assert (request["headers"]["X-ClickHouse-User"], request["headers"]["X-ClickHouse-Key"]) == ("me", "se@cret")


@pytest.mark.parametrize("fields", [{"readonly": 0}, {"allow_ddl": 1}, {"profile": "admin"}])
def test_other_settings_never_reach_the_server(
    recorder: tuple[str, list[dict[str, Any]]], fields: dict[str, object]
) -> None:
    dsn, seen = recorder
    with passing_on(dsn) as endpoint:
        answer = endpoint.ask("SELECT 1", **fields)

    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "164")
    assert seen == []


def test_absent_server_is_named_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with passing_on(f"clickhouse://me:secret@127.0.0.1:{port}/clew") as endpoint:
        answer = endpoint.ask("SELECT 1")

    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (503, "210")
    assert f"The ClickHouse server at http://127.0.0.1:{port}/ does not answer" in answer.data.decode()
    assert b"secret" not in answer.data


@pytest.mark.parametrize("dsn", ["chdb:///tmp/x", "http://localhost:8123", "clickhouse:///db", ""])
def test_dsn_of_another_kind_is_refused(dsn: str) -> None:
    with pytest.raises(ValueError, match="DSN must be clickhouse://user:pw@host:8123/db"):
        passthrough_app(dsn, "clew", QuerySettings())
