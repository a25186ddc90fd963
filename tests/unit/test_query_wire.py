"""Bytes of ClickHouse's protocols."""

from __future__ import annotations

import gzip
import struct
import zlib

import lz4.block
import lz4.frame
import pytest
from clickhouse_connect.driver.compression import _zstd_decompress
from hypothesis import given
from hypothesis import strategies as st

from clew_processor.query import wire


def unpacked(blocks: bytes) -> bytes:
    """What is in ClickHouse's compressed blocks, by its description of them."""
    out = b""
    while blocks:
        method, size, raw = struct.unpack_from("<BII", blocks, 16)
        assert method == 0x82
        out += lz4.block.decompress(blocks[25 : 16 + size], uncompressed_size=raw)
        blocks = blocks[16 + size :]
    return out


def test_compressed_block_is_laid_out_as_clickhouse_does() -> None:
    """The checksum was computed over what follows it with github.com/go-faster/city, which clickhouse-go uses."""
    checksum = "c878c698247d26606715ad9cf7ffe7d6"
    method, with_header, without = "82", "13000000", "09000000"
    literals = "90" + b"abcabcabc".hex()  # LZ4 packs nothing this short

    assert wire.CompressedBlocks().encode(b"abcabcabc").hex() == checksum + method + with_header + without + literals


@given(st.binary(max_size=5000), st.integers(0, 3))
def test_compressed_blocks_hold_what_went_in(data: bytes, times: int) -> None:
    encoder = wire.CompressedBlocks()

    assert unpacked(b"".join(encoder.encode(data) for _ in range(times)) + encoder.finish()) == data * times


def test_long_data_becomes_several_blocks() -> None:
    data = bytes(range(256)) * 10_000

    blocks = wire.CompressedBlocks().encode(data)

    assert unpacked(blocks) == data
    assert struct.unpack_from("<I", blocks, 21)[0] == 1 << 20


@pytest.mark.parametrize(
    ("name", "decode"),
    [
        ("lz4", lz4.frame.decompress),
        ("zstd", _zstd_decompress),
        ("gzip", gzip.decompress),
        ("deflate", zlib.decompress),
    ],
)
@given(pieces=st.lists(st.binary(max_size=2000)))
def test_content_codings_hold_what_went_in(name: str, decode: object, pieces: list[bytes]) -> None:
    encoder = wire.ENCODERS[name]()

    encoded = b"".join(encoder.encode(piece) for piece in pieces) + encoder.finish()

    assert decode(encoded) == b"".join(pieces)  # type: ignore[operator]
    assert wire.decoded(encoded, name, 1_000_000) == b"".join(pieces)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("lz4,zstd,gzip,deflate", "lz4"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("GZIP;q=0.5", "gzip"),
        ("gzip;q=0, deflate", "deflate"),
        ("br", None),
        ("identity", None),
        ("", None),
    ],
)
def test_cheapest_accepted_coding_is_chosen(accepted: str, chosen: str | None) -> None:
    assert wire.chosen_encoding(accepted) == chosen


@pytest.mark.parametrize("name", list(wire.ENCODERS))
def test_inflating_stops_one_byte_over_the_limit(name: str) -> None:
    encoder = wire.ENCODERS[name]()
    bomb = encoder.encode(bytes(10_000_000)) + encoder.finish()

    assert len(wire.decoded(bomb, name, 1000)) == 1001


@pytest.mark.parametrize(
    ("body", "name"), [(b"not packed at all", name) for name in wire.ENCODERS] + [(b"", "gzip"), (b"x", "br")]
)
def test_body_of_another_coding_is_an_error(body: bytes, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        wire.decoded(body, name, 1000)


@pytest.mark.parametrize("name", list(wire.ENCODERS))
def test_body_that_was_cut_short_is_an_error(name: str) -> None:
    encoder = wire.ENCODERS[name]()
    whole = encoder.encode(b"SELECT 1, 'and more'") + encoder.finish()

    with pytest.raises(ValueError, match="its end is missing"):
        wire.decoded(whole[:-6], name, 1000)


def test_empty_block_names_its_columns() -> None:
    block = wire.empty_block([("id", "UInt64"), ("ü" * 100, "String")])

    assert block == b"\x02\x00" + b"\x02id\x06UInt64" + b"\xc8\x01" + "ü".encode() * 100 + b"\x06String"


def test_hello_block_says_revision_0_in_the_framing_the_driver_asked_for() -> None:
    modern = wire.hello_block("clew", "26.9.2.1", "UTC", 54460)
    old = wire.hello_block("clew", "26.9.2.1", "UTC", 54405)

    assert modern.startswith(bytes.fromhex("010002ffffffff00") + b"\x04\x01\x0ddisplayName()\x06String\x00\x04clew")
    assert old.startswith(b"\x04\x01\x0ddisplayName()\x06String\x04clew")
    assert b"\x0arevision()\x06UInt32\x00\x00\x00\x00\x00" in modern
    assert modern.endswith(b"\x0atimezone()\x06String\x00\x03UTC")


def test_error_frame_is_found_by_its_marks_and_length() -> None:
    frame = wire.exception_frame(b"Code: 1. DB::Exception: x\n", "0123456789abcdef")

    assert frame == (
        b"\r\n__exception__\r\n0123456789abcdef\r\nCode: 1. DB::Exception: x\n26 0123456789abcdef\r\n__exception__\r\n"
    )
