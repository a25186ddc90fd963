"""State as parts of a file: large arrays as they are, and back in memory of their own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from clew_processor.state import LEAST_BYTES, packed, unpacked

LARGE = LEAST_BYTES // 8


def test_large_arrays_are_not_copied_and_small_ones_are_no_parts():
    large, small = np.arange(LARGE), np.arange(LARGE - 1)
    pickled, array = packed({"large": large, "small": small})
    assert np.shares_memory(np.frombuffer(array, np.uint8), large)
    assert len(array) == large.nbytes
    assert small.nbytes < len(pickled) < small.nbytes + 1000


def test_what_comes_back_can_be_changed_and_changes_nothing_else():
    given = np.arange(LARGE), np.arange(5)
    parts = packed(given)
    for array in unpacked(parts):
        np.add(array, 1, out=array)
    assert [array[0] for array in given] == [0, 0]
    assert [array.tolist() for array in unpacked(parts)] == [array.tolist() for array in given]
    assert not np.shares_memory(unpacked(parts)[0], np.frombuffer(parts[1], np.uint8))


@pytest.mark.parametrize(
    "given",
    [
        np.arange(3 * LARGE)[::3],
        np.arange(4 * LARGE).reshape(2, -1).T,
        np.arange(4 * LARGE).reshape(2, -1)[:, 1:],
        np.array([{"no": "buffer"}] * LARGE, object),
        np.zeros(LARGE, [("id", "u8"), ("there", "?")]),
        np.zeros((0, 3)),
        np.frombuffer(bytes(LEAST_BYTES), np.uint8),
    ],
    ids=["every third", "turned", "cut", "objects", "records", "empty", "nobody's to change"],
)
def test_arrays_of_any_form_come_back(given):
    (found,) = unpacked(packed([given]))
    assert (found.dtype, found.shape, found.flags.writeable) == (given.dtype, given.shape, given.flags.writeable)
    assert np.array_equal(found, given)


def test_columns_of_arrow_come_back():
    given = pa.array([*range(LARGE), None]), pa.array(["word", None, "ä"] * LARGE)
    found = unpacked(packed(given))
    assert found == given
    assert [column.validate(full=True) for column in found] == [None, None]


@pytest.mark.parametrize("kept", [slice(0), slice(1), slice(2), slice(1, None)])
def test_state_of_which_parts_are_missing_is_refused(kept):
    parts = packed([np.arange(LARGE), np.arange(LARGE)])
    with pytest.raises(ValueError, match="not readable"):
        unpacked(parts[kept])


def test_a_part_of_another_size_than_its_array_is_refused():
    pickled, array = packed(np.arange(LARGE).reshape(2, -1))
    with pytest.raises(ValueError, match="not readable"):
        unpacked([pickled, array[:-8]])
