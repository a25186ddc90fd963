"""Turning on what records the GenAI libraries that are installed, each when the library is imported."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from clew import _content, _guard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import Distribution, EntryPoint

    from clew._instrument.catalogue import Library

_GROUP = "opentelemetry_instrumentor"
_DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_enabled: dict[str, bool] = {}  # library -> whether turning its recording on has worked, or is still to come


@dataclass(frozen=True, slots=True)
class Instrumentation:
    """What is known about the recording of one library in this process."""

    library: str
    """What users call the library."""
    package: str
    """The distribution that records it: the one in use, else the best one to install; the library's own distribution
    where that is its own OpenTelemetry output."""
    version: str | None
    """The distribution's version, None where it does not record the library, or is not installed."""
    installed: bool
    """Whether something that records this version of the library is installed."""
    enabled: bool
    """Whether clew has turned it on, or will when the library is imported."""
    library_version: str | None = None
    """The library's version, None where it is not known."""
    own: bool = False
    """Whether it is the library's own OpenTelemetry output."""
    install: str = ""
    """What to give `pip install` so that the library is recorded; empty where it is."""
    beside: tuple[str, ...] = ()
    """Libraries whose instrumentation supplies the model calls that this one's lacks."""
    unsuitable: tuple[str, ...] = ()
    """Why packages that are installed and come first are not used."""


def instrumentations() -> list[Instrumentation]:
    """One entry for each GenAI library installed here, in alphabetical order, whether it is recorded or not."""
    found = _entry_points()
    return [_state(library, found) for library in _libraries(found) if _is_installed(library)]


def enable_all() -> None:
    """Arranges for what records a library to be turned on as soon as the library is imported.

    `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS` is obeyed, by the names of entry points and of libraries. What fails is
    logged; the others go on.
    """
    from clew._instrument.import_hook import ImportWatch

    disabled = {name.strip() for name in os.environ.get(_DISABLED, "").split(",")}
    if "*" in disabled:
        return
    found = _entry_points()
    watch = ImportWatch()
    for library in _libraries(found):
        if library.name in _enabled or library.name in disabled:
            continue
        entries = {package: found[package] for package in library.packages if package in found}
        entries = {package: entry for package, entry in entries.items() if entry.name not in disabled}
        if entries or library.distribution in library.packages:
            _enabled[library.name] = True
            # The instrumentations' modules too: a programme that imports one itself imports the library in the middle
            # of it.
            modules = (*library.modules, *(entry.module for entry in entries.values()))
            watch.when_imported(modules, partial(_enable, library, entries))


def _enable(library: Library, entries: dict[str, EntryPoint]) -> None:
    """Turns on the best of what can be had for the version of the library that was imported."""
    package = ""
    try:
        if not _is_installed(library):  # another module of that name
            _enabled[library.name] = False
            return
        reasons = []
        for package in library.packages:
            reason = _unsuitable(library, package, entries)
            if reason is None:
                _turn_on(library, package, entries)
                return
            if reason:
                reasons.append(reason)
        _enabled[library.name] = False
        if reasons:
            _guard.warn_once(library.name, "%s is not recorded: %s.", library.name, "; ".join(reasons))
    except Exception as error:
        _enabled[library.name] = False
        _guard.failed(f"turning on {package}", error)


def _turn_on(library: Library, package: str, entries: dict[str, EntryPoint]) -> None:
    _fill_gaps(package)
    if package == library.distribution:
        from clew._instrument.own_output import TURN_ON

        if library.name in TURN_ON:
            TURN_ON[library.name](_content.is_wanted())
        return
    if library.own_off:
        os.environ.setdefault(library.own_off, "false")
    instrumentor: Any = entries[package].load()()
    if not instrumentor.is_instrumented_by_opentelemetry:  # else the programme did it itself
        # Whether it is for this version has been seen; it may name a distribution that is not there although the
        # module is: langgraph without langchain.
        instrumentor.instrument(skip_dep_check=True)


