"""Turning on the GenAI instrumentations that are installed, each when the library it is for is imported."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from clew import _guard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

    from clew._catalogue import Library

_GROUP = "opentelemetry_instrumentor"
_DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_enabled: dict[str, bool] = {}  # distribution -> whether turning it on has worked, or is still to come


@dataclass(frozen=True, slots=True)
class Instrumentation:
    """What is known about the instrumentation of one library in this process."""

    library: str
    """What users call the library."""
    package: str
    """The distribution that instruments it: the one in use, else the best one to install."""
    version: str | None
    """The distribution's version, None where it is not installed."""
    installed: bool
    """Whether the distribution is installed."""
    enabled: bool
    """Whether clew has turned it on, or will when the library is imported."""


def instrumentations() -> list[Instrumentation]:
    """One entry for each GenAI library found here, in alphabetical order, whether it is instrumented or not."""
    found = _entry_points()
    return [
        Instrumentation(
            library.name,
            package=(package := _package(library, found) or library.packages[0]),
            version=_version(found.get(package)),
            installed=package in found,
            enabled=_enabled.get(package, False),
        )
        for library in _libraries(found)
        if _package(library, found) is not None or _is_importable(library.modules[0])
    ]


def enable_all() -> None:
    """Arranges for every installed instrumentation to be turned on as soon as its library is imported.

    `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS` is obeyed. What fails is logged; the others go on.
    """
    from clew._import_hook import ImportWatch

    disabled = {name.strip() for name in os.environ.get(_DISABLED, "").split(",")}
    if "*" in disabled:
        return
    found = _entry_points()
    watch = ImportWatch()
    for library in _libraries(found):
        package = _package(library, found)
        if package is None or package in _enabled or found[package].name in disabled:
            continue
        _enabled[package] = True
        # The instrumentation's module too: a programme that imports it itself imports the library in the middle of it.
        modules = (*library.modules, found[package].module)
        watch.when_imported(modules, partial(_enable, package, found[package]))


def _enable(package: str, entry: EntryPoint) -> None:
    try:
        from opentelemetry.instrumentation.dependencies import DependencyConflictError

        instrumentor: Any = entry.load()()
        if instrumentor.is_instrumented_by_opentelemetry:  # the programme did it itself
            return
        try:
            instrumentor.instrument(raise_exception_on_conflict=True)
        except DependencyConflictError as error:
            if error.conflict.found or error.conflict.found_any:
                _enabled[package] = False
                _guard.warn_once(package, "%s is not used, its library is not recorded: %s", package, error)
            else:  # the module was imported, so it is there without that distribution: langgraph without langchain
                instrumentor.instrument(skip_dep_check=True)
    except Exception as error:
        _enabled[package] = False
        _guard.failed(f"turning on {package}", error)


def _entry_points() -> dict[str, EntryPoint]:
    """Distribution, its name normalised -> its entry point, for every instrumentation installed."""
    from importlib.metadata import entry_points

    return {
        entry.dist.name.lower().replace("_", "-"): entry
        for entry in entry_points(group=_GROUP)
        if entry.dist is not None
    }


def _libraries(found: dict[str, EntryPoint]) -> Iterator[Library]:
    from clew._catalogue import LIBRARIES, OFFICIAL, Library

    listed = {package for library in LIBRARIES for package in library.packages}
    unlisted = [
        Library(entry.name, (entry.name.replace("-", "_"),), (package,))
        for package, entry in found.items()
        if package.startswith(OFFICIAL) and package not in listed
    ]
    yield from sorted([*LIBRARIES, *unlisted])


def _package(library: Library, found: dict[str, EntryPoint]) -> str | None:
    return next((package for package in library.packages if package in found), None)


def _version(entry: EntryPoint | None) -> str | None:
    return entry.dist.version if entry is not None and entry.dist is not None else None


def _is_importable(module: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # the package above it is missing, or is something else
        return False
