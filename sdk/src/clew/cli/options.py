"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from clew.cli.endpoint import DEFAULT_ADDRESS
from clew.cli.units import seconds


def since_seconds(text: str) -> int:
    """`seconds`, with its complaint as a usage error."""
    try:
        return seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Query = Annotated[
    str, typer.Option("--query", envvar="CLEW_QUERY", metavar="HOST:PORT", help="The processor's query endpoint.")
]
Http = Annotated[
    str, typer.Option("--http", envvar="CLEW_HTTP", metavar="HOST:PORT", help="The processor's HTTP address.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, whole and exact, instead of text.")]
Since = Annotated[
    int | None,
    typer.Option("--since", parser=since_seconds, metavar="SPAN", help="Only the last 90s, 15m, 1h, 7d ..."),
]

DEFAULT_HTTP = "127.0.0.1:4318"

__all__ = ["DEFAULT_ADDRESS", "DEFAULT_HTTP", "Http", "Json", "Query", "Since"]
