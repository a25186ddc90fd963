"""`clew runs`."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clew.cli import running, units
from clew.cli.endpoint import Endpoint, Row
from clew.cli.options import DEFAULT_ADDRESS, Json, Query, Since
from clew.cli.text import escape, plural

if TYPE_CHECKING:
    from clew.cli.running import Open

#: What is read of ``runs``; times in nanoseconds.
COLUMNS = """
    tenant_id, trace_id, agent_name, agent_version, conversation_id, user_id, service_name,
    toUnixTimestamp64Nano(started_at) AS started_ns, toUnixTimestamp64Nano(ended_at) AS ended_ns, duration_ms,
    status, outcome, outcome_score, steps, model_calls, tool_calls, errors, retries, input_tokens, output_tokens,
    cache_read_tokens, cache_write_tokens, cost_usd, unpriced_calls, loops, loop_cost_usd, gates, gates_denied,
    gate_wait_ms, sampled, open_spans, toUnixTimestamp64Milli(updated_at) * 1000000 AS updated_ns
"""

STATUSES = ("ok", "error", "interrupted", "cancelled", "unset", "running")
OUTCOMES = ("success", "failure", "partial", "unknown")

#: What --fail-on may name -> the condition on ``runs``.
FAILURES = {
    **{status: f"status = '{status}'" for status in STATUSES},
    **{outcome: f"outcome = '{outcome}'" for outcome in OUTCOMES},
    "errors": "errors > 0",
    "loops": "loops > 0",
    "denied": "gates_denied > 0",
    "unpriced": "unpriced_calls > 0",
}


def _one_of(allowed: tuple[str, ...]) -> Any:
    def check(text: str) -> str:
        if text not in allowed:
            raise typer.BadParameter(f"{text!r} is none of: {', '.join(allowed)}")
        return text

    return check


def runs(
    *,
    since: Since = None,
    agent: Annotated[str | None, typer.Option(metavar="A", help="Only runs of this agent.")] = None,
    status: Annotated[
        str | None,
        typer.Option(parser=_one_of(STATUSES), metavar="S", help=f"Only runs that are {', '.join(STATUSES)}."),
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            parser=_one_of(tuple(FAILURES)),
            metavar="WHAT",
            help=f"Exit 1 if a listed run has it: {', '.join(FAILURES)}. May be given several times.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many of the newest; --fail-on looks at all.")] = 50,
    query: Query = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List runs: agent, status, steps, tokens, cost, loops, gates, duration; the newest first."""
    endpoint = Endpoint.at(query)
    conditions = {
        "agent_name = {agent:String}": ("agent", agent),
        "status = {status:String}": ("status", status),
        # A run belongs to the last hour if anything of it happened then, or it was said then that it goes on.
        "if(open_spans > 0, updated_at, ended_at) >= now64(9) - toIntervalSecond({since:UInt64})": ("since", since),
    }
    given = {sql: named for sql, named in conditions.items() if named[1] is not None}
    where = " AND ".join(given) or "1"
    params = dict(given.values())
    rows = endpoint.rows(
        f"SELECT {COLUMNS}, toUnixTimestamp64Nano(now64(9)) AS now_ns FROM runs WHERE {where} "
        "ORDER BY started_at DESC, trace_id LIMIT {limit:UInt64}",
        **params,
        limit=limit,
    )
    total = len(rows)
    counts: dict[str, int] = {}
    if len(rows) == limit or fail_on:
        sums = ", ".join(f"countIf({FAILURES[what]}) AS {what}" for what in dict.fromkeys(fail_on or ()))
        counts = endpoint.rows(
            f"SELECT count() AS total{', ' + sums if sums else ''} FROM runs WHERE {where}", **params
        )[0]
        total = counts.pop("total")
    open_ = running.read(endpoint, [(row["tenant_id"], row["trace_id"]) for row in rows if row["open_spans"]])
    _print(endpoint, rows, open_, total, as_json=as_json)
    failing = {what: number for what, number in counts.items() if number}
    if failing:
        for what, number in failing.items():
            typer.echo(f"clew: {plural(number, 'run')} of {total:,} with --fail-on {what}", err=True)
        raise typer.Exit(1)


