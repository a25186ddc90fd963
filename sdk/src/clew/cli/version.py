"""`clew version`."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from clew.cli.options import Json  # noqa: TC001 - typer reads the annotations

#: Distributions that make up clew, or that its behaviour hangs on.
PARTS = ("clew", "clew-processor", "clew-kernel", "chdb", "opentelemetry-sdk")


def versions() -> dict[str, str | None]:
    """Part -> its version, None where it is not installed; last the Python that runs."""
    found: dict[str, str | None] = {}
    for part in PARTS:
        try:
            found[part] = installed(part)
        except PackageNotFoundError:
            found[part] = None
    return found | {"python": platform.python_version()}


def version(*, as_json: Json = False) -> None:
    """Versions of the parts."""
    parts = versions()
    if as_json:
        print(json.dumps(parts, indent=2))
        return
    for part, number in parts.items():
        print(f"{part:<18} {number or 'not installed'}")
