"""The loop rule, on calls written as letters: the tool with its arguments; lower case is a call that failed."""

from __future__ import annotations

import numpy as np
import pytest

from clew_processor.enrich.streaks import Calls, count_retries, streaks


def calls(*runs: str, tools: str | None = None, alone: str = "") -> Calls:
    """Runs of calls; the tools' letters stand for tool and arguments unless others are given for the tools."""
    letters = "".join(runs)
    numbers = np.array([ord(letter.upper()) for letter in letters], np.uint64)
    return Calls(
        run=np.repeat(np.arange(len(runs), dtype=np.uint64), [len(run) for run in runs]),
        tool=numbers if tools is None else np.array([ord(letter) for letter in tools], np.uint64),
        same=np.stack([numbers, np.ones_like(numbers)], axis=1),
        alone=np.array([letter in alone for letter in letters], np.bool_),
        failed=np.array([letter.islower() for letter in letters], np.bool_),
    )


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("", []),
        ("AA", []),
        ("AAA", [("same_call", 3, 0, 2)]),
        ("AAAAAAA", [("same_call", 7, 0, 6)]),
        ("BAAAC", [("same_call", 3, 1, 3)]),
        ("AABA", []),
        ("ABABAB", []),
        ("AAABAAA", [("same_call", 3, 0, 2), ("same_call", 3, 4, 6)]),
        ("AAABBB", [("same_call", 3, 0, 2), ("same_call", 3, 3, 5)]),
        # a call after a failure of the same call is a retry, not a repetition
        ("aA", []),
        ("aaA", []),
        ("aAA", []),
        ("AaA", []),
        ("AAa", [("same_call", 3, 0, 2)]),
        ("aAAA", [("same_call", 4, 0, 3)]),
        ("AaAA", [("same_call", 4, 0, 3)]),
        # three failures are a retry storm
        ("aaa", [("retry_storm", 3, 0, 2)]),
        ("aaaA", [("retry_storm", 4, 0, 3)]),
        ("aabaa", []),
    ],
)
def test_loops_by_the_rule(letters, expected):
    assert [(one.pattern, one.repetitions, one.first, one.last) for one in streaks(calls(letters))] == expected


def test_same_tool_with_other_arguments_is_another_call():
    assert list(streaks(calls("ABC", tools="SSS"))) == []


def test_same_arguments_of_another_tool_are_another_call():
    assert list(streaks(calls("AAA", tools="XYZ"))) == []


def test_calls_that_are_like_no_other_are_no_loop():
    assert list(streaks(calls("AAAAA", alone="A"))) == []


def test_a_loop_ends_with_its_run():
    assert list(streaks(calls("AA", "AA"))) == []
    assert [(one.first, one.last) for one in streaks(calls("AAA", "AAAA"))] == [(0, 2), (3, 6)]


@pytest.mark.parametrize(
    ("letters", "retries"),
    [("", 0), ("AAA", 0), ("aA", 1), ("aaA", 2), ("aBA", 1), ("abAB", 2), ("aAA", 1), ("Aa", 0), ("aAaA", 2)],
)
def test_retries_are_calls_after_a_failure_of_their_tool(letters, retries):
    assert count_retries(calls(letters)).get(0, 0) == retries


def test_retries_are_counted_by_run():
    assert count_retries(calls("aA", "A", "aaA")) == {0: 1, 2: 2}


def test_a_retry_may_change_its_arguments():
    assert count_retries(calls("aB", tools="SS")) == {0: 1}
