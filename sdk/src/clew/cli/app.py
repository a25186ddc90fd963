"""Which commands there are. Each is imported when it runs, so that none pays for the others."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from clew.cli.errors import CliError

if TYPE_CHECKING:
    from collections.abc import Callable

#: Command name -> module and function, in the order of the help.
COMMANDS = {
    "runs": "clew.cli.runs:runs",
    "show": "clew.cli.show:show",
    "loops": "clew.cli.loops:loops",
    "query": "clew.cli.query:query",
    "reprice": "clew.cli.reprice:reprice",
    "dead-letter": "clew.cli.dead_letter:app",
    "doctor": "clew.cli.doctor:doctor",
    "run": "clew.cli.run:run",
    "demo": "clew.cli.demo:demo",
    "version": "clew.cli.version:version",
}

#: Commands of other distributions -> the distribution to install.
ELSEWHERE = {"up": "clew-processor"}

#: The entry-point group by which other distributions add commands.
GROUP = "clew.commands"

#: Arguments of these belong to another program, or the command reads none.
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
_SETTINGS: dict[str, dict[str, Any]] = {"run": {"allow_interspersed_args": False, "ignore_unknown_options": False}}


class Commands(TyperGroup):
    """The group of all commands, each made when it is asked for."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override] # noqa: ARG002
        """Ours, then those of other distributions."""
        return [*COMMANDS, *sorted({*_discovered(), *ELSEWHERE} - COMMANDS.keys())]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override] # noqa: ARG002
        """The command, or None; what cannot be loaded becomes a command that says why."""
        return load(cmd_name)


def _discovered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def load(name: str) -> Any:
    """The command called ``name``, or None if there is no such command."""
    if name in COMMANDS:
        module, _, function = COMMANDS[name].partition(":")
        return _command(name, getattr(import_module(module), function), _SETTINGS.get(name))
    point = _discovered().get(name)
    if point is not None:
        try:
            return _command(name, point.load())
        except ImportError as error:
            why = f"`clew {name}` cannot be loaded from {point.value}: {error}"
            return _command(name, _refusal(why, f"not usable: {error}"), _PASS_ON)
    if name in ELSEWHERE:
        why = f"`clew {name}` comes with the processor, which is not installed: pip install {ELSEWHERE[name]}"
        return _command(name, _refusal(why, f"needs: pip install {ELSEWHERE[name]}"), _PASS_ON)
    return None


def _command(name: str, function: Callable[..., Any], settings: dict[str, Any] | None = None) -> Any:
    if isinstance(function, typer.Typer):
        group = typer.main.get_command(function)
        group.name = name
        return group
    single = typer.Typer(add_completion=False)
    single.command(name, context_settings=settings)(function)
    return typer.main.get_command(single)


def _refusal(message: str, summary: str) -> Callable[[], None]:
    def refuse() -> None:
        raise CliError(message)

    refuse.__doc__ = summary
    return refuse


def _version(wanted: bool) -> None:
    if wanted:
        from clew.cli.version import version

        version()
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    name="clew",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def clew(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Versions of the parts.")
    ] = False,
) -> None:
    """Flight recorder for AI agents: what they decided, did, cost, and where they went in circles."""
