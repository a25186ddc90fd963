"""Span ids as numbers, trace ids as bytes: half the memory, and they compare as their text does."""

from __future__ import annotations

from binascii import unhexlify
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

DIGITS = 16
_WORD = 8
_TRACE_BYTES = 16


def id_numbers(ids: pa.StringArray, rows: NDArray[np.integer]) -> NDArray[np.uint64]:
    """The number that each of the chosen ids spells.

    Args:
        ids: 16 hexadecimal digits each.
        rows: of them.
    """
    if not len(rows):
        return np.zeros(0, np.uint64)
    start = int(np.frombuffer(ids.buffers()[1], np.int32)[ids.offset])
    texts = np.frombuffer(ids.buffers()[2], f"S{DIGITS}", len(ids), start)
    return np.frombuffer(unhexlify(texts[rows].tobytes()), ">u8").astype(np.uint64)


def id_texts(numbers: NDArray[np.uint64]) -> list[str]:
    """The ids that spell these numbers."""
    text = numbers.astype(">u8").tobytes().hex()
    return [text[at : at + DIGITS] for at in range(0, len(text), DIGITS)]


def trace_bytes(ids: list[str]) -> NDArray[np.bytes_]:
    """The 16 bytes of each trace id."""
    return np.frombuffer(unhexlify("".join(ids)), f"S{_TRACE_BYTES}")


def trace_texts(traces: NDArray[np.bytes_]) -> list[str]:
    """The ids of these traces."""
    text = traces.tobytes().hex()
    return [text[at : at + 2 * _TRACE_BYTES] for at in range(0, len(text), 2 * _TRACE_BYTES)]


def text_keys(texts: pa.StringArray, rows: NDArray[np.integer]) -> NDArray[np.uint64]:
    """A number for each of the chosen texts, equal for equal ones and 0 for the empty one.

    It is of the length, the first eight bytes, eight in the middle and the last eight: enough for ids, which are drawn
    at random or counted up.
    """
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    start, end = offsets[rows], offsets[rows + 1]
    length = end - start
    if not length.any():
        return np.zeros(len(rows), np.uint64)
    data = np.concatenate([np.zeros(_WORD, np.uint8), np.frombuffer(texts.buffers()[2], np.uint8)])
    words = np.ndarray(
        (len(data) - _WORD + 1,), "<u8", data, strides=(1,)
    )  # word i ends where byte i of the texts begins
    keys = words[end] >> (8 * np.maximum(_WORD - length, 0)).view(np.uint64)
    long = length > _WORD
    for at in (start + _WORD, end - (length - _WORD) // 2):
        keys = (keys ^ (keys >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15) ^ words[np.where(long, at, 0)]
    keys = (keys ^ (keys >> np.uint64(29)) ^ length.view(np.uint64)) * np.uint64(0xC2B2AE3D27D4EB4F)
    return np.where(length == 0, np.uint64(0), keys | np.uint64(1))
