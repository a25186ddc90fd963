"""Bytes of ClickHouse's protocols: hand-made Native blocks, compressed blocks, content encodings, error frames."""

from __future__ import annotations

import struct
import sys
import zlib
from typing import TYPE_CHECKING, Any, Protocol

import lz4.block
import lz4.frame
from clickhouse_cityhash.cityhash import CityHash128  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: From this protocol version on a column's type is followed by a byte that says how it is serialised.
CUSTOM_SERIALIZATION = 54454

#: The method byte of an LZ4 block in ClickHouse's compression format.
_LZ4 = 0x82
_BLOCK_HEADER = struct.Struct("<BII")
_UINT64_PAIR = struct.Struct("<QQ")
#: Bytes before compression of one compressed block; the server's own default is the same.
_BLOCK_BYTES = 1 << 20


class Encoder(Protocol):
    """Encodes a response body piece by piece."""

    def encode(self, data: bytes) -> bytes:
        """The encoded form of the next piece; may be empty while the encoder gathers."""
        ...

    def finish(self) -> bytes:
        """What is left at the end."""
        ...


class Identity:
    """Leaves bytes as they are."""

    def encode(self, data: bytes) -> bytes:
        """The same bytes."""
        return data

    def finish(self) -> bytes:
        """Nothing."""
        return b""


class CompressedBlocks:
    """ClickHouse's own block compression, what ``compress=1`` asks for.

    A block is a 16 byte CityHash128 (version 1.0.2) of the rest, a method byte, two UInt32 (bytes with this header,
    bytes when unpacked) and the data. Readers take the method from each block, so LZ4 serves those that asked for ZSTD.
    """

    def encode(self, data: bytes) -> bytes:
        """The data as one or more whole blocks."""
        view = memoryview(data)
        return b"".join(_compressed_block(view[at : at + _BLOCK_BYTES]) for at in range(0, len(view), _BLOCK_BYTES))

    def finish(self) -> bytes:
        """Nothing: every block is whole."""
        return b""


class Lz4Frames:
    """``Content-Encoding: lz4``."""

    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._head: bytes = self._frame.begin()

    def encode(self, data: bytes) -> bytes:
        """The next part of the frame."""
        head, self._head = self._head, b""
        packed: bytes = self._frame.compress(data)
        return head + packed

    def finish(self) -> bytes:
        """The frame's end."""
        head, self._head = self._head, b""
        rest: bytes = self._frame.flush()
        return head + rest


class Zstd:
    """``Content-Encoding: zstd``."""

    def __init__(self) -> None:
        self._stream = zstd.ZstdCompressor(level=1)

    def encode(self, data: bytes) -> bytes:
        """The next part of the frame."""
        return self._stream.compress(data)

    def finish(self) -> bytes:
        """The frame's end."""
        return self._stream.flush()


class Deflate:
    """``Content-Encoding: gzip`` or ``deflate``, by the window argument of zlib."""

    def __init__(self, window: int) -> None:
        self._stream = zlib.compressobj(1, zlib.DEFLATED, window)

    def encode(self, data: bytes) -> bytes:
        """The next part of the stream."""
        return self._stream.compress(data)

    def finish(self) -> bytes:
        """The stream's end."""
        return self._stream.flush()


#: Content codings in the order they are chosen in: the cheapest for this processor first.
ENCODERS: dict[str, Callable[[], Encoder]] = {
    "lz4": Lz4Frames,
    "zstd": Zstd,
    "gzip": lambda: Deflate(31),
    "deflate": lambda: Deflate(15),
}


_DECODERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "deflate": lambda: zlib.decompressobj(15),
    "zstd": zstd.ZstdDecompressor,
    "lz4": lz4.frame.LZ4FrameDecompressor,
}


def chosen_encoding(accepted: str) -> str | None:
    """The content coding for an Accept-Encoding header, or None for bytes as they are."""
    offers = {}
    for offer in accepted.lower().split(","):
        name, _, quality = offer.partition(";")
        offers[name.strip()] = quality.replace(" ", "") not in ("q=0", "q=0.0")
    return next((name for name in ENCODERS if offers.get(name, False)), None)


def decoded(body: bytes, encoding: str, limit: int) -> bytes:
    """A request body without its content coding.

    Args:
        body: the bytes as they came.
        encoding: the Content-Encoding header.
        limit: bytes the result may have.

    Returns:
        The bytes, at most ``limit`` + 1 of them: one more than the limit means that there is more.

    Raises:
        ValueError: the coding is not known, or the bytes are not of that coding.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _DECODERS:
        raise ValueError(f"Content-Encoding {encoding!r} is not known; {', '.join(_DECODERS)} are")
    decoder = _DECODERS[name]()
    try:
        unpacked: bytes = decoder.decompress(body, limit + 1)
    except (zlib.error, zstd.ZstdError, RuntimeError) as error:
        raise ValueError(f"the body is not {name}: {error}") from None
    if len(unpacked) <= limit and not decoder.eof:
        raise ValueError(f"the body is not {name}: its end is missing")
    return unpacked


def empty_block(columns: Iterable[tuple[str, str]]) -> bytes:
    """A Native block (revision 0) of no rows: (name, type) of its columns. The engine itself emits nothing there."""
    described = list(columns)
    names = b"".join(_text(name) + _text(kind) for name, kind in described)
    return _varint(len(described)) + _varint(0) + names


def hello_block(display_name: str, version: str, timezone: str, protocol: int) -> bytes:
    """The answer to clickhouse-go's first query, ``SELECT displayName(), version(), revision(), timezone()``.

    The driver reads this one block by the revision it asked for and all others by the revision it finds here. 0 makes
    it read them as the embedded engine writes them.
    """
    columns: Sequence[tuple[str, str, bytes]] = (
        ("displayName()", "String", _text(display_name)),
        ("version()", "String", _text(version)),
        ("revision()", "UInt32", (0).to_bytes(4, "little")),
        ("timezone()", "String", _text(timezone)),
    )
    modern = protocol >= CUSTOM_SERIALIZATION
    # Block info: field 1 (is_overflows) = 0, field 2 (bucket_num) = -1, end.
    info = bytes.fromhex("010002ffffffff00") if modern else b""
    serialization = b"\0" if modern else b""
    body = b"".join(_text(name) + _text(kind) + serialization + data for name, kind, data in columns)
    return info + _varint(len(columns)) + _varint(1) + body


def exception_frame(message: bytes, tag: str) -> bytes:
    """An error that comes when part of the result is out: framed so that clients find it.

    Args:
        message: the error text with its line end.
        tag: 16 characters, sent before in the header X-ClickHouse-Exception-Tag.
    """
    return b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n" % (
        tag.encode(), message, len(message), tag.encode()
    )  # fmt: skip


def _compressed_block(data: memoryview) -> bytes:
    packed: bytes = lz4.block.compress(data, store_size=False)
    rest = _BLOCK_HEADER.pack(_LZ4, _BLOCK_HEADER.size + len(packed), len(data)) + packed
    checksum: int = CityHash128(rest)
    # The library gives the first of the two 64 bit halves as the high one.
    return _UINT64_PAIR.pack(checksum >> 64, checksum & 0xFFFF_FFFF_FFFF_FFFF) + rest


def _text(text: str) -> bytes:
    data = text.encode()
    return _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
