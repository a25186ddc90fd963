"""The query endpoint over a store of its own, in a process of its own: one process may hold one chdb folder.

`query_server` starts this same file as a program. It makes the store, serves it with uvicorn as the processor does, and
writes a row into `clew.heartbeat` every few milliseconds, so that tests can see whether writing goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import urllib3

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

TABLES = [
    "CREATE DATABASE clew",
    "CREATE TABLE clew.heartbeat (at DateTime64(3)) ENGINE = MergeTree ORDER BY at",
    """CREATE TABLE clew.kinds
       (id UInt64, at DateTime64(9, 'UTC'), labels Map(LowCardinality(String), String), name LowCardinality(String),
        cost Decimal(18, 9), hash UInt128, hashes Array(UInt128), level Nullable(Float32),
        times Array(DateTime64(9, 'UTC')), nested Array(Map(LowCardinality(String), String)),
        outcome Enum8('allow' = 1, 'deny' = 2))
       ENGINE = MergeTree ORDER BY id""",
    """INSERT INTO clew.kinds VALUES
       (1, '2026-01-02 03:04:05.123456789', {'k': 'v'}, 'one', 0.000000001, 340282366920938463463374607431768211455,
        [1, 2], NULL, ['2026-01-02 03:04:05.000000001'], [{'a': 'b'}], 'deny'),
       (2, '2026-01-02 03:04:06', {}, '', 12.5, 0, [], 1.5, [], [], 'allow')""",
    "CREATE VIEW clew.kinds_view AS SELECT id, name FROM clew.kinds",
]


@dataclass(frozen=True)
class QueryServer:
    """Where the endpoint listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/"

    def client(self, **options: Any) -> Client:
        """A stock clickhouse-connect client."""
        import clickhouse_connect

        return clickhouse_connect.get_client(host=self.host, port=self.port, **options)

    def ask(
        self,
        sql: str | bytes = b"",
        *,
        method: str = "POST",
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        **fields: object,
    ) -> urllib3.BaseHTTPResponse:
        """One HTTP request: SQL in the body, fields in the address; the answer read to its end."""
        pool = urllib3.HTTPConnectionPool(self.host, self.port)
        body = sql.encode() if isinstance(sql, str) else sql
        target = f"{path}?{urlencode(fields)}" if fields else path
        return pool.request(method, target, body=body or None, headers=headers, decode_content=False)


@contextmanager
def query_server(directory: Path, *, statements: Sequence[str] = (), **settings: object) -> Iterator[QueryServer]:
    """Serve a fresh store in ``directory``; ``settings`` are those of QuerySettings."""
    command = [sys.executable, __file__, str(directory), json.dumps(settings), json.dumps([*TABLES, *statements])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            port = process.stdout.readline().strip()
            assert port, "the endpoint did not start; its error is above"
            yield QueryServer("127.0.0.1", int(port))
        finally:
            process.terminate()


def _serve(directory: str, settings: dict[str, Any], statements: list[str]) -> None:
    import os
    import socket
    import threading
    import time
    from pathlib import Path

    os.environ["TZ"] = "UTC"  # the engine's default zone, read when it is loaded
    import chdb
    import uvicorn

    from clew_processor.query.app import query_app
    from clew_processor.query.settings import QuerySettings

    store = chdb.connect(directory)
    for statement in statements:
        store.query(statement)

    def beat() -> None:
        while True:
            store.query("INSERT INTO clew.heartbeat SELECT now64(3)")
            time.sleep(0.005)

    threading.Thread(target=beat, daemon=True).start()
    listener = socket.create_server(("127.0.0.1", 0))
    # Accepted sockets inherit it. asyncio sets it by itself only where the listener names its protocol.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(listener.getsockname()[1], flush=True)  # noqa: T201 - the parent reads it
    app = query_app(Path(directory), "clew", QuerySettings.model_validate(settings))
    config = uvicorn.Config(app, log_level="warning", timeout_keep_alive=330)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    _serve(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3]))