def _fill_gaps(package: str) -> None:
    from clew._instrument.gaps import FILL

    try:
        FILL.get(package, lambda: None)()
    except Exception as error:  # what the package records is recorded all the same
        _guard.failed(f"filling the gaps of {package}", error)


def _unsuitable(library: Library, package: str, entries: dict[str, EntryPoint]) -> str | None:
    """None where the package can record the library; else why not, empty where it is simply not installed."""
    if package == library.distribution:
        version = _version(package)
        if version is None or not _reaches(version, library.own_since):
            return f"{package} {version} has no output of its own, {library.own_since} has"
        return None
    if package not in entries:
        return ""
    return _conflict(package, entries[package].dist)


def _conflict(package: str, dist: Distribution | None) -> str | None:
    """What a package says against the version of its library that is installed."""
    from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts

    conflict = get_dist_dependency_conflicts(dist) if dist is not None else None
    if conflict is None or not (conflict.found or conflict.found_any):
        return None
    wanted = str(conflict.required or " or ".join(map(str, conflict.required_any or ()))).partition(";")[0].strip()
    found = conflict.found or ", ".join(conflict.found_any or ())
    return f"{package} {_version(package)} is for {wanted}, here is {found}"


def _state(library: Library, found: dict[str, EntryPoint]) -> Instrumentation:
    reasons = {package: _unsuitable(library, package, found) for package in library.packages}
    used = next((package for package, reason in reasons.items() if reason is None), None)
    before = library.packages[: library.packages.index(used)] if used else library.packages
    package = used or library.packages[0]
    return Instrumentation(
        library.name,
        package=package,
        version=_version(used) if used else None,
        installed=used is not None,
        enabled=_enabled.get(library.name, False),
        library_version=_version(library.distribution),
        own=used == library.distribution,
        install="" if used else _install(library, reasons),
        beside=library.beside,
        unsuitable=tuple(reason for name in before if (reason := reasons[name])),
    )


def _install(library: Library, reasons: dict[str, str | None]) -> str:
    """The best package that is not known to be unsuitable; a newer library where only that helps."""
    package = next((name for name in library.packages if not reasons[name]), None)
    if package is None or package == library.distribution:
        return f"-U '{library.distribution}>={library.own_since}'" if library.own_since else f"-U {library.packages[0]}"
    return package


def _entry_points() -> dict[str, EntryPoint]:
    """Distribution, its name normalised -> its entry point, for every instrumentation installed."""
    from importlib.metadata import entry_points

    return {
        entry.dist.name.lower().replace("_", "-"): entry
        for entry in entry_points(group=_GROUP)
        if entry.dist is not None
    }


def _libraries(found: dict[str, EntryPoint]) -> Iterator[Library]:
    from clew._instrument.catalogue import LIBRARIES, OFFICIAL, Library

    listed = {package for library in LIBRARIES for package in library.packages}
    unlisted = [
        Library(entry.name, "", (entry.name.replace("-", "_"),), (package,))
        for package, entry in found.items()
        if package.startswith(OFFICIAL) and package not in listed
    ]
    yield from sorted([*LIBRARIES, *unlisted])


def _version(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution) if distribution else None
    except PackageNotFoundError:
        return None


def _reaches(version: str, least: str) -> bool:
    """Whether a version is at least another one, by the numbers at their start."""

    def numbers(text: str) -> tuple[int, ...]:
        parts = text.split(".")
        return tuple(int(part) for part in parts[: next((n for n, p in enumerate(parts) if not p.isdigit()), None)])

    return numbers(version) >= numbers(least)


def _is_installed(library: Library) -> bool:
    if library.distribution:  # the module alone may be anybody's: `agents`
        return _version(library.distribution) is not None
    from importlib.util import find_spec

    try:
        return find_spec(library.modules[0]) is not None
    except (ImportError, ValueError):  # it is something else
        return False
