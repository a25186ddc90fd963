"""The `clew` command.

Only this package imports typer and rich, and only the modules of the command that runs are loaded.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line on `sys.argv` and leave the process with its exit code: 0, 1 ("no") or 2 (usage)."""
    import io
    import sys

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character gets its escape, not a traceback.
            stream.reconfigure(errors="backslashreplace")

    from clew.cli.app import app
    from clew.cli.errors import CliError
    from clew.cli.text import escape

    try:
        app()
    except CliError as error:
        print("clew: " + "\n".join(escape(line) for line in str(error).splitlines()), file=sys.stderr)
        sys.exit(error.exit_code)
