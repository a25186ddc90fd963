"""Text columns as codes and words."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from clew_processor.words import Words


def column(*values: str | None) -> Words:
    return Words.from_arrow(pa.array(values, pa.utf8()).dictionary_encode())


def test_nulls_become_the_empty_word():
    assert column("a", None, "b", None).tolist() == ["a", "", "b", ""]


def test_a_column_of_nothing_still_has_a_word_to_point_at():
    assert column().tolist() == []
    assert column(None, None).tolist() == ["", ""]
    assert len(column().words) == 1


def test_a_sliced_column_keeps_its_rows():
    whole = pa.array(["a", None, "c", "a"]).dictionary_encode()
    assert Words.from_arrow(whole.slice(1, 3)).tolist() == ["", "c", "a"]


def test_change_is_made_once_per_distinct_word():
    seen = []
    words = column("x", "y", "x", "x").map(lambda word: seen.append(word) or word.upper())
    assert words.tolist() == ["X", "Y", "X", "X"]
    assert sorted(seen) == ["x", "y"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (["a", None], ["b", "c"], ["a", "c"]),
        (["a", "d"], ["b", "c"], ["a", "d"]),
        ([None, None], [None, "c"], ["", "c"]),
    ],
)
def test_otherwise_fills_only_what_is_absent(first, second, expected):
    assert column(*first).otherwise(column(*second)).tolist() == expected


def test_overlaid_takes_the_other_column_on_the_mask_alone():
    mask = np.array([True, False, True])
    assert column("a", "b", "c").overlaid(column("x", "y", None), mask).tolist() == ["x", "b", ""]


def test_tests_are_per_row():
    words = column("a", None, "b")
    assert words.isin({"b", "z"}).tolist() == [False, False, True]
    assert words.present.tolist() == [True, False, True]


def test_ranks_follow_the_order_of_utf8_bytes():
    words = column("b", None, "a", "é", "b", "zebra", "\U0001f600", "￿")
    by_rank = sorted(set(words.tolist()), key=lambda word: words.ranks[words.tolist().index(word)])
    assert by_rank == sorted(by_rank, key=str.encode)
    assert words.ranks[0] == words.ranks[4]


def test_arrow_gets_distinct_words_without_nulls():
    twice = column("a", None).map(lambda word: "same" if word else "")
    arrow = Words(np.array([0, 1, 2], np.int32), ["same", "", "same"]).to_arrow()
    assert arrow.to_pylist() == ["same", "", "same"]
    assert len(set(arrow.dictionary.to_pylist())) == len(arrow.dictionary)
    assert twice.to_arrow().null_count == 0


def test_rows_are_taken_in_the_order_asked_for():
    assert column("a", "b", None).take(np.array([2, 0, 0])).tolist() == ["", "a", "a"]
