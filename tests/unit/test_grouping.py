"""Sums, minima and keys per group."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from clew_processor.arrow import decimals, minutes
from clew_processor.grouping import Groups, dense


def test_groups_of_nothing_are_none():
    groups = Groups([(np.zeros(0, np.int64), 1)])
    nothing = np.zeros(0, np.int64)
    assert groups.count == 0
    for answer in (
        groups.sum(nothing), groups.min(nothing), groups.max(nothing), groups.argmin(nothing),
        groups.sum_money(nothing),
    ):  # fmt: skip
        assert len(answer) == 0


def test_flags_are_counted():
    assert Groups([(np.array([5, 5, 1]), 6)]).sum(np.array([True, True, True])).tolist() == [2, 1]


def test_least_row_is_the_first_of_equals_unless_something_breaks_the_tie():
    groups = Groups([(np.zeros(4, np.int64), 1)])
    values = np.array([3, 1, 1, 1])
    assert groups.argmin(values).tolist() == [1]
    assert groups.argmin(values, np.array([0, 2, 1, 1])).tolist() == [2]
    assert groups.argmin(values, np.array([0, 1, 1, 1]), np.array([0, 9, 9, 8])).tolist() == [3]


def test_a_column_of_another_length_is_refused():
    groups = Groups([(np.zeros(4, np.int64), 1)])
    for ask in (groups.sum, groups.argmin):
        with pytest.raises(ValueError, match="a column of 3 rows, expected one of the 4 that are grouped"):
            ask(np.zeros(3, np.int64))


def test_money_beyond_64_bits_is_still_exact():
    nano = np.full(40, 10**18 - 1)
    groups = Groups([(np.arange(40) % 2, 2)])
    totals = groups.sum_money(nano)
    assert totals.tolist() == [20 * (10**18 - 1)] * 2
    text = [str(value) for value in decimals(totals, 38).to_pylist()]
    assert text == ["19999999999.999999980"] * 2
    assert [str(value) for value in decimals(totals * -1, 38).to_pylist()] == ["-" + word for word in text]
    assert groups.sum_money(-nano).tolist() == [-20 * (10**18 - 1)] * 2


@pytest.mark.parametrize("nano", [0, 1, -1, 10**18 - 1, -(10**18), 2**62])
def test_nano_units_keep_sign_and_digits(nano):
    (value,) = decimals(np.array([nano]), 38).to_pylist()
    assert value.scaleb(9) == nano
    assert decimals(np.array([nano], object), 38).to_pylist() == [value]


def test_a_minute_begins_at_its_first_nanosecond():
    at = 1_767_323_040 * 10**9
    assert minutes(np.array([at - 1, at, at + 60 * 10**9 - 1])).to_pylist() == [at // 10**9 - 60] + [at // 10**9] * 2
    assert minutes(np.array([at])).type == pa.uint32()


def test_hostile_cardinality_does_not_make_two_keys_meet():
    """Eight columns of 10,000 words each would need 106 bits if their codes were just put side by side."""
    random = np.random.default_rng(1)
    size = 10_000
    columns = [(random.integers(0, size, 3000).astype(np.int32), size) for _ in range(8)]
    for codes, _ in columns:
        codes[1500:] = codes[:1500]  # every combination twice
    key, first = dense(columns)
    rows = list(zip(*(codes.tolist() for codes, _ in columns), strict=True))
    assert len(set(key.tolist())) == len(set(rows))
    assert len(set(zip(key.tolist(), rows, strict=True))) == len(set(rows))
    assert first.tolist() == [rows.index(row) for row in dict.fromkeys(rows)]
