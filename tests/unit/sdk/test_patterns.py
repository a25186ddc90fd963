"""Own patterns are taken where they cannot be slow, and refused with what to write instead where they could."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew._content.patterns import MAX_WAYS, PatternError, own_rule

TAKEN = [
    "EMP-[0-9]{6}",
    r"\bACME-[A-Z0-9]+",
    r"(?i)project (phoenix|griffin)",
    r"\w{1,64}@acme\.example",
    r"\w{1,64}+@acme\.example",
    r"(?<![0-9])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![0-9])",
    "(?:[0-9A-F]{2}:){5}[0-9A-F]{2}",
    "cust_(?:[a-z]{1,8}_)?+[0-9]*",
    "(?x) T - [0-9]{4,8}  # tickets",
    "über[a-z]{0,20}",
]


@pytest.mark.parametrize("pattern", TAKEN)
def test_pattern_of_everyday_is_taken(pattern):
    own_rule("own", pattern)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(a+)+b", r"repeats something without an end, .* write `\{1,64\}` for `\+`"),
        (r"\w+@acme\.example", "without an end"),
        (r"[a-z]++\d", "without an end"),  # reads a long word again from each of its letters
        (r"\d+\b", "without an end"),
        ("a.*?", "without an end"),
        ("x(?=.*y)", "without an end"),
        ("(?:a|a){1,10}b", r"ways from one character on, allowed are 256"),
        ("a{1,64}a{1,64}b", "4,096 ways"),
        ("(?:a{0,50}){50}b", "ways"),
        (r"(a{1,9})\1", "groupref is not supported"),
        ("[0-9]*", "matches where there is nothing"),
        ("a{3000}", "longer than 2000 characters"),
        ("a(", "no regular expression"),
    ],
)
def test_pattern_that_could_be_slow_is_refused_with_the_reason(pattern, said):
    with pytest.raises(PatternError, match=said):
        own_rule("own", pattern)


@given(st.integers(0, 300), st.integers(0, 300))
def test_ways_of_a_repetition_are_counted_exactly(least, more):
    pattern = f"a{{{least},{least + more}}}b"
    if more + 1 > MAX_WAYS:
        with pytest.raises(PatternError, match="ways"):
            own_rule("own", pattern)
    else:
        own_rule("own", pattern)


@pytest.mark.parametrize("pattern", TAKEN)
@given(st.text(alphabet="EMPACphoenixgrif -019:@._acmexlüb", max_size=80))
def test_no_match_is_missed_by_looking_for_a_literal_first(pattern, text):
    """A text that is not searched, for want of a literal, holds no match."""
    rule = own_rule("own", pattern)
    if not rule.may_match(text, text.lower()):
        assert rule.pattern.search(text) is None
