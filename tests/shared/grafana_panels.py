"""The committed boards, and what their panels show when their SQL is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.grafana_macros import Selection, expand

if TYPE_CHECKING:
    from collections.abc import Callable

BOARDS = Path(__file__).parents[2] / "dashboards" / "json"

#: One result row: column -> value, in the order of the SELECT.
Row = dict[str, Any]


def boards() -> dict[str, dict[str, Any]]:
    """Committed boards by uid."""
    parsed = (json.loads(path.read_text("utf-8")) for path in sorted(BOARDS.glob("*.json")))
    return {board["uid"]: board for board in parsed}


def panel_sql() -> dict[tuple[str, str], str]:
    """SQL by (board uid, panel title), macros and all."""
    return {
        (uid, panel["title"]): target["rawSql"]
        for uid, board in boards().items()
        for panel in board["panels"]
        for target in panel["targets"]
    }


def variable_sql() -> dict[tuple[str, str], str]:
    """SQL by (board uid, variable) of the variables that are filled by a query."""
    return {
        (uid, variable["name"]): variable["query"]["rawSql"]
        for uid, board in boards().items()
        for variable in board["templating"]["list"]
        if variable["type"] == "query"
    }


def panel_results(run_sql: Callable[[str], list[Row]], selection: Selection) -> dict[tuple[str, str], list[Row]]:
    """What every panel of every board shows for a selection.

    Args:
        run_sql: Runs one SELECT against database `clew` and returns its rows; for a live query endpoint
            `lambda sql: list(client.query(sql).named_results())` of a clickhouse-connect client.
        selection: Time range, interval and variables.

    Returns:
        (board uid, panel title) -> rows.
    """
    return {key: run_sql(expand(sql, selection)) for key, sql in panel_sql().items()}
