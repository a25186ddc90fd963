"""Grouping against plain dictionaries."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clew_processor.grouping import Groups, dense

ROWS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(-(10**18), 10**18), st.integers(0, 5)),
    min_size=1,
    max_size=60,
)


@given(ROWS)
def test_every_answer_equals_the_dictionarys(rows):
    first, second, values, ties = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    groups = Groups([(first, 7), (second, 4)])
    expected: dict[tuple[int, int], list[int]] = {}
    for i, row in enumerate(rows):
        expected.setdefault(row[:2], []).append(i)

    members = [expected[int(first[i]), int(second[i])] for i in groups.first]
    assert groups.count == len(expected)
    assert groups.of_row.tolist() == [
        next(g for g, group in enumerate(members) if i in group) for i in range(len(rows))
    ]
    assert groups.sum_money(values).tolist() == [sum(rows[i][2] for i in group) for group in members]
    assert groups.sum(ties).tolist() == [sum(rows[i][3] for i in group) for group in members]
    assert groups.min(values).tolist() == [min(rows[i][2] for i in group) for group in members]
    assert groups.max(values).tolist() == [max(rows[i][2] for i in group) for group in members]
    assert groups.argmin(ties).tolist() == [min(group, key=lambda i: (rows[i][3], i)) for group in members]
    assert groups.argmin(ties, lambda: values).tolist() == [
        min(group, key=lambda i: (rows[i][3], rows[i][2], i)) for group in members
    ]


@given(
    st.lists(
        st.tuples(st.integers(0, 2**20 - 1), st.integers(0, 2**20 - 1), st.integers(0, 2**20 - 1)),
        min_size=1,
        max_size=40,
    )
)
def test_keys_are_equal_exactly_where_all_columns_are(rows):
    columns = [(np.array(column, np.int64), 2**20) for column in zip(*rows, strict=True)]
    key = dense(columns)[0].tolist()
    assert [[a == b for b in key] for a in key] == [[a == b for b in rows] for a in rows]
