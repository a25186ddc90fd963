"""A ClickHouse server small enough for tests: its HTTP interface, writing included, over the embedded engine.

No ClickHouse server is to be had where the tests run. This one takes what the stock client sends (DDL, Native and Arrow
inserts, compressed, settings, parameters, database) and hands it to the real engine, in a process of its own because a
process can hold one folder only. It can be told to be in trouble. `writable_clickhouse` starts this same file as a
program; it ends when its standard input closes.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import lz4.frame
import urllib3
import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

REFUSE, HANG, LOSE_ANSWER = "refuse", "hang", "lose_answer"
"""Kinds of trouble: an error with nothing stored; no answer until healed; stored, but the connection breaks before the
answer."""
RESET, BAD_GATEWAY, HANG_IN_ANSWER = "reset", "bad_gateway", "hang_in_answer"
"""More: the connection is reset with nothing stored; a 502 with nothing stored, in words that are not ClickHouse's;
stored, but the answer ends after its head until healed."""
READ_ONLY = (242, "TABLE_IS_READ_ONLY")


class WritableClickHouse:
    """The server as tests see it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", port)

    def dsn(self, database: str = "clew") -> str:
        """What the processor's `store` setting takes."""
        return f"clickhouse://default@127.0.0.1:{self.port}/{database}"

    def client(self, database: str = "clew") -> Client:
        """A stock client of its own, which may write."""
        import clickhouse_connect

        return clickhouse_connect.get_client(host="127.0.0.1", port=self.port, database=database)

    def trouble(
        self,
        statement: str,
        how: str = REFUSE,
        *,
        message: str = "in trouble",
        error: tuple[int, str] = READ_ONLY,
        times: int | None = None,
    ) -> None:
        """Be in trouble with statements that match the regular expression, so many times, or until `heal`."""
        told = f"Code: {error[0]}. DB::Exception: {message}. ({error[1]})"
        self._tell({"statement": statement, "how": how, "message": told, "times": times})

    def heal(self) -> None:
        """Be out of trouble; what hangs goes on."""
        self._tell(None)

    def troubled(self) -> int:
        """How many statements met trouble since it was last asked for."""
        return json.loads(self._pool.request("GET", "/-/troubled").data)

    def _tell(self, trouble: dict[str, Any] | None) -> None:
        answer = self._pool.request("POST", "/-/trouble", body=json.dumps(trouble).encode())
        assert answer.status == 200, answer.data


@contextmanager
def writable_clickhouse(directory: Path, *, port: int = 0) -> Iterator[WritableClickHouse]:
    """Serve the store in ``directory`` (made if need be) until the block ends; at a free port unless one is named."""
    command = [sys.executable, __file__, str(directory), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            bound = process.stdout.readline().strip()
            assert bound, "the server did not start; its error is above"
            yield WritableClickHouse(int(bound))
        finally:
            process.kill()


# ---- the program

_INSERT = re.compile(rb"\s*INSERT\s+INTO\s+(?P<target>.+?)\s+FORMAT\s+(?P<format>\w+)\s*", re.IGNORECASE | re.DOTALL)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_TRANSPORT = frozenset(
    {
        "cancel_http_readonly_queries_on_client_close", "client_protocol_version", "compress", "database", "decompress",
        "default_format", "enable_http_compression", "http_headers_progress_interval_ms", "password", "query",
        "query_id", "role", "send_progress_in_http_headers", "session_id", "user", "wait_end_of_query",
    }
)  # fmt: skip
_PLAIN: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "lz4": lz4.frame.decompress,
    "gzip": gzip.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}


