"""Who may import whom (the house's arrows): read from the sources, with the reason in each failure."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SDK = ROOT / "sdk" / "src"
PROCESSOR = ROOT / "processor" / "src"

#: Part of the processor -> parts it may import. Data goes receiver, spool, decode, normalise, enrich, sample, write; a
#: stage knows what the one before hands it, and nothing of what comes after. The receiver hands over to the spool.
MAY_IMPORT = {
    "errors": set(),
    "words": {"arrow"},
    "arrow": set(),
    "grouping": {"words"},
    "dialects": {"errors"},
    "spool": {"errors"},
    "receiver": {"spool", "errors", "control"},
    "decode": {"spool", "dialects"},
    "normalise": {"decode", "dialects", "words", "arrow", "grouping"},
    "prices": set(),
    "enrich": {"normalise", "prices", "words", "grouping", "arrow"},
    "price_files": {"enrich", "prices", "config", "errors"},
    "reprice": {"enrich", "words", "grouping", "arrow", "errors"},
    "sample": {"enrich", "normalise", "words"},
    "write": {"sample", "enrich", "normalise", "decode", "spool", "words", "arrow", "errors"},
    "control": {"errors"},
    "query": {"errors"},
    "config": {"errors", "query"},
    "state": set(),
    "rules": set(),
    "pipeline": {
        "decode", "normalise", "enrich", "sample", "write", "spool", "control", "state", "rules", "prices", "reprice",
    },
    "loader": {"pipeline", "write", "spool", "control"},
    "app": {
        "config", "control", "decode", "normalise", "enrich", "sample", "write", "spool", "receiver", "query",
        "pipeline", "loader", "rules", "errors", "price_files", "reprice",
    },
    "memory": set(),
    "commands": {"app", "config", "errors", "memory"},
}  # fmt: skip

#: Outside package -> the parts of the processor that may know it, and why no other may.
OUTSIDE = {
    "clew_kernel": (
        {"decode", "grouping", "enrich"},
        "bytes become columns in decode; rows are numbered, and keys looked up, in its hash tables",
    ),
    "grpc": ({"receiver"}, "transports end at the receiver"),
    "opentelemetry": ({"receiver"}, "no generated message on the hot path; the receiver answers with one"),
    "google": ({"receiver"}, "protobuf's own types are for the receiver's answers"),
    "starlette": (
        {"receiver", "query", "app"},
        "HTTP is spoken by the receiver and the query endpoint, and wired in app",
    ),
    "uvicorn": ({"app"}, "servers are started where everything is wired"),
    "clickhouse_connect": ({"write", "app"}, "one part talks to the store; app names its client's type"),
    "chdb": ({"query"}, "the endpoint reads the store that the process holds"),
    "genai_prices": ({"enrich"}, "prices are enrichment"),
    "prometheus_client": ({"control"}, "the processor's own numbers are control's"),
    "typer": ({"commands"}, "the command line is one module"),
    "rich": (set(), "the command line's looks are the clew distribution's"),
}


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in it: also inside functions, and for types only."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, so that arrows can be read"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(source: Path) -> list[Path]:
    return sorted(source.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PROCESSOR / "clew_processor").parts[0].removesuffix(".py")


def violations(source: Path, forbidden: tuple[str, ...], *, but: tuple[Path, ...] = ()) -> list[str]:
    return sorted(
        {
            f"{path.relative_to(ROOT)} imports {module.partition('.')[0]}"
            for path in files(source)
            if not any(path.is_relative_to(allowed) for allowed in but)
            for module in imports(path)
            if module.partition(".")[0] in forbidden
        }
    )


def test_the_sdk_never_imports_the_processor():
    assert violations(SDK, ("clew_processor", "clew_kernel")) == [], (
        "an agent's process must not pull in the processor; the command line finds its commands by entry point"
    )


def test_the_processor_never_imports_the_sdk():
    assert violations(PROCESSOR, ("clew",)) == [], (
        "any OTLP sender is served alike: what the SDK knows goes by the wire"
    )


def test_only_the_command_line_imports_typer_and_rich():
    assert violations(SDK, ("typer", "rich"), but=(SDK / "clew" / "cli",)) == [], (
        "`import clew.auto` runs inside agents and stays light"
    )


def test_importing_the_sdk_does_not_import_its_command_line():
    outside = [path for path in files(SDK) if not path.is_relative_to(SDK / "clew" / "cli")]
    assert [path for path in outside if any(m.startswith("clew.cli") for m in imports(path))] == [], (
        "the command line is loaded by its console script alone"
    )


def test_the_kernel_imports_nothing_of_ours():
    kernel = ROOT / "processor" / "kernel"
    assert [path for path in files(kernel) if "target" not in path.parts] == [], "the kernel is Rust and a stub"
    stub = ast.parse((kernel / "clew_kernel.pyi").read_text("utf-8"))
    assert {node.module for node in ast.walk(stub) if isinstance(node, ast.ImportFrom)} <= {"typing", "numpy.typing"}, (
        "the kernel knows OTLP and Arrow, not us"
    )
    sources = "".join(path.read_text("utf-8") for path in (kernel / "src").glob("*.rs"))
    assert "gen_ai." not in sources.split("#[cfg(test)]")[0], "what an attribute means is data of the processor"


def test_every_part_of_the_processor_has_its_arrows():
    assert {part_of(path) for path in files(PROCESSOR)} - {"__init__"} == MAY_IMPORT.keys()


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_part_of_the_processor_imports_what_comes_before_it(part):
    wrong = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files(PROCESSOR)
        if part_of(path) == part
        for module in imports(path)
        if module.startswith("clew_processor.") and module.split(".")[1] not in MAY_IMPORT[part] | {part}
    }
    assert not wrong, f"{part} may know {sorted(MAY_IMPORT[part])}: data flows one way and no stage reaches back"


def test_no_part_imports_itself_round_a_corner():
    def reached(part: str, seen: frozenset[str] = frozenset()) -> set[str]:
        return {part}.union(*(reached(to, seen | {part}) for to in MAY_IMPORT[part] - seen))

    assert [part for part, to in MAY_IMPORT.items() if any(part in reached(other) for other in to)] == []


@pytest.mark.parametrize("package", OUTSIDE)
def test_a_foreign_package_is_known_where_it_is_needed(package):
    allowed, reason = OUTSIDE[package]
    wrong = {
        str(path.relative_to(ROOT))
        for path in files(PROCESSOR)
        if part_of(path) not in allowed and any(module.partition(".")[0] == package for module in imports(path))
    }
    assert not wrong, f"{package} is for {sorted(allowed)}: {reason}"


def test_only_app_wires():
    """Nothing but the wiring (and the command that starts it) may know both ends of the data path."""
    both = [part for part, to in MAY_IMPORT.items() if {"receiver", "write"} <= to]
    assert both == ["app"]
