"""How results leave: styled text, tables of fixed columns, exact JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from clew.cli.text import fit, pad, width

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def console() -> Console:
    """Standard output: no styles where it is no terminal, or ``NO_COLOR`` is set (https://no-color.org); 80 columns
    where it has no width of its own and ``COLUMNS`` does not name one."""  # noqa: D205, D209
    from rich.console import Console

    plain = {"color_system": None} if os.environ.get("NO_COLOR") else {}
    return Console(highlight=False, markup=False, emoji=False, **plain)  # type: ignore[arg-type]


def put(screen: Console, line: Text | str = "") -> None:
    """Print one line as it is: never wrapped, nothing read into it."""
    screen.print(line, soft_wrap=True)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        right: align right.
        flexible: gives way when the table is too wide; exactly one column does.
    """

    title: str
    right: bool = False
    flexible: bool = False


#: A cell: its text, already safe for a terminal, and a rich style.
Cell = tuple[str, str]


def table(screen: Console, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], least: int = 8) -> None:
    """Print rows under their titles, each on one line; the flexible column gets what the others leave, at least
    ``least`` cells."""  # noqa: D205, D209
    from rich.text import Text

    widths = [max([width(column.title), *(width(row[i][0]) for row in rows)]) for i, column in enumerate(columns)]
    flexible = next(i for i, column in enumerate(columns) if column.flexible)
    others = sum(widths) - widths[flexible]
    gap = 2 if others + min(widths[flexible], 16) + 2 * (len(columns) - 1) <= screen.width else 1
    widths[flexible] = min(widths[flexible], max(least, screen.width - others - gap * (len(columns) - 1)))

    for row in [[(column.title, "bold") for column in columns], *rows]:
        line = Text()
        for i, (text, style) in enumerate(row):
            line.append(pad(text, widths[i], right=columns[i].right), style)
            if i < len(columns) - 1:
                line.append(" " * gap)
        line.rstrip()
        put(screen, line)


def write_json(value: object) -> None:
    """Print a value as JSON with decimals as exact numbers, and everything beyond ASCII escaped."""
    print(_json(value, "\n"))


def _json(value: object, newline: str) -> str:
    """`json.dumps` with an indent, but for `Decimal`, which json would make inexact."""
    deeper = newline + "  "
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        items = [f"{json.dumps(str(key))}: {_json(item, deeper)}" for key, item in value.items()]
        return "{" + deeper + ("," + deeper).join(items) + newline + "}" if items else "{}"
    if isinstance(value, list | tuple):
        items = [_json(item, deeper) for item in value]
        return "[" + deeper + ("," + deeper).join(items) + newline + "]" if items else "[]"
    return json.dumps(value)


__all__ = ["Cell", "Column", "console", "fit", "put", "table", "write_json"]
