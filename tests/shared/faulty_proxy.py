"""An HTTP proxy that stands before a store and breaks in the ways networks, balancers and servers do."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from contextlib import contextmanager
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import lz4.frame

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = b"Code: 241. DB::Exception: (total) memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)\n"
PARTS = b"Code: 252. DB::Exception: Too many parts (300). (TOO_MANY_PARTS)\n"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "host"}


class Fault(Enum):
    """What goes wrong."""

    REFUSED = "nobody listens"
    BLACK_HOLE = "connections are taken and nothing is read or said, not even after it is healed"
    RESET = "connections are reset once the request was read; nothing reaches the store"
    ERRORS = "500 with codes of ClickHouse, and without; nothing reaches the store"
    HANG_AFTER_HEAD = "the store does its work, its answer ends after the head, not even after it is healed"
    LOST_ANSWER = "the store does its work, the connection is reset in place of the answer"


class FaultyProxy:
    """Passes requests on to a store. Each connection is a thread here; requests are met by the fault there is then.

    Attributes:
        port: where it listens, or would.
        met: how many inserts met a fault.
    """

    def __init__(self, store_port: int, *, seed: int = 1) -> None:
        self._store_port = store_port
        self._chance = random.Random(seed)
        self._fault: Fault | None = None
        self._share = 1.0
        self._only_inserts = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        # Keeps the port while nobody listens, so that nobody else will.
        self._keeper = socket.socket()
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._keeper.bind(("127.0.0.1", 0))
        self.port: int = self._keeper.getsockname()[1]
        self.met = 0
        self._listen()

    def dsn(self, database: str = "clew") -> str:
        """What the processor's `store` setting takes."""
        return f"clickhouse://default@127.0.0.1:{self.port}/{database}"

    def fail(self, fault: Fault, *, share: float = 1.0, only_inserts: bool = False) -> None:
        """Go wrong from now on, with that share of requests."""
        self.heal()
        with self._lock:
            self._fault, self._share, self._only_inserts = fault, share, only_inserts
        if fault is Fault.REFUSED:
            self._close()

    def heal(self) -> None:
        """Go wrong no more; what hangs, hangs on until its other side gives up."""
        with self._lock:
            self._fault = None
        if self._server is None:
            self._listen()

    def close(self) -> None:
        """End it, and every connection."""
        self._close()
        self._keeper.close()

    def _listen(self) -> None:
        proxy = self

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

            def server_bind(self) -> None:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                super().server_bind()

            def process_request(self, request: Any, client_address: Any) -> None:
                with proxy._lock:
                    proxy._open.add(request)
                super().process_request(request, client_address)

            def shutdown_request(self, request: Any) -> None:
                with proxy._lock:
                    proxy._open.discard(request)
                super().shutdown_request(request)

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # connections that break are its business

        self._server = Server(("127.0.0.1", self.port), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _close(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        with self._lock:
            connections, self._open = self._open, set()
        for each in connections:
            _reset(each)

    def meet(self, statement: str) -> Fault | None:
        """What goes wrong with it."""
        insert = statement.lstrip().upper().startswith("INSERT")
        with self._lock:
            if self._fault is None or (self._only_inserts and not insert) or self._chance.random() >= self._share:
                return None
            self.met += insert
            return self._fault

    def error(self) -> tuple[int, bytes]:
        """One of the errors that have a status of 500 and more."""
        with self._lock:
            return self._chance.choice([(500, MEMORY), (500, PARTS), (500, b"oops"), (502, b"<html>"), (503, b"")])


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._pass_on(b"")

        def do_POST(self) -> None:
            self._pass_on(self._body())

        def _pass_on(self, body: bytes) -> None:
            fault = proxy.meet(self._statement(body))
            match fault:
                case Fault.RESET | Fault.REFUSED:
                    self._reset()
                case Fault.BLACK_HOLE:
                    self._hang()
                case Fault.ERRORS:
                    status, text = proxy.error()
                    code = {"X-ClickHouse-Exception-Code": text[6:9].decode()} if text.startswith(b"Code") else {}
                    self._answer(status, {"Content-Length": str(len(text))} | code, text)
                case _:
                    status, headers, answer = self._ask(body)
                    if fault is Fault.LOST_ANSWER:
                        self._reset()
                    elif fault is Fault.HANG_AFTER_HEAD:
                        self._answer(status, headers | {"Content-Length": str(max(1, len(answer)))}, b"")
                        self._hang()
                    else:
                        self._answer(status, headers, answer)

        def _statement(self, body: bytes) -> str:
            if query := parse_qs(urlsplit(self.path).query).get("query"):
                return query[0]
            if self.headers.get("Content-Encoding") == "lz4":
                body = lz4.frame.LZ4FrameDecompressor().decompress(body, max_length=100)
            return body[:100].decode("utf-8", "replace")

        def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            store = http.client.HTTPConnection("127.0.0.1", proxy._store_port, timeout=60)
            try:
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
                headers.pop("Content-Length", None)
                store.request(self.command, self.path, body or None, headers)
                answer = store.getresponse()
                content = answer.read()
            finally:
                store.close()
            given = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
            return answer.status, given | {"Content-Length": str(len(content))}, content

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("server", "date"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def _hang(self) -> None:
            """Until the other side gives up."""
            self.close_connection = True
            while self.connection.recv(65536):
                time.sleep(0.01)

        def _reset(self) -> None:
            self.close_connection = True
            _reset(self.connection)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

        def log_message(self, *args: object) -> None:
            pass

    return Handler


def _reset(connection: socket.socket) -> None:
    # Lingering for no time drops what is unsent, and the other side gets a reset (man 7 socket). Only a shutdown wakes
    # a thread that reads from it, so that comes first; it does no harm to the reset.
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
        connection.close()
    except OSError:
        pass  # it is gone already


@contextmanager
def faulty_proxy(store_port: int, *, seed: int = 1) -> Iterator[FaultyProxy]:
    """A proxy before the store at that port, until the block ends."""
    proxy = FaultyProxy(store_port, seed=seed)
    try:
        yield proxy
    finally:
        proxy.close()
