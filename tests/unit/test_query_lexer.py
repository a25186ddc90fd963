"""A statement's tail comes off, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew_processor.query.lexer import Statement, identifier_parameters, quote, split, string_map, tokens, unquote


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", Statement("SELECT 1")),
        ("SELECT 1 ;\n;", Statement("SELECT 1")),
        ("SELECT 1 FORMAT JSON", Statement("SELECT 1", "JSON")),
        ("SELECT 1\n FORMAT Native -- the end", Statement("SELECT 1", "Native")),
        ("SELECT 1 format `CSV`;", Statement("SELECT 1", "CSV")),
        (
            "SELECT 1 SETTINGS a = 1, b='it''s', c = 1e3",
            Statement("SELECT 1", None, {"a": "1", "b": "it's", "c": "1e3"}),
        ),
        ("SELECT 1 SETTINGS a=1 FORMAT CSV", Statement("SELECT 1", "CSV", {"a": "1"})),
        ("SELECT 1 FORMAT CSV SETTINGS a=true", Statement("SELECT 1", "CSV", {"a": "true"})),
        ("SELECT 1 settings f={'t': 'a = \\'x\\''}", Statement("SELECT 1", None, {"f": "{'t':'a = \\'x\\''}"})),
        ("SELECT value FROM system.settings WHERE a = 1", Statement("SELECT value FROM system.settings WHERE a = 1")),
        ("SELECT ' FORMAT CSV'", Statement("SELECT ' FORMAT CSV'")),
        ("SELECT 1 /* FORMAT CSV */", Statement("SELECT 1")),
        ("SELECT `a FORMAT CSV`", Statement("SELECT `a FORMAT CSV`")),
        ("SELECT 1 SETTINGS a = -1", Statement("SELECT 1 SETTINGS a = -1")),
        ("SELECT 1 SETTINGS a = [1]", Statement("SELECT 1 SETTINGS a = [1]")),
        ("SELECT 1 SETTINGS a = {'x': 1", Statement("SELECT 1 SETTINGS a = {'x': 1")),
        ("FORMAT JSON", Statement("FORMAT JSON")),
        ("; ;", Statement("")),
        ("-- nothing", Statement("")),
    ],
)
def test_tail_is_taken_off(sql: str, expected: Statement) -> None:
    assert split(sql) == expected


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT {a:Identifier}", ["a"]),
        ("SELECT { a /**/ : IDENTIFIER }, {b:String}", ["a"]),
        ("SELECT '{a:Identifier}'", []),
        ("SELECT {'a': 1}", []),
    ],
)
def test_identifier_parameters_are_found(sql: str, names: list[str]) -> None:
    assert identifier_parameters(tokens(sql)) == names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{'a': 'b', 'c' : 'it\\'s'}", {"a": "b", "c": "it's"}),
        ("{}", {}),
        ("{'a': 1}", None),
        ("{'a': 'b',", None),
        ("'a'", None),
        ("{'a': 'b'} x", None),
    ],
)
def test_map_of_strings_is_read(text: str, expected: dict[str, str] | None) -> None:
    assert string_map(text) == expected


@given(st.text())
def test_quoted_text_is_one_literal_and_reads_back(text: str) -> None:
    (token,) = tokens(quote(text))

    assert (token.kind, unquote(token.text)) == ("string", text)


@given(st.text(alphabet="'\"`\\;-/*$#{}(),=: \nFORMATSETTINGSabc1"))
def test_any_text_splits_into_its_beginning(sql: str) -> None:
    assert sql.startswith(split(sql).text)
