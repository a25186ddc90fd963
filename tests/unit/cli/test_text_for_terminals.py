from __future__ import annotations

import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.cli import units
from clew.cli.text import escape, escape_lines, fit, pad, plural, width


@given(st.text())
def test_escaped_text_holds_nothing_a_terminal_acts_on(text: str):
    assert not [char for char in escape(text) if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Co", "Cs"}]


def test_escape_writes_out_what_it_replaces_and_leaves_the_rest():
    assert escape("a\x1b[31m\x9b\r\n\u202e\u2028é漢") == "a\\x1b[31m\\x9b\\r\\n\\u202e\\u2028é漢"
    assert escape("\ud800") == "\\ud800"


def test_whole_answers_keep_their_lines_and_tabs():
    assert escape_lines("a\tb\n\x1b[2Jc\r") == "a\tb\n\\x1b[2Jc\\r"


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me", "Mc"])),
    st.integers(1, 40),
)
def test_padded_text_takes_exactly_its_cells(text: str, cells: int):
    assert width(pad(text, cells)) == cells
    assert width(fit(text, cells)) <= cells


def test_cut_text_ends_in_an_ellipsis():
    assert fit("abcdef", 4) == "abc…"
    assert fit("漢字漢字", 5) == "漢字…"
    assert pad("7", 3, right=True) == "  7"


def test_plurals():
    assert [plural(1, "retry"), plural(2, "retry"), plural(1200, "run")] == ["1 retry", "2 retries", "1,200 runs"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604_800), ("2w", 1_209_600)]
)
def test_spans_of_time(text: str, seconds: int):
    assert units.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1.5h", "1y", "1h30m"])
def test_a_wrong_span_of_time_says_what_is_allowed(text: str):
    with pytest.raises(ValueError, match="such as 90s, 1h or 7d"):
        units.seconds(text)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00k"),
        (9_995, "10.0k"),
        (99_950, "100k"),
        (999_499, "999k"),
        (999_500, "1.00M"),
    ],
)
def test_counts_take_five_characters_at_most(number: int, text: str):
    assert units.count(number) == text


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0ms"),
        (400, "0µs"),
        (412_000, "412µs"),
        (9_400_000, "9.4ms"),
        (812_000_000, "812ms"),
        (1_234_000_000, "1.23s"),
        (59_900_000_000, "59.9s"),
        (185 * 10**9, "3m05s"),
        (3_725 * 10**9, "1h02m"),
        (183_600 * 10**9, "2d03h"),
    ],
)
def test_durations(nanos: int, text: str):
    assert units.duration(nanos) == text


def test_money_is_aligned_in_columns_and_exact_in_sums():
    assert units.money(Decimal("0.001234499")) == "$0.001234"
    assert units.money(Decimal("0.000000375")) == "<$0.000001"
    assert units.money(Decimal(0)) == "$0.000000"
    assert units.money_exact(Decimal("0.000000375")) == "$0.000000375"
    assert units.money_exact(Decimal("1234.500000000")) == "$1,234.50"


def test_timestamps_keep_their_nanoseconds():
    assert units.timestamp(1_767_323_045_000_000_001) == "2026-01-02T03:04:05.000000001Z"
    assert units.timestamp(1_767_323_045_500_000_000) == "2026-01-02T03:04:05.5Z"
    assert units.timestamp(1_767_323_040_000_000_000) == "2026-01-02T03:04:00Z"