class _Trouble:
    """The trouble there is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._order: dict[str, Any] | None = None
        self._over = threading.Event()
        self._count = 0

    def set(self, order: dict[str, Any] | None) -> None:
        with self._lock:
            self._over.set()
            self._over = threading.Event()
            self._order = order
            self._count = self._count if order is None else 0

    def meet(self, statement: str) -> tuple[str, str] | None:
        """How the statement fares and the message, or None; a statement that hangs does so in here."""
        with self._lock:
            order, over = self._order, self._over
            if order is None or not re.search(order["statement"], statement) or order["times"] == 0:
                return None
            if order["times"] is not None:
                order["times"] -= 1
            self._count += 1
        if order["how"] == HANG:
            over.wait()
            return None
        return order["how"], order["message"]

    def wait(self) -> None:
        """Return when the trouble is over."""
        with self._lock:
            order, over = self._order, self._over
        if order is not None:
            over.wait()

    @property
    def count(self) -> int:
        return self._count


class _NoAnswerError(Exception):
    """The statement is not to be answered as it should, but in the way it was ordered."""


def _execute(folder: str, trouble: _Trouble, query: bytes, body: bytes, parameters: dict[str, str]) -> bytes:
    """Run one statement as the server would; the result in its format.

    Raises:
        RuntimeError: the engine's, or the trouble's, with the text a server sends.
    """
    import chdb

    text = query or body
    insert = _INSERT.match(text)
    statement = (insert[0] if insert else query + b"\n" + body).decode().strip()
    met = trouble.meet(statement)
    if met and met[0] == REFUSE:
        raise RuntimeError(met[1])
    if met and met[0] in (RESET, BAD_GATEWAY):
        raise _NoAnswerError(met[0])
    connection = chdb.connect(folder)
    try:
        connection.query(f"USE `{parameters.get('database') or 'default'}`")
        settings = {
            name: value
            for name, value in parameters.items()
            if name not in _TRANSPORT and name != "readonly" and not name.startswith("param_")
        }
        for name, value in settings.items():
            connection.query(f"SET {name} = {_quoted(value)}")
        if parameters.get("readonly") == "1":
            connection.query("SET readonly = 1")
        if insert:
            with tempfile.NamedTemporaryFile() as file:  # the embedded engine takes data from files only
                file.write(body if query else body[insert.end() :])
                file.flush()
                target, form = insert["target"].decode(), insert["format"].decode()
                connection.query(f"INSERT INTO {target} FROM INFILE '{file.name}' FORMAT {form}")
            answer = b""
        else:
            asked = _FORMAT.search(statement)
            form = asked[1] if asked else parameters.get("default_format", "TabSeparated")
            sql = statement[: asked.start()] if asked else statement
            given = {name.removeprefix("param_"): v for name, v in parameters.items() if name.startswith("param_")}
            answer = connection.query(sql, form, params=given).bytes() or b""
    finally:
        connection.close()
    if met and met[0] in (LOSE_ANSWER, HANG_IN_ANSWER):
        raise _NoAnswerError(met[0])
    return answer


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _handler(folder: str, trouble: _Trouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            if self.path == "/ping":
                self._answer(200, b"Ok.\n")
            elif self.path == "/-/troubled":
                self._answer(200, json.dumps(trouble.count).encode())
            else:
                self._query(b"")

        def do_POST(self) -> None:
            body = self._body()
            if self.path == "/-/trouble":
                trouble.set(json.loads(body))
                self._answer(200, b"")
            else:
                self._query(body)

        def _query(self, body: bytes) -> None:
            parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
            try:
                answer = _execute(folder, trouble, parameters.get("query", "").encode(), body, parameters)
            except _NoAnswerError as ordered:
                self._fail(str(ordered))
            except RuntimeError as error:
                code = re.search(r"Code: (\d+)", str(error))
                self._answer(500, str(error).encode(), **{"X-ClickHouse-Exception-Code": code[1] if code else "1"})
            else:
                self._answer(200, answer, **{"X-ClickHouse-Summary": "{}"})

        def _fail(self, how: str) -> None:
            self.close_connection = True
            if how == RESET:
                # Linger for no time: what is unsent is dropped and the other side gets a reset (man 7 socket).
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            elif how == BAD_GATEWAY:
                self._answer(502, b"<html>no backend</html>")
            elif how == HANG_IN_ANSWER:
                self.send_response(200)
                self.send_header("Content-Length", "5")
                self.end_headers()
                trouble.wait()

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                pieces = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                body = b"".join(pieces)
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return _PLAIN[self.headers.get("Content-Encoding", "")](body)

        def _answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    return Handler


def _serve(folder: str, port: int) -> None:
    import chdb

    engine = chdb.connect(folder)
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(folder, _Trouble()))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)  # noqa: T201 - the parent reads it
    sys.stdin.read()
    engine.close()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
