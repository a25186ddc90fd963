"""Subcommands of `clew` that the processor adds."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from clew_processor.config import load
from clew_processor.errors import ClewError
from clew_processor.memory import keep_freed

if TYPE_CHECKING:
    from clew_processor.app import Addresses
    from clew_processor.config import Settings


def up(
    config: Annotated[Path | None, typer.Option(help="Settings file; default clew.yaml, if it is there.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data directory.")] = None,
    store: Annotated[
        str | None, typer.Option(help="DSN of the store; default: embedded, in the data directory.")
    ] = None,
    grpc: Annotated[str | None, typer.Option(help="HOST:PORT of OTLP/gRPC.")] = None,
    http: Annotated[str | None, typer.Option(help="HOST:PORT of OTLP/HTTP, health and metrics.")] = None,
    query: Annotated[str | None, typer.Option(help="HOST:PORT of the read-only ClickHouse interface.")] = None,
) -> None:
    """Run the processor. SIGTERM drains; a second one leaves at once."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    for library in (
        "clickhouse_connect",
        "urllib3.connectionpool",
    ):  # what they warn of, we say ourselves, with what it means
        logging.getLogger(library).setLevel(logging.ERROR)
    try:
        settings = load(
            {"data": data, "store": store, "grpc": grpc, "http": http, "query": query},
            config=config,
        )
        # The engine takes half a second to load, so wrong settings are told before; its time zone is the process's.
        os.environ["TZ"] = "UTC"
        time.tzset()
        keep_freed()
        from clew_processor.app import run

        run(settings, _announce)
    except ClewError as error:
        sys.stderr.write(f"clew: {' '.join(str(error).split())}\n")
        raise typer.Exit(2) from error


def _announce(addresses: Addresses, settings: Settings) -> None:
    scheme, _, rest = settings.dsn.partition("://")
    print(  # noqa: T201 - this is what the command prints
        f"clew is up\n"
        f"  OTLP/gRPC   {addresses.grpc}\n"
        f"  OTLP/HTTP   http://{addresses.http}/v1/traces  (also /healthz /readyz /metrics)\n"
        f"  query       http://{addresses.query}  (ClickHouse HTTP, read-only)\n"
        f"  store       {scheme}://{rest.rpartition('@')[2]}\n"
        f"\n"
        f"Point an agent at it:\n"
        f"  export OTEL_EXPORTER_OTLP_ENDPOINT=http://{addresses.grpc}\n",
        flush=True,
    )
