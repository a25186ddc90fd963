"""Dictionary-encoded text columns as numpy codes plus a short list of words.

Work on text is done once per distinct word; per row there is only integer arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from clew_processor.arrow import numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray


class Words:
    """A text column: `words[codes[row]]`. Absent values are the empty word.

    Attributes:
        codes: int32, one per row, each a valid index of `words`.
        words: the distinct words (a word may stand there twice or be unused).
    """

    __slots__ = ("codes", "words")

    def __init__(self, codes: NDArray[np.int32], words: list[str]) -> None:
        self.codes = codes
        self.words = words

    @classmethod
    def from_arrow(cls, column: pa.DictionaryArray) -> Words:
        """The column as words; nulls become the empty word."""
        if column.null_count == len(column):  # most columns of most batches
            return cls.constant("", len(column))
        words = column.dictionary.to_pylist()
        codes = numbers(column.indices, len(words))
        if column.null_count:
            words.append("")
        return cls(codes.astype(np.int32, copy=False), words or [""])

    @classmethod
    def constant(cls, word: str, rows: int) -> Words:
        """The same word on every row."""
        return cls(np.zeros(rows, np.int32), [word])

    @classmethod
    def choose(cls, words: list[str], codes: NDArray[np.integer] | NDArray[np.bool_]) -> Words:
        """Rows that pick from a given list of words."""
        return cls(codes.astype(np.int32, copy=False), words)

    def __len__(self) -> int:
        return len(self.codes)

    def map(self, change: Callable[[str], str]) -> Words:
        """Every word passed through `change`."""
        return Words(self.codes, [change(word) for word in self.words])

    def test(self, accept: Callable[[str], bool]) -> NDArray[np.bool_]:
        """Per row: does `accept` hold for its word?"""
        return self._told([accept(word) for word in self.words])

    def isin(self, words: Iterable[str]) -> NDArray[np.bool_]:
        """Per row: is its word one of these?"""
        return self.test(frozenset(words).__contains__)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Per row: is the word not empty?"""
        return self._told([word != "" for word in self.words])

    def _told(self, by_word: list[bool]) -> NDArray[np.bool_]:
        """Per row what is told of its word."""
        true = by_word.count(True)
        if true in (0, len(by_word)):  # most columns of most batches
            return np.full(len(self.codes), true > 0)
        told: NDArray[np.bool_]
        if true == 1:
            told = self.codes == by_word.index(True)
        elif true == len(by_word) - 1:
            told = self.codes != by_word.index(False)
        else:
            told = np.array(by_word).take(self.codes)
        return told

    @property
    def ranks(self) -> NDArray[np.int64]:
        """Per row: the place of its word among all words in order (code points, so ClickHouse's order of bytes too)."""
        place = {word: i for i, word in enumerate(sorted(set(self.words)))}
        return np.fromiter(map(place.__getitem__, self.words), np.int64, len(self.words)).take(self.codes)

    def otherwise(self, other: Words) -> Words:
        """This column where it is present, else the other one."""
        if not any(self.words):
            return other
        return self.overlaid(other, ~self.present) if "" in self.words else self

    def overlaid(self, other: Words, mask: NDArray[np.bool_]) -> Words:
        """The other column on the rows of the mask, this one elsewhere."""
        if not mask.any():
            return self
        codes = np.where(mask, other.codes + np.int32(len(self.words)), self.codes)
        return Words(codes.astype(np.int32, copy=False), self.words + other.words)

    def take(self, rows: NDArray[np.integer]) -> Words:
        """The chosen rows, sharing the words."""
        return Words(self.codes[rows], self.words)

    def tolist(self) -> list[str]:
        """One word per row."""
        words = self.words
        return [words[code] for code in self.codes.tolist()]

    def to_text(self) -> pa.StringArray:
        """The column as utf8."""
        return pa.array(self.words, pa.utf8()).take(pa.array(self.codes))

    def to_arrow(self) -> pa.DictionaryArray:
        """The column as dictionary<int32, utf8>, without nulls and with distinct words (ClickHouse insists on it)."""
        codes, words = self.codes, self.words
        if len(words) > len(codes):  # words of a whole batch, of which some rows were taken
            used, place = np.unique(codes, return_inverse=True)
            codes, words = place.astype(np.int32), [words[code] for code in used.tolist()]
        if len(set(words)) < len(words):
            index = {word: i for i, word in enumerate(dict.fromkeys(words))}
            codes = np.array([index[word] for word in words], np.int32)[codes]
            words = list(index)
        return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(words, pa.utf8()), safe=False)
