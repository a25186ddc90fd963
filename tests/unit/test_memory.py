"""What is remembered for a while: time that never goes back, numbers, keys and ids."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew_processor.enrich.ids import id_numbers, id_texts
from clew_processor.enrich.lookup import KeyTable, SortedKeys
from clew_processor.enrich.memory import ArrivalClock, Recent, Tally

SECOND = 10**9
HOUR = 3600 * SECOND


@pytest.mark.parametrize(
    ("arrivals_s", "gone_by_s"),
    [
        ([5], [0]),
        ([5, 6, 6, 16], [0, 1, 1, 11]),
        ([5, 7205], [0, 7200]),  # idle, or set forward: who knows
        ([7200, 0, 10], [0, 0, 10]),  # set back: it goes on from there
        ([0, 7200, 10, 20], [0, 7200, 7200, 7210]),
        ([60, 50, 60, 50, 70], [0, 0, 0, 0, 10]),  # a little out of order is not set back
    ],
)
def test_time_never_goes_back(arrivals_s, gone_by_s):
    clock = ArrivalClock()
    assert [clock.advance(at * SECOND) // SECOND for at in arrivals_s] == gone_by_s


def keys(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint64)


def test_numbers_are_remembered_as_long_as_promised_and_no_longer_than_twice_that():
    for added_at in range(0, 30, 7):
        recent = Recent(size=100, keep_s=10)
        for now in range(60):
            recent.forget(now * SECOND)
            if now == added_at:
                recent.add(keys(7))
            if added_at <= now < added_at + 10:
                assert recent.among(keys(7)).all()
            if now > added_at + 20:
                assert not recent.among(keys(7)).any()
        assert not len(recent)


def test_a_tally_tells_once_from_twice_from_more_also_after_a_restart():
    tally = Tally(size=100, keep_s=10)
    assert tally.add(keys(7, 8), np.array([1, 3])).tolist() == [1, 3]
    kept = pickle.loads(pickle.dumps(tally.state()))
    tally = Tally(size=100, keep_s=10)
    tally.restore(kept)
    assert tally.add(keys(9, 8, 7), np.array([1, 1, 1])).tolist() == [1, 3, 2]
    assert tally.add(keys(7, 9), np.array([1, 4])).tolist() == [3, 5]
    for now in (10, 20):
        tally.forget(now * SECOND)
    assert tally.add(keys(7, 8, 9), np.array([1, 1, 1])).tolist() == [1, 1, 1]


def test_more_numbers_than_there_is_room_for_forget_the_oldest():
    recent = Recent(size=10, keep_s=1e9)
    for i in range(100):
        recent.add(keys(i))
    assert 10 <= len(recent) <= 22
    assert np.flatnonzero(recent.among(keys(*range(100)))).tolist() == list(range(100 - len(recent), 100))


def test_numbers_are_looked_up_in_columns():
    recent = Recent(size=2, keep_s=10)
    recent.add(keys(2**64 - 1, 5))
    recent.add(keys(6))  # the others are of the older generation now
    assert recent.among(keys(5, 1, 2**64 - 1, 5, 6)).tolist() == [True, False, True, True, True]


KEY = st.integers(0, 2**64 - 1) | st.integers(0, 5)


@given(st.lists(st.lists(KEY, max_size=20), max_size=30), st.lists(KEY))
def test_numbers_are_remembered_in_whatever_parts_they_came(parts, asked):
    recent = Recent(size=10_000, keep_s=60)
    for part in parts:
        recent.add(keys(*part))
    expected = [any(number in part for part in parts) for number in asked]
    assert recent.among(keys(*asked)).tolist() == expected
    again = Recent(size=10_000, keep_s=60)
    again.restore(pickle.loads(pickle.dumps(recent.state())))
    assert again.among(keys(*asked)).tolist() == expected
    assert pickle.dumps(again.state()) == pickle.dumps(recent.state())


def places(held, wanted):
    which, rows = held.find(keys(*wanted))
    return sorted(zip(which.tolist(), rows.tolist(), strict=True))


@settings(max_examples=100)
@given(st.lists(KEY, min_size=1, max_size=40), st.lists(KEY, max_size=40))
def test_all_places_of_keys_in_a_sorted_column_are_found(column, wanted):
    expected = sorted((i, row) for i, key in enumerate(wanted) for row, held in enumerate(column) if held == key)
    assert places(SortedKeys(np.array(column, np.uint64)), wanted) == expected


@settings(max_examples=200)
@given(
    st.lists(st.lists(KEY, max_size=60), max_size=30),
    st.lists(KEY, max_size=40),
    st.integers(0, 2**33),
    st.data(),
)
def test_all_places_of_keys_in_a_table_are_found(batches, wanted, start, data):
    table, column, starts = KeyTable(start), [], [0]
    for part in batches:
        twice = table.add(keys(*part))
        assert twice.tolist() == [i for i, key in enumerate(part) if key and part.count(key) > 1]
        column += part
        starts.append(len(column))
        oldest = data.draw(st.sampled_from(starts)) if data.draw(st.booleans()) else 0
        starts = [first for first in starts if first >= oldest]
        table.forget(start + starts[0])
    expected = sorted(
        (i, start + row)
        for i, key in enumerate(wanted)
        for row, held in enumerate(column)
        if key and held == key and row >= starts[0]
    )
    assert places(table, wanted) == expected


def test_a_table_grows_without_losing_anything():
    chance = np.random.default_rng(1)
    held = chance.integers(1, 2**64, 40_000, np.uint64)
    held[chance.integers(0, 40_000, 10_000)] = held[chance.integers(0, 40_000, 10_000)]
    table = KeyTable()
    for part in np.array_split(held, 37):
        table.add(part)
    which, rows = table.find(held)
    assert (held[rows] == held[which]).all()
    _, count = np.unique(held, return_counts=True)
    assert len(which) == (count.astype(np.int64) ** 2).sum()


def test_a_key_with_many_places_tells_them_all():
    table = KeyTable()
    table.add(keys(*[7] * 10, 8))
    assert places(table, [7, 8]) == [*((0, row) for row in range(10)), (1, 10)]


@settings(max_examples=100)
@given(st.lists(st.integers(1, 2**64 - 1), min_size=1, max_size=9), st.data())
def test_ids_as_numbers_compare_as_their_text_and_spell_it_again(numbers, data):
    texts = [f"{number:016x}" for number in numbers]
    start = data.draw(st.integers(0, len(texts) - 1))
    rows = data.draw(st.lists(st.integers(0, len(texts) - start - 1), max_size=5))
    column = pa.array(texts).slice(start)
    found = id_numbers(column, np.array(rows, np.int64))
    assert found.tolist() == [numbers[start + row] for row in rows]
    assert id_texts(found) == [texts[start + row] for row in rows]
    assert sorted(texts) == id_texts(np.array(sorted(numbers), np.uint64))
