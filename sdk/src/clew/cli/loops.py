"""`clew loops`."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import typer

from clew.cli import units
from clew.cli.endpoint import Endpoint
from clew.cli.options import DEFAULT_ADDRESS, Json, Query, Since
from clew.cli.text import escape, plural

_LOOPS = """
SELECT
    tenant_id, trace_id, agent_name, pattern, period, repetitions, first_span_id, last_span_id, tool_name,
    toString(fingerprint) AS fingerprint, toUnixTimestamp64Nano(started_at) AS started_ns,
    toUnixTimestamp64Nano(last_seen_at) AS last_seen_ns, wasted_tokens, wasted_cost_usd, action,
    toUnixTimestamp64Nano(now64(9)) AS now_ns
FROM loops
WHERE last_seen_at >= now64(9) - toIntervalSecond({since:UInt64})
ORDER BY last_seen_at DESC, trace_id, first_span_id
LIMIT {limit:UInt64}
"""

#: Without --since: longer ago than anything is kept.
_ALWAYS = 100 * 365 * units.SECONDS["d"]


def loops(
    *,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 50,
    query: Query = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List loops: where, what repeats how often, and the tokens and dollars it wasted; the newest first."""
    from clew.cli.output import Column, console, put, table, write_json
    from clew.cli.runs import as_data

    endpoint = Endpoint.at(query)
    rows = endpoint.rows(_LOOPS, since=_ALWAYS if since is None else since, limit=limit)
    if as_json:
        write_json([as_data({name: value for name, value in row.items() if name != "now_ns"}) for row in rows])
        return
    screen = console()
    if not rows:
        put(screen, "No loops.")
        return
    from clew.cli.lookup import shorten

    short = shorten(endpoint, [row["trace_id"] for row in rows])
    columns = [
        Column("RUN"),
        Column("AGENT"),
        Column("PATTERN"),
        Column("WHAT", flexible=True),
        *(Column(title, right=True) for title in ("TIMES", "WASTED", "COST", "AGO")),
    ]
    table(
        screen,
        columns,
        [
            [
                (short[row["trace_id"]], "cyan"),
                (escape(row["agent_name"] or "-"), ""),
                (escape(row["pattern"]), ""),
                (escape(row["tool_name"] or "-"), ""),
                (str(row["repetitions"]), "red"),
                (units.count(row["wasted_tokens"]), ""),
                (units.money(row["wasted_cost_usd"]), ""),
                (units.age((row["now_ns"] - row["last_seen_ns"]) / units.NANOS), "dim"),
            ]
            for row in rows
        ],
    )
    wasted = sum((row["wasted_cost_usd"] for row in rows), Decimal(0))
    tokens = sum(row["wasted_tokens"] for row in rows)
    put(screen, f"{plural(len(rows), 'loop')} wasted {plural(tokens, 'token')}, {units.money_exact(wasted)}")
