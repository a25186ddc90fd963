"""Untrusted text made safe and short for a terminal.

Span names, agent names, error messages and gate reasons come from whoever sent the telemetry, so none of it may
move the cursor, recolour the screen, reverse the reading direction or hide characters.
"""

from __future__ import annotations

import unicodedata

#: General categories (Unicode standard, chapter 4.5) that a terminal acts on or does not show:
#: control, format, line and paragraph separator, private use, surrogate.
_UNSAFE = frozenset({"Cc", "Cf", "Zl", "Zp", "Co", "Cs"})

ELLIPSIS = "…"


def escape(text: str) -> str:
    r"""The text with every character a terminal would act on written out, such as ``\x1b`` or ``\u202e``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape", "surrogatepass").decode() if unicodedata.category(char) in _UNSAFE else char
        for char in text
    )


def escape_lines(text: str) -> str:
    """Like `escape`, but line feeds and tabs stay: for whole answers of the store."""
    return "".join(char if char in "\n\t" else escape(char) for char in text)


def width(text: str) -> int:
    """Terminal cells the text takes: wide characters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fit(text: str, cells: int) -> str:
    """The text, cut with an ellipsis to at most ``cells`` cells."""
    if width(text) <= cells:
        return text
    if cells <= 1:
        return ELLIPSIS[:cells]
    if text.isascii():
        return text[: cells - 1] + ELLIPSIS
    from rich.cells import set_cell_size

    return set_cell_size(text, cells - 1).rstrip() + ELLIPSIS


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """The text cut or filled with spaces to exactly ``cells`` cells; ``right`` aligns it right."""
    text = fit(text, cells)
    space = " " * (cells - width(text))
    return space + text if right else text + space


def plural(count: int, noun: str) -> str:
    """``1 run``, ``2 runs``, ``1,200 retries``: for nouns with a plural in s or ies."""
    several = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count:,} {noun if count == 1 else several}"
