"""`clew doctor --dialects`: what senders speak, and what nobody here understands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.cli import units
from clew.cli.text import escape, plural

if TYPE_CHECKING:
    from clew.cli.endpoint import Endpoint

_DIALECTS = """
SELECT
    dialect, scope_name, service_name, signature, sum(dialects.spans) AS spans,
    toUnixTimestamp64Milli(max(dialects.last_seen_at)) AS last_seen_ms, toUnixTimestamp64Milli(now64(3)) AS now_ms
FROM dialects
GROUP BY dialect, scope_name, service_name, signature
ORDER BY dialect = '', dialect, spans DESC, scope_name, service_name, signature
LIMIT {limit:UInt64}
"""

#: Senders listed at most.
_LIMIT = 200


def show(endpoint: Endpoint, *, as_json: bool) -> None:
    """Lists dialects by sender, then each signature that is of none."""
    from clew.cli.output import Column, console, put, table, write_json

    rows = endpoint.rows(_DIALECTS, limit=_LIMIT)
    if as_json:
        write_json([{name: value for name, value in row.items() if name != "now_ms"} for row in rows])
        return
    screen = console()
    if not rows:
        put(screen, "No GenAI spans yet.")
        return
    columns = [
        Column("DIALECT"),
        Column("SCOPE", flexible=True),
        Column("SERVICE"),
        *(Column(title, right=True) for title in ("SPANS", "AGO")),
    ]
    table(
        screen,
        columns,
        [
            [
                (escape(row["dialect"]) or "unknown", "" if row["dialect"] else "red"),
                (escape(row["scope_name"]) or "-", ""),
                (escape(row["service_name"]) or "-", ""),
                (units.count(row["spans"]), ""),
                (units.age((row["now_ms"] - row["last_seen_ms"]) / 1000), "dim"),
            ]
            for row in rows
        ],
    )
    unknown = [row for row in rows if not row["dialect"]]
    if unknown:
        spans = sum(row["spans"] for row in unknown)
        put(screen, "")
        put(screen, f"{plural(spans, 'span')} look like GenAI but match no known dialect. What they carry:")
        for row in unknown:
            put(screen, f"  {units.count(row['spans'])} x {escape(row['signature'])}")
        put(
            screen,
            "Their calls, tokens and costs are in no total. A dialect is one file: please report the lines above.",
        )
