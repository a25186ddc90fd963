"""Takes a statement's tail apart: the FORMAT and SETTINGS clauses at its end.

Nothing here decides what is allowed. The gate reads the engine's own syntax tree of the very text that runs, so a
statement this module misreads is refused or fails, never let through.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<gap>\s+|--[^\n]*|\#[\ !][^\n]*|/\*.*?\*/)
      | (?P<string>'(?:[^'\\]|\\.|'')*')
      | (?P<name>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
      | (?P<heredoc>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
      | (?P<number>\d[\w.]*(?:(?<=[eE])[+-]\d+)?)
      | (?P<word>[^\W\d]\w*)
      | (?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)|''", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f", "a": "\a", "v": "\v", "e": "\x1b"}


@dataclass(frozen=True, slots=True)
class Token:
    """One lexeme: its kind (a group name of the pattern above), its text and where it starts."""

    kind: str
    text: str
    start: int

    def is_word(self, word: str) -> bool:
        """Whether this is the keyword, in whatever case."""
        return self.kind == "word" and self.text.upper() == word


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement without its tail, and the tail.

    Attributes:
        text: the statement as it will run, no FORMAT, SETTINGS or semicolon behind it.
        format: the output format it names, or None.
        settings: setting name -> value as text.
    """

    text: str
    format: str | None = None
    settings: dict[str, str] = field(default_factory=dict)


def tokens(sql: str) -> list[Token]:
    """The lexemes of a text, white space and comments left out."""
    found = _TOKEN.finditer(sql)
    return [Token(m.lastgroup or "", m.group(), m.start()) for m in found if m.lastgroup != "gap"]


def quote(text: str) -> str:
    """A text as a ClickHouse string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def unquote(literal: str) -> str:
    """The text a ClickHouse string literal stands for."""

    def meaning(match: re.Match[str]) -> str:
        escaped: str | None = match[1]
        if escaped is None:
            return "'"
        if len(escaped) == 3:
            return chr(int(escaped[1:], 16))
        return _ESCAPED.get(escaped, escaped)

    return _ESCAPE.sub(meaning, literal[1:-1])


def string_map(text: str) -> dict[str, str] | None:
    """``{'a': 'b', ...}`` as a dict, or None if the text is anything else."""
    lexemes = tokens(text)
    if len(lexemes) < 2 or lexemes[0].text != "{" or lexemes[-1].text != "}":
        return None
    inner = lexemes[1:-1]
    pairs: dict[str, str] = {}
    while inner:
        match [(t.kind, t.text) for t in inner[:4]]:
            case [("string", key), ("sign", ":"), ("string", value)]:
                inner = []
            case [("string", key), ("sign", ":"), ("string", value), ("sign", ",")]:
                inner = inner[4:]
            case _:
                return None
        pairs[unquote(key)] = unquote(value)
    return pairs


def identifier_parameters(lexemes: list[Token]) -> list[str]:
    """Names of the ``{name:Identifier}`` parameters of a statement."""
    return [
        lexemes[at + 1].text
        for at in range(len(lexemes) - 4)
        if lexemes[at].text == "{" and lexemes[at + 2].text == ":" and lexemes[at + 3].is_word("IDENTIFIER")
    ]


def split(sql: str) -> Statement:
    """Take semicolon, FORMAT and SETTINGS off a statement's end, in whatever order they stand there.

    A tail that is not understood stays in the text.
    """
    lexemes = tokens(sql)
    while lexemes and lexemes[-1].text == ";":
        lexemes.pop()
    output_format: str | None = None
    settings: dict[str, str] | None = None
    while len(lexemes) > 2:
        if output_format is None and lexemes[-2].is_word("FORMAT") and lexemes[-1].kind in ("word", "name"):
            output_format = lexemes[-1].text.strip('`"')
            del lexemes[-2:]
            continue
        if settings is None and (found := _settings_tail(lexemes)) is not None:
            at, settings = found
            del lexemes[at:]
            continue
        break
    if not lexemes:
        return Statement("", output_format, settings or {})
    return Statement(sql[: lexemes[-1].start] + lexemes[-1].text, output_format, settings or {})


def _settings_tail(lexemes: list[Token]) -> tuple[int, dict[str, str]] | None:
    """Where the SETTINGS clause at the very end starts, and what it says; None where there is none."""
    for at in range(len(lexemes) - 4, 0, -1):
        if lexemes[at].is_word("SETTINGS"):
            settings = _assignments(lexemes[at + 1 :])
            return None if settings is None else (at, settings)
    return None


def _assignments(lexemes: list[Token]) -> dict[str, str] | None:
    """``a = 1, b = 'x'`` as a dict, or None if the lexemes are anything else."""
    settings: dict[str, str] = {}
    rest = lexemes
    while True:
        if len(rest) < 3 or rest[0].kind != "word" or rest[1].text != "=":
            return None
        name, value = rest[0].text, rest[2]
        if value.text == "{":
            end = next((i for i, t in enumerate(rest) if t.text == "}"), None)
            if end is None:
                return None
            settings[name] = "".join(t.text for t in rest[2 : end + 1])
            rest = rest[end + 1 :]
        elif value.kind in ("string", "number", "word"):
            settings[name] = unquote(value.text) if value.kind == "string" else value.text
            rest = rest[3:]
        else:
            return None
        if not rest:
            return settings
        if rest[0].text != ",":
            return None
        rest = rest[1:]
