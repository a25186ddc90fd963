"""Span ids as numbers: half the memory, and they compare as their text does."""

from __future__ import annotations

from binascii import unhexlify
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

DIGITS = 16


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
