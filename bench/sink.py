"""A ClickHouse HTTP server that discards what is inserted.

Everything but INSERT is answered by the embedded engine, in an empty temporary database, so that whatever a client
asks when it connects or creates its tables gets ClickHouse's own answer. The body of an INSERT is read, its rows are
counted from the headers of its Arrow messages, and it is forgotten.

Run as a program it prints a line `{"port": N}` and serves until its standard input closes. `GET /count` returns
`{"table": {"inserts": n, "rows": n, "bytes": n}}`.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import sys
import tempfile
import threading
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qs, urlsplit

import clickhouse_connect
import lz4.frame
import zstandard

_INSERT = re.compile(rb"\s*INSERT\s+INTO\s+(?:TABLE\s+)?([\w.`]+)", re.IGNORECASE)
_ARROW_FILE = b"ARROW1\0\0"
_ARROW_CONTINUATION = 0xFFFFFFFF
_ARROW_RECORD_BATCH = 3
# Slots of the flatbuffer tables Message and RecordBatch (Arrow format/Message.fbs).
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3
_BATCH_LENGTH = 0
_TRANSPORT = {"query", "database", "default_format", "compress", "session_id", "query_id", "wait_end_of_query",
              "enable_http_compression", "client_protocol_version", "send_progress_in_http_headers",
              "http_headers_progress_interval_ms", "async_insert", "user", "password"}  # fmt: skip


def main() -> None:
    """Serves until standard input closes."""
    with tempfile.TemporaryDirectory(prefix="clew-bench-sink-") as folder:
        sink = Sink(folder)
        print(json.dumps({"port": sink.port}), flush=True)
        sys.stdin.read()


class Sink:
    """The server; one thread a connection."""

    def __init__(self, folder: str) -> None:
        self._engine = clickhouse_connect.get_client(dsn=f"chdb://{folder}")
        self._engine_lock = threading.Lock()
        self._counts: dict[str, dict[str, int]] = defaultdict(lambda: {"inserts": 0, "rows": 0, "bytes": 0})
        self._counts_lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb", buffering=1 << 20) as stream:
            while line := stream.readline():
                _, target, _ = line.split(b" ", 2)
                headers = {}
                while (header := stream.readline().strip()) != b"":
                    name, _, value = header.partition(b":")
                    headers[name.lower()] = value.strip()
                body = _body(stream, headers)
                status, fields, answer = self._answer(target.decode(), headers, body)
                fields["Content-Length"] = str(len(answer))
                head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
                connection.sendall(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + answer)

    def _answer(self, target: str, headers: dict[bytes, bytes], body: bytes) -> tuple[str, dict[str, str], bytes]:
        url = urlsplit(target)
        if url.path == "/count":
            with self._counts_lock:
                return "200 OK", {"Content-Type": "application/json"}, json.dumps(self._counts).encode()
        if url.path == "/ping":
            return "200 OK", {}, b"Ok.\n"
        parameters = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        query = parameters.get("query", "").encode()
        plain = _plain(headers, body)
        if match := _INSERT.match(query or plain):
            data = plain if query else memoryview(plain)[plain.index(b"\n") + 1 :]
            rows = self._count(match[1].decode(), arrow_rows(data), len(body))
            return "200 OK", {"X-ClickHouse-Summary": json.dumps({"written_rows": str(rows)})}, b""
        return self._ask((query + b"\n" + plain).decode().strip(), parameters)

    def _count(self, table: str, rows: int, size: int) -> int:
        name = table.replace("`", "").rpartition(".")[2]
        with self._counts_lock:
            count = self._counts[name]
            count["inserts"] += 1
            count["rows"] += rows
            count["bytes"] += size
        return rows

    def _ask(self, query: str, parameters: dict[str, str]) -> tuple[str, dict[str, str], bytes]:
        settings = {key: value for key, value in parameters.items() if key not in _TRANSPORT}
        form = parameters.get("default_format", "TabSeparated")
        try:
            with self._engine_lock:
                self._engine.database = parameters.get("database") or "default"
                if re.match(r"(?is)\s*(select|show|describe|desc|exists|with)\b", query):
                    answer = self._engine.raw_query(query, fmt=_wanted(query, form), settings=_known(settings))
                else:
                    answer = b""
                    self._engine.command(query, settings=_known(settings))
        except Exception as error:
            return "500 Internal Server Error", {"X-ClickHouse-Exception-Code": "1"}, str(error).encode()
        return "200 OK", {"X-ClickHouse-Format": form, "Content-Type": "text/plain"}, answer


def arrow_rows(data: bytes | memoryview) -> int:
    """Rows in an Arrow file or stream, read from its messages' headers; 0 if it is neither."""
    at = len(_ARROW_FILE) if data[:8] == _ARROW_FILE else 0
    rows = 0
    while at + 8 <= len(data):
        continuation, size = struct.unpack_from("<II", data, at)
        if continuation != _ARROW_CONTINUATION or size == 0:
            break
        at += 8
        message = at + struct.unpack_from("<I", data, at)[0]
        kind = struct.unpack_from("<B", data, _slot(data, message, _HEADER_TYPE) or at)[0]
        length_at = _slot(data, message, _BODY_LENGTH)
        length = struct.unpack_from("<q", data, length_at)[0] if length_at else 0
        header_at = _slot(data, message, _HEADER)
        if kind == _ARROW_RECORD_BATCH and header_at:
            batch = header_at + struct.unpack_from("<I", data, header_at)[0]
            if count_at := _slot(data, batch, _BATCH_LENGTH):
                rows += struct.unpack_from("<q", data, count_at)[0]
        at += size + length
    return rows


def _slot(data: bytes | memoryview, table: int, number: int) -> int:
    """Offset of a field of a flatbuffer table, 0 if it is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", data, vtable)[0]:
        return 0
    offset = struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0]
    return table + offset if offset else 0


def _body(stream: Any, headers: dict[bytes, bytes]) -> bytes:
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        parts = []
        while size := int(stream.readline().split(b";")[0], 16):
            parts.append(stream.read(size))
            stream.readline()
        stream.readline()
        return b"".join(parts)
    return stream.read(int(headers.get(b"content-length", b"0")))


def _plain(headers: dict[bytes, bytes], body: bytes) -> bytes:
    match headers.get(b"content-encoding"):
        case b"lz4":
            return lz4.frame.decompress(body)
        case b"zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return body


def _wanted(query: str, form: str) -> str | None:
    return None if re.search(r"(?is)\bformat\s+\w+\s*;?\s*$", query) else form


def _known(settings: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in settings.items() if not key.startswith("param_")}


if __name__ == "__main__":
    main()
