"""What Grafana and its ClickHouse data source (4.20) do to a panel's SQL before it reaches the database.

The browser expands `$__conditionalAll` and the board's variables, then the data source's backend its macros
(`src/data/CHDatasource.ts` and `pkg/macros/macros.go` of grafana/clickhouse-datasource). Only what our boards use
is known here; anything else is an error, where the real thing would pass it on to the database.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime


class UnknownMacroError(Exception):
    """The SQL has a macro or variable that neither Grafana nor this module would replace."""


@dataclass(frozen=True)
class Selection:
    """What a reader selected on a board: a time range, the panels' interval, and values of the variables."""

    start: datetime
    end: datetime
    interval_s: int = 60
    #: Variable -> chosen values; a variable that is not named is at All.
    chosen: Mapping[str, Sequence[str]] = field(default_factory=dict)


def expand(sql: str, selection: Selection) -> str:
    """Return the SQL as the database gets it."""
    expanded = _backend(_variables(_conditional_all(sql, selection), selection), selection)
    if left := re.search(r"\$(__\w+|\{[^}]*\}?)", expanded):
        raise UnknownMacroError(f"{left[0]} is left over in:\n{expanded}")
    return expanded


def _conditional_all(sql: str, selection: Selection) -> str:
    opening = "$__conditionalAll("
    while (at := sql.rfind(opening)) != -1:
        condition, variable, end = _two_arguments(sql, at + len(opening))
        name = variable.strip().removeprefix("$")
        sql = sql[:at] + (condition if selection.chosen.get(name) else "1=1") + sql[end:]
    return sql


def _two_arguments(sql: str, at: int) -> tuple[str, str, int]:
    arguments, end = _arguments(sql, at)
    if len(arguments) != 2:
        raise UnknownMacroError(f"$__conditionalAll takes a condition and a variable, not {arguments}")
    return arguments[0], arguments[1], end


def _arguments(sql: str, at: int) -> tuple[list[str], int]:
    """Arguments that start at `at`, just behind the opening bracket, and where the text after them starts."""
    depth, begin, found = 1, at, []
    for index in range(at, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[index], 0)
        if depth == 0 or (sql[index] == "," and depth == 1):
            found.append(sql[begin:index])
            begin = index + 1
        if depth == 0:
            return found, index + 1
    raise UnknownMacroError(f"unbalanced brackets after {sql[at - 30 : at]!r}")


def _variables(sql: str, selection: Selection) -> str:
    def quoted(match: re.Match[str]) -> str:
        if match[1] not in selection.chosen:
            raise UnknownMacroError(f"{match[0]} is used outside $__conditionalAll or is no variable")
        return ",".join("'" + value.replace("'", "''") + "'" for value in selection.chosen[match[1]])

    return re.sub(r"\$\{(\w+):sqlstring\}", quoted, sql)


def _seconds(moment: datetime) -> str:
    return f"toDateTime({int(moment.timestamp())})"


def _milliseconds(moment: datetime) -> str:
    return f"fromUnixTimestamp64Milli({int(moment.timestamp() * 1000)})"


_MACROS: dict[str, Callable[..., str]] = {
    "fromTime": lambda s: _seconds(s.start),
    "toTime": lambda s: _seconds(s.end),
    "timeFilter": lambda s, c: f"{c} >= {_seconds(s.start)} AND {c} <= {_seconds(s.end)}",
    "timeFilter_ms": lambda s, c: f"{c} >= {_milliseconds(s.start)} AND {c} <= {_milliseconds(s.end)}",
    "timeInterval": lambda s, c: f"toStartOfInterval(toDateTime({c}), INTERVAL {s.interval_s} second)",
    "interval_s": lambda s: str(s.interval_s),
}


def _backend(sql: str, selection: Selection) -> str:
    pieces, at = [], 0
    for match in re.finditer(r"\$__(\w+)", sql):
        if match[1] not in _MACROS:
            raise UnknownMacroError(f"{match[0]} is no macro of the data source")
        if match.start() < at:
            raise UnknownMacroError(f"{match[0]} is used inside another macro")
        arguments, end = [], match.end()
        if sql[end : end + 1] == "(":
            arguments, end = _arguments(sql, end + 1)
        pieces += [sql[at : match.start()], _MACROS[match[1]](selection, *arguments)]
        at = end
    return "".join([*pieces, sql[at:]])
