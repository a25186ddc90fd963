"""Rows as what the store's client is to insert: an Arrow stream, for the network compressed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import lz4.frame
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FORMAT = "ArrowStream"

_ALIGNMENT = 64
_PIECE_BYTES = 256 * 1024
"""Of 64 KiB to 4 MiB the cheapest."""
_LEVEL, _FAST_LEVEL = -20, -40
# Negative levels give up on a text sooner, the lower the sooner. Measured (times smaller: the benchmark's 4 kB spans,
# English prose, recorded requests; us a span of the first): level 0: 1.9, 2.2, 5.9; 6.9 us. -10: 1.7, 1.6, 4.1; 6.3 us.
# -20: 1.6, 1.4, 3.2; 5.7 us. -30: 1.5, 1.3, 2.6; 5.1 us. -40: 1.4, 1.1, 2.3; 4.5 us. Arrow's own LZ4, buffer by buffer:
# 2.1 for the first; 9.1 us.
_SAMPLE_BYTES, _HARDLY_SMALLER = 64 * 1024, 1.6
_BLOCKS = {"block_size": lz4.frame.BLOCKSIZE_MAX64KB, "block_linked": False}
# Blocks of 64 KiB that stand alone need half the hash table, which then stays in the nearest cache.


def plain(table: str, rows: pa.Table) -> dict[str, Any]:
    """Arguments of the client's `raw_insert`, for a store in this process.

    Args:
        table: its name, quoted.
        rows: columns named and typed as the table's.
    """
    sink = pa.BufferOutputStream()
    _write(rows, sink)
    return {"table": table, "column_names": rows.schema.names, "insert_block": sink.getvalue(), "fmt": FORMAT}


def compressed(table: str, rows: pa.Table) -> dict[str, Any]:
    """Arguments of the client's `raw_insert`, for a server: statement and rows in one LZ4 frame.

    The statement stands in the body, as in the client's own inserts: it names every column, and a URL is taken apart
    letter by letter, which cost 0.4 ms for every insert into otel_traces.

    Args:
        table: its name, quoted.
        rows: columns named and typed as the table's.
    """
    statement = _statement(table, rows.schema.names)
    if rows.get_total_buffer_size() > _PIECE_BYTES:
        return {"insert_block": _Frame(statement, rows), "compression": "lz4"}
    # As bytes, which the client sends again by itself if the server had closed the connection meanwhile.
    sink = pa.BufferOutputStream()
    sink.write(statement)
    _write(rows, sink)
    return {"insert_block": _compress(sink.getvalue()), "compression": "lz4"}


class _Parts(io.RawIOBase):
    """A file that keeps what is written to it where it lies in memory."""

    def __init__(self) -> None:
        self.taken: list[memoryview] = []

    def writable(self) -> bool:
        return True

    def write(self, part: bytes | pa.Buffer) -> int:
        self.taken.append(memoryview(part))
        return len(self.taken[-1])


class _Frame:
    """An LZ4 frame, made while it is sent: whoever iterates gets all of it, in pieces.

    The rows are copied into one nowhere, neither before nor after: a piece is still in the processor's cache when it
    goes to the socket.
    """

    def __init__(self, statement: bytes, rows: pa.Table) -> None:
        parts = _Parts()
        parts.write(statement)
        _write(rows, pa.PythonFile(parts, "w"))
        self._content = parts.taken

    def __iter__(self) -> Iterator[bytes]:
        compressor = lz4.frame.LZ4FrameCompressor(compression_level=_level(self._content), **_BLOCKS)
        yield compressor.begin()
        for piece in _pieces(self._content):
            yield compressor.compress(piece)
        yield compressor.flush()


def _level(content: Sequence[memoryview]) -> int:
    """How hard to try: less where even so little comes of it, as a sample of the largest column tells."""
    largest = max(content, key=len)
    sample = largest[len(largest) // 2 :][:_SAMPLE_BYTES]
    return _LEVEL if len(sample) > _HARDLY_SMALLER * len(_compress(sample)) else _FAST_LEVEL


def _compress(data: memoryview | pa.Buffer) -> bytes:
    frame: bytes = lz4.frame.compress(data, compression_level=_LEVEL, store_size=False, **_BLOCKS)
    return frame


def _pieces(content: Iterable[memoryview]) -> Iterator[bytes | memoryview]:
    """The same bytes in pieces of about one size: small ones are put together, large ones are cut."""
    some: list[memoryview] = []
    size = 0
    for part in content:
        for start in range(0, len(part), _PIECE_BYTES):
            some.append(part[start : start + _PIECE_BYTES])
            size += len(some[-1])
            if size >= _PIECE_BYTES:
                yield some[0] if len(some) == 1 else b"".join(some)
                some, size = [], 0
    yield b"".join(some)


def _statement(table: str, columns: Sequence[str]) -> bytes:
    """The statement before its data. Blanks fill it up, so that the columns stay aligned in memory."""
    names = ", ".join("`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`" for name in columns)
    statement = f"INSERT INTO {table} ({names}) FORMAT {FORMAT}\n".encode()
    return statement.rjust(-(-len(statement) // _ALIGNMENT) * _ALIGNMENT)


def _write(rows: pa.Table, sink: pa.NativeFile) -> None:
    # By this thread alone: a pool costs more than it gives.
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(use_threads=False)) as writer:
        writer.write_table(rows)
