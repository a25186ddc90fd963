"""`clew query`."""

from __future__ import annotations

import shutil
import sys
from typing import Annotated

import typer

from clew.cli.endpoint import Endpoint
from clew.cli.errors import QueryError
from clew.cli.options import DEFAULT_ADDRESS, Query
from clew.cli.text import escape_lines


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One statement; `-` reads it from standard input.")],
    *,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="F", help="A ClickHouse format; PrettyCompact on a terminal, else TSV."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format JSON.")] = False,
    query: Query = DEFAULT_ADDRESS,
) -> None:
    """Ask the store in SQL, through the query endpoint."""
    terminal = sys.stdout.isatty()
    chosen = form or ("JSON" if as_json else "PrettyCompact" if terminal else "TSV")
    statement = sys.stdin.read() if sql == "-" else sql
    try:
        with Endpoint.at(query).open(statement, chosen) as answer:
            if terminal:
                # What is stored is untrusted: it must not drive the terminal.
                sys.stdout.write(escape_lines(answer.read().decode(errors="backslashreplace")))
            else:
                sys.stdout.flush()
                shutil.copyfileobj(answer, sys.stdout.buffer)
    except QueryError as error:
        # The store's own words, as it sent them.
        told = str(error)
        typer.echo(escape_lines(told) if sys.stderr.isatty() else told, err=True)
        raise typer.Exit(1) from None
