"""The loop rule, on calls written as letters: the tool with its arguments; lower case is a call that failed."""

from __future__ import annotations

import pytest

from clew_processor.enrich.streaks import Call, count_retries, streaks


def calls(letters: str) -> list[Call]:
    return [
        Call(i, f"{i:016x}", 0, letter.upper(), letter.upper().encode() * 16, letter.islower(), "clerk")
        for i, letter in enumerate(letters)
    ]


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
    made = calls(letters)
    found = [(one.pattern, one.repetitions, made.index(one.first), made.index(one.last)) for one in streaks(made)]
    assert found == expected


def test_same_tool_with_other_arguments_is_another_call():
    made = [call._replace(tool="search") for call in calls("ABC")]
    assert list(streaks(made)) == []


def test_same_arguments_of_another_tool_are_another_call():
    made = [call._replace(args=bytes(16)) for call in calls("ABC")]
    assert list(streaks(made)) == []


@pytest.mark.parametrize(
    ("letters", "retries"),
    [("", 0), ("AAA", 0), ("aA", 1), ("aaA", 2), ("aBA", 1), ("abAB", 2), ("aAA", 1), ("Aa", 0), ("aAaA", 2)],
)
def test_retries_are_calls_after_a_failure_of_their_tool(letters, retries):
    assert count_retries(calls(letters)) == retries


def test_a_retry_may_change_its_arguments():
    first, second = calls("aB")
    assert count_retries([first, second._replace(tool=first.tool)]) == 1