def as_data(row: Row) -> dict[str, Any]:
    """A row for JSON: ``*_ns`` times since 1970 become ``*_at`` in RFC 3339, to the nanosecond."""
    return {
        (name.removesuffix("_ns") + "_at" if _is_time(name) else name): (
            units.timestamp(value) if _is_time(name) else value
        )
        for name, value in row.items()
    }


def _is_time(name: str) -> bool:
    return name.endswith("_ns") and name != "duration_ns"


def _print(endpoint: Endpoint, rows: list[Row], open_: dict[str, list[Open]], total: int, *, as_json: bool) -> None:
    from clew.cli.output import Cell, Column, console, fit, put, table, write_json

    if as_json:
        write_json(
            [
                as_data({name: value for name, value in row.items() if name != "now_ns"})
                | {"running": running.as_data(running.innermost(open_.get(row["trace_id"], [])))}
                for row in rows
            ]
        )
        return
    screen = console()
    if not rows:
        put(screen, "No runs. `clew demo` makes some; `clew run -- python agent.py` records yours.")
        return
    from rich.text import Text

    from clew.cli.draw import STATES
    from clew.cli.lookup import shorten

    short = shorten(endpoint, [row["trace_id"] for row in rows])
    lines: list[list[Cell]] = []
    for row in rows:
        state = escape(row["status"]) + (f"/{escape(row['outcome'])}" if row["outcome"] else "")
        denied = f" ✗{row['gates_denied']}" if row["gates_denied"] else ""
        lines.append(
            [
                (short[row["trace_id"]], "cyan"),
                (escape(row["agent_name"] or row["service_name"] or "-"), ""),
                (state, STATES.get(row["outcome"] or row["status"], "")),
                (str(row["steps"]), ""),
                (units.count(row["input_tokens"] + row["output_tokens"]), ""),
                (_cost(row), ""),
                (str(row["loops"] or "-"), "red" if row["loops"] else "dim"),
                (f"{row['gates'] or '-'}{denied}", "red" if denied else "dim"),
                (units.duration(_so_far(row, open_.get(row["trace_id"], []))), ""),
                (units.age((row["now_ns"] - row["started_ns"]) / units.NANOS), "dim"),
            ]
        )
    columns = [
        Column("RUN"),
        Column("AGENT", flexible=True),
        Column("STATUS"),
        *(Column(title, right=True) for title in ("STEPS", "TOKENS", "COST", "LOOPS", "GATES", "TIME", "AGO")),
    ]
    table(screen, columns, lines)
    for row in rows:
        if spans := open_.get(row["trace_id"]):
            put(screen, Text(fit(f"{short[row['trace_id']]} running: {running.where(spans)}", screen.width), "cyan"))
            if quiet := running.silence(spans):
                put(screen, Text(fit(f"{short[row['trace_id']]} {quiet}", screen.width), "yellow"))
    if total > len(rows):
        put(screen, f"{len(rows):,} of {total:,} runs; --limit, --since, --agent and --status choose")


def _so_far(row: Row, spans: list[Open]) -> int:
    """How long the run took, in nanoseconds; until now where it runs."""
    took: int = row["duration_ms"] * 1_000_000
    started: int = row["started_ns"]
    return max([took, *(span.now_ns - started for span in spans[:1] if row["status"] == "running")])


def _cost(row: Row) -> str:
    """Dollars to a hundredth of a cent; ``?`` where calls have no price."""
    usd: Decimal = row["cost_usd"]
    text = "<$0.0001" if 0 < usd < Decimal("0.00005") else f"${usd:,.4f}"
    return f"{text}?" if row["unpriced_calls"] else text
