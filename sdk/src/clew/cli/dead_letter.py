"""`clew dead-letter`: rows the store refused, to be looked at, taken away, and tried again.

They are read through the query endpoint. Trying again is the processor's work: it is asked to at its HTTP address.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import IO, TYPE_CHECKING, Annotated

import typer

from clew.cli import units
from clew.cli.control import order
from clew.cli.endpoint import Endpoint, Row
from clew.cli.errors import CliError
from clew.cli.options import DEFAULT_ADDRESS, DEFAULT_HTTP, Http, Json, Query, Since
from clew.cli.text import escape, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Rows the store refused: list them, export them, try them again."
)

#: `where` of a whole request that could not be processed, of spans or of log records; it is no row and cannot be tried
#: again.
REQUESTS = ("request", "logs_request")

_ABOUT = """
    id, tenant_id, `where`, reason, code, trace_id, span_id, batch, position, length(bytes) AS size,
    toUnixTimestamp64Milli(arrived_at) * 1000000 AS arrived_ns
"""
_LIST = f"""
SELECT {_ABOUT}, toUnixTimestamp64Nano(now64(9)) AS now_ns, count() OVER () AS all_of_them FROM dead_letter
WHERE arrived_at >= now64(3) - toIntervalSecond({{since:UInt64}})
ORDER BY arrived_at DESC, `where`, id
LIMIT {{limit:UInt64}}
"""
_EXPORT = f"""
SELECT {_ABOUT}, base64Encode(bytes) AS bytes FROM dead_letter
WHERE id > {{after:String}} AND {{table:String}} IN ('', `where`)
ORDER BY id
LIMIT 100
"""
_IDS = """
SELECT id FROM dead_letter
WHERE NOT has({requests:Array(String)}, `where`) AND {table:String} IN ('', `where`)
    AND (empty({ids:Array(String)}) OR has({ids:Array(String)}, id))
ORDER BY id
"""

_ALWAYS = 100 * 365 * units.SECONDS["d"]
_IDS_AT_ONCE = 10_000
_TIMEOUT_S = 30.0

Table = Annotated[str | None, typer.Option("--table", metavar="NAME", help="Only rows of this table.")]


@app.command("list")
def list_(
    *,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 50,
    query: Query = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List them: when, which table refused the row, and why; the newest first."""
    from clew.cli.output import Column, console, put, table, write_json
    from clew.cli.runs import as_data

    rows = Endpoint.at(query).rows(_LIST, since=_ALWAYS if since is None else since, limit=limit)
    if as_json:
        about = [{name: row[name] for name in row if name not in ("now_ns", "all_of_them")} for row in rows]
        write_json([as_data(row) for row in about])
        return
    screen = console()
    if not rows:
        put(screen, "No dead letters.")
        return
    columns = [Column("ID"), Column("WHERE"), Column("RUN"), Column("WHY", flexible=True), Column("AGO", right=True)]
    table(
        screen,
        columns,
        [
            [
                (row["id"], "cyan"),
                (escape(row["where"]), ""),
                (escape(row["trace_id"][:8] or "-"), ""),
                (escape(row["reason"]), "red"),
                (units.age((row["now_ns"] - row["arrived_ns"]) / units.NANOS), "dim"),
            ]
            for row in rows
        ],
    )
    found = rows[0]["all_of_them"]
    put(screen, plural(found, "dead letter") + (f", {len(rows)} of them shown" if found > len(rows) else ""))


@app.command()
def export(
    *,
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Instead of standard output.")] = None,
    only: Table = None,
    query: Query = DEFAULT_ADDRESS,
) -> None:
    """Write them as JSON, one a line: what is known of each, the row as the store was given it, and its exact bytes."""
    letters = _letters(Endpoint.at(query), only)
    if output is None:
        _write(letters, sys.stdout)
        return
    try:
        with output.open("w", encoding="utf-8") as file:
            count = _write(letters, file)
    except OSError as error:
        raise CliError(f"cannot write {output}: {error.strerror}") from error
    print(f"{plural(count, 'dead letter')} written to {output}")


@app.command()
def retry(
    *,
    ids: Annotated[list[str] | None, typer.Option("--id", metavar="ID", help="This one; may be repeated.")] = None,
    only: Table = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    http: Http = DEFAULT_HTTP,
    query: Query = DEFAULT_ADDRESS,
) -> None:
    """Have the processor insert them again; those the store refuses once more come back as new ones."""
    if not (ids or only or every):
        raise CliError("say which: --id ID, --table NAME or --all", exit_code=2)
    rows = Endpoint.at(query).rows(_IDS, requests=list(REQUESTS), table=only or "", ids=ids or [])
    found = [row["id"] for row in rows]
    if unknown := sorted({*(ids or ())} - {*found}):
        raise CliError(
            f"no dead letter of a row is called {', '.join(unknown)}: `clew dead-letter list` shows which there are"
        )
    for start in range(0, len(found), _IDS_AT_ONCE):
        _ask(http, found[start : start + _IDS_AT_ONCE])
    print(f"{plural(len(found), 'dead letter')} handed to the processor" if found else "No dead letters.")


def _letters(endpoint: Endpoint, table: str | None) -> Iterator[Row]:
    after = ""
    while page := endpoint.rows(_EXPORT, after=after, table=table or ""):
        yield from page
        after = page[-1]["id"]


def _write(letters: Iterator[Row], file: IO[str]) -> int:
    from clew.cli.letter import decoded
    from clew.cli.runs import as_data

    count = 0
    for count, letter in enumerate(letters, 1):  # noqa: B007 - the last one is how many
        row = decoded(letter["bytes"], where=letter["where"])
        file.write(json.dumps({**as_data(letter), "row": row}) + "\n")
    return count


def _ask(address: str, ids: list[str]) -> None:
    order(address, "/v1/dead-letter/retry", {"ids": ids}, timeout_s=_TIMEOUT_S)
