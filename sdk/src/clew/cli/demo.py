"""`clew demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from clew.cli.errors import CliError
from clew.cli.options import Json  # noqa: TC001 - typer reads the annotations


def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the summary.")] = False,
    as_json: Json = False,
) -> None:
    """Run real instrumented agents against a scripted model server; no API key, nothing leaves this machine."""
    try:
        from clew.demo import run_demo

        code = run_demo(once=once, as_json=as_json)
    except ModuleNotFoundError as error:
        raise CliError(f"the demo needs more than is installed ({error}): pip install 'clew[demo]'") from error
    raise typer.Exit(code)
