"""Grouping against plain dictionaries."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clew_processor.grouping import Groups, dense

ROWS = st.lists(
    st.tuples(
        st.integers(0, 6), st.integers(0, 3), st.integers(-(2**62), 2**62), st.integers(-3, 3), st.integers(0, 1),
        st.booleans(), st.booleans(),
    ),
    max_size=60,
)  # fmt: skip


@given(ROWS, st.booleans())
def test_every_answer_equals_the_dictionarys(rows, some):
    columns = list(zip(*rows, strict=True)) or [()] * 7
    first, second, values, ties, further = (np.array(column, np.int64) for column in columns[:5])
    flags, among = (np.array(column, np.bool_) for column in columns[5:])
    groups = Groups([(first, 7), (second.astype(np.int32), 4)], among if some else None)
    expected: dict[tuple[int, int], list[int]] = {}
    for i, row in enumerate(rows):
        if row[6] or not some:
            expected.setdefault(row[:2], []).append(i)

    members = list(expected.values())
    assert groups.count == len(members)
    assert groups.first.tolist() == [group[0] for group in members]
    assert groups.of_row.tolist() == [
        next((g for g, group in enumerate(members) if i in group), -1) for i in range(len(rows))
    ]
    assert groups.sum_money(values).tolist() == [sum(rows[i][2] for i in group) for group in members]
    assert groups.sum(ties).tolist() == [sum(rows[i][3] for i in group) for group in members]
    assert groups.sum(flags).tolist() == [sum(rows[i][5] for i in group) for group in members]
    assert groups.min(values).tolist() == [min(rows[i][2] for i in group) for group in members]
    assert groups.max(values).tolist() == [max(rows[i][2] for i in group) for group in members]
    assert groups.argmin(ties).tolist() == [min(group, key=lambda i: (rows[i][3], i)) for group in members]
    assert groups.argmin(ties, further, values).tolist() == [
        min(group, key=lambda i: (rows[i][3], rows[i][4], rows[i][2], i)) for group in members
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
