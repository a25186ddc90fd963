"""A database `clew` made from the processor's SQL files, read through the processor's own query endpoint.

The embedded engine opens one directory per process, and other tests of the same run open theirs: so this one lives in
a child process. Reads come as Grafana's do, over HTTP, through the read-only gate.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

_writer: Any = None


class PanelStore:
    """An empty store with the processor's tables and its query endpoint; a context manager, since it owns a process."""

    def __init__(self, directory: Path) -> None:
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        self._directory = directory

    def __enter__(self) -> Self:
        import clickhouse_connect

        port = self._pool.submit(_open, self._directory).result()
        self._reader = clickhouse_connect.get_client(host="127.0.0.1", port=port, database="clew")
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._pool.shutdown()

    def insert(self, table: str, rows: list[dict[str, Any]]) -> None:
        """Insert rows that name the same columns; each call is one insert, so one part of the table."""
        columns = list(rows[0])
        values = [[row[column] for column in columns] for row in rows]
        self._pool.submit(_insert, table, columns, values).result()

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a SELECT, as the query endpoint answers it."""
        return list(self._reader.query(sql).named_results())


def _open(directory: Path) -> int:
    """Create the tables and serve; returns the query endpoint's port."""
    os.environ["TZ"] = "UTC"  # the engine's default zone, read when it is loaded
    import clickhouse_connect
    import uvicorn

    from clew_processor.query.app import query_app
    from clew_processor.query.settings import QuerySettings
    from shared.store import schema

    global _writer  # noqa: PLW0603 - the child process is this store
    clickhouse_connect.get_client(dsn=f"chdb://{directory}").command("CREATE DATABASE clew")
    _writer = clickhouse_connect.get_client(dsn=f"chdb://{directory}", database="clew")
    for statement in schema(days=10_000):
        _writer.command(statement)

    listening = socket.create_server(("127.0.0.1", 0))
    app = query_app(directory, "clew", QuerySettings())
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    threading.Thread(target=server.run, args=([listening],), daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return listening.getsockname()[1]


def _insert(table: str, columns: list[str], values: list[list[Any]]) -> None:
    _writer.insert(table, values, column_names=columns)
