"""Queries stay within their limits, end when nobody waits for them, and do not stop the writing."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from shared.query_server import query_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shared.query_server import QueryServer

#: Works until it is stopped; nothing of it is sent before its end.
ENDLESS = "SELECT sum(sipHash64(number)) FROM system.numbers"
#: Sends until it is stopped.
FLOOD = "SELECT number, repeat('x', 1000) FROM system.numbers"
PATIENCE_S = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@contextmanager
def asking(server: QueryServer, sql: str) -> Iterator[socket.socket]:
    """A connection on which a query was sent and nothing is read."""
    with socket.create_connection((server.host, server.port)) as connection:
        head = f"POST /?default_format=Native HTTP/1.1\r\nHost: clew\r\nContent-Length: {len(sql)}\r\n\r\n"
        connection.sendall(head.encode() + sql.encode())
        yield connection


def wait_for(happened: object) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def is_running(server: QueryServer) -> bool:
    """Whether the only turn is taken."""
    return server.ask("SELECT 1").status == 503


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServer]:
    """An endpoint with narrow limits of its own."""
    limits = {"max_query_bytes": 1000, "max_buffered_bytes": 500_000, "max_ast_elements": 50}
    with query_server(tmp_path_factory.mktemp("narrow") / "store", max_rows_to_read=0, **limits) as server:
        yield server


@pytest.mark.parametrize(
    ("sql", "fields", "code"),
    [
        (ENDLESS, {"max_execution_time": 0.3}, "159"),
        ("SELECT groupArray(number) FROM numbers(100000000)", {"max_memory_usage": 50_000_000}, "241"),
        ("SELECT number FROM numbers(1000)", {"max_result_rows": 999}, "396"),
        ("SELECT toString(number) FROM numbers(1000000)", {"max_result_bytes": 500_000}, "396"),
        ("SELECT repeat('x', 1000) FROM numbers(1000)", {"max_result_bytes": 500_000}, "396"),
        ("SELECT repeat('x', 1000) FROM numbers(1000) FORMAT JSON", {}, "396"),
        ("SELECT repeat('x', 1000) FROM numbers(9000000) FORMAT JSON", {"max_memory_usage": 90_000_000}, "241"),
        ("SELECT count() FROM numbers(1001)", {"max_rows_to_read": 1000}, "158"),
        ("SELECT sum(number) FROM numbers(1001)", {"max_bytes_to_read": 8000}, "307"),
        (f"SELECT {'1, ' * 50} 1", {}, "168"),
        (f"SELECT '{'x' * 1000}'", {}, "223"),
    ],
)
def test_query_over_a_limit_fails_with_its_code(
    narrow: QueryServer, sql: str, fields: dict[str, object], code: str
) -> None:
    answer = narrow.ask(sql, **fields)

    assert answer.headers.get("X-ClickHouse-Exception-Code") == code, answer.data[:1000]


def test_query_without_a_turn_in_time_is_told_that_there_are_too_many(folder: Path) -> None:
    settings = {"max_concurrent": 1, "queue_timeout_s": 0.1, "max_rows_to_read": 0}
    with query_server(folder, **settings) as server, asking(server, ENDLESS):
        wait_for(lambda: is_running(server))
        refused = server.ask("SELECT 1")
        alive = server.ask(method="GET", path="/ping")

    assert (refused.status, refused.headers["X-ClickHouse-Exception-Code"]) == (503, "202")
    assert b"Too many simultaneous queries. Maximum: 1" in refused.data
    assert b"(TOO_MANY_SIMULTANEOUS_QUERIES)" in refused.data
    assert alive.data == b"Ok.\n"


def test_queries_beyond_the_bound_wait_for_their_turn(folder: Path) -> None:
    with query_server(folder, max_concurrent=1, queue_timeout_s=PATIENCE_S) as server:
        connections = [socket.create_connection((server.host, server.port)) for _ in range(20)]
        for connection in connections:
            connection.sendall(b"GET /?query=SELECT+uniq(number)+FROM+numbers(100000) HTTP/1.0\r\n\r\n")
        answers = [b"".join(iter(lambda c=connection: c.recv(65536), b"")) for connection in connections]

    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)


@pytest.mark.parametrize("sql", [ENDLESS, FLOOD])
def test_query_of_a_client_that_goes_is_ended(folder: Path, sql: str) -> None:
    limits = {"max_execution_time_s": 0, "max_rows_to_read": 0, "max_result_rows": 0, "max_result_bytes": 0}
    with query_server(folder, max_concurrent=1, queue_timeout_s=0.1, **limits) as server:
        with asking(server, sql) as connection:
            wait_for(lambda: is_running(server))
            if sql == FLOOD:
                assert connection.recv(10_000)
        wait_for(lambda: server.ask("SELECT 1").data == b"1\n")


def test_client_that_takes_nothing_gives_its_turn_back(folder: Path) -> None:
    limits = {"max_execution_time_s": 0, "max_rows_to_read": 0, "max_result_rows": 0, "max_result_bytes": 0}
    settings = {"max_concurrent": 1, "queue_timeout_s": 0.1, "send_timeout_s": 0.3} | limits
    with query_server(folder, **settings) as server, asking(server, FLOOD):
        wait_for(lambda: is_running(server))
        wait_for(lambda: server.ask("SELECT 1").data == b"1\n")


def test_writing_goes_on_while_queries_run(folder: Path) -> None:
    def written() -> int:
        return int(server.ask("SELECT count() FROM heartbeat").data)

    settings = {"max_concurrent": 3, "max_execution_time_s": PATIENCE_S, "max_rows_to_read": 0}
    with query_server(folder, **settings) as server, asking(server, ENDLESS), asking(server, ENDLESS):
        before = written()
        wait_for(lambda: written() > before + 20)
