"""`clew run`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from clew.cli.errors import CliError

#: Holds the sitecustomize.py that turns instrumentation on in every Python started below it.
BOOTSTRAP = Path(__file__).with_name("_bootstrap")

#: What a shell answers for a program that is not there (POSIX, Shell Command Language, 2.8.2).
NOT_FOUND = 127


def run(
    command: Annotated[
        list[str], typer.Argument(metavar="CMD...", help="The program, or a .py file, and its arguments.")
    ],
    *,
    service: Annotated[str | None, typer.Option(metavar="NAME", help="Its service.name.")] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="Where it sends its telemetry (OTLP/gRPC).")
    ] = None,
) -> None:
    """Run any Python program auto-instrumented, with no change to its code; its exit code is the program's."""
    argv = _argv(command)
    sys.stdout.flush()
    sys.stderr.flush()
    # In place of this process, so that signals, terminal and exit code are the program's own.
    os.execve(argv[0], argv, _environment(service, endpoint))  # noqa: S606 - running what was asked for is the point


def _argv(command: list[str]) -> list[str]:
    """The command with its program found: a .py file runs in this interpreter.

    Raises:
        CliError: there is no such program (exit code 127).
    """
    program, *arguments = command
    if program.endswith(".py") and Path(program).is_file():
        return [sys.executable, program, *arguments]
    found = shutil.which(program)
    if found is None:
        hint = "no such file" if program.endswith(".py") or "/" in program else "not on PATH"
        raise CliError(f"cannot run {program!r}: {hint}", exit_code=NOT_FOUND)
    return [found, *arguments]


def _environment(service: str | None, endpoint: str | None) -> dict[str, str]:
    """This process's environment, with what turns instrumentation on in the program's interpreter."""
    env = dict(os.environ)
    if service is not None:
        env["OTEL_SERVICE_NAME"] = service
    if endpoint is not None:
        env["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint if "://" in endpoint else f"http://{endpoint}"
    before = [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry and entry != str(BOOTSTRAP)]
    env["PYTHONPATH"] = os.pathsep.join([str(BOOTSTRAP), *before])
    return env
