"""Which package records which library: told by what is installed, without importing any of it."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode

import clew
from clew._export.mend import mended
from clew._instrument.catalogue import LIBRARIES, OFFICIAL
from clew.cli.doctor import _libraries

PYPROJECT = Path(__file__).parents[3] / "sdk" / "pyproject.toml"
GOOGLE = "opentelemetry-instrumentation-google-genai"
OPENINFERENCE = "openinference-instrumentation-google-genai"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution where Python finds it, its modules raising when they are imported."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def install(name, version, module, *, instruments="", entry=""):
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        wants = f"Requires-Dist: {instruments}; extra == 'instruments'\nProvides-Extra: instruments\n"
        (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n{wants if instruments else ''}")
        if entry:
            (info / "entry_points.txt").write_text(f"[opentelemetry_instrumentor]\n{entry} = {module}:Instrumentor\n")
        package = tmp_path.joinpath(*module.split("."))
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("raise RuntimeError('imported')")

    return install


def state(library):
    return next((found for found in clew.instrumentations() if found.library == library), None)


def test_library_that_is_not_installed_is_not_listed(install):
    assert state("google-genai") is None
    install(GOOGLE, "1.3b0", "google_official", instruments="google-genai<3", entry="google-genai")
    assert state("google-genai") is None


def test_module_of_the_same_name_is_not_the_library(install):
    install("something-else", "1.0", "agents")
    assert state("openai-agents") is None


def test_first_package_that_is_for_the_installed_version_records_it(install):
    install(GOOGLE, "1.3b0", "google_official", instruments="google-genai<3,>=1", entry="google-genai")
    install(OPENINFERENCE, "1.4", "google_inference", instruments="google-genai>=1", entry="google_genai")
    install("google-genai", "2.34.0", "google.genai")
    found = state("google-genai")
    assert (found.package, found.version, found.library_version) == (GOOGLE, "1.3b0", "2.34.0")
    assert (found.installed, found.install, found.unsuitable) == (True, "", ())


def test_package_for_other_versions_makes_room_for_the_next_one_and_is_named(install):
    install(GOOGLE, "1.3b0", "google_official", instruments="google-genai<3,>=1", entry="google-genai")
    install("google-genai", "3.4.0", "google.genai")
    [reason] = state("google-genai").unsuitable
    assert "1.3b0 is for google-genai<3,>=1" in reason
    assert "google-genai 3.4.0" in reason
    assert (state("google-genai").installed, state("google-genai").install) == (False, OPENINFERENCE)
    install(OPENINFERENCE, "1.4", "google_inference", instruments="google-genai>=1", entry="google_genai")
    assert (state("google-genai").installed, state("google-genai").package) == (True, OPENINFERENCE)


def test_own_output_records_from_the_version_on_that_has_it(install):
    install("mcp", "2.3.0", "mcp")
    assert (state("mcp").installed, state("mcp").own, state("mcp").version) == (True, True, "2.3.0")


def test_library_too_old_for_its_own_output_is_to_be_upgraded(install):
    install("mcp", "1.30.0", "mcp")
    assert (state("mcp").installed, state("mcp").own, state("mcp").install) == (False, False, "-U 'mcp>=2'")


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_order_is_official_then_own_output_then_openinference(library):
    def rank(package):
        if package == library.distribution:
            return 1
        return 0 if package.startswith((OFFICIAL, "opentelemetry-")) else 2

    assert [*map(rank, library.packages)] == sorted({rank(package) for package in library.packages})
    assert (library.distribution in library.packages) == bool(library.own_since)


def test_extras_and_table_agree():
    extras = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    covered = {library.name for library in LIBRARIES if library.extra}
    assert covered == set(extras) - {"all", "demo"}
    for library in LIBRARIES:
        if library.extra:
            brought = " ".join(extras[library.name])
            # The library's own output comes with the library.
            assert library.packages[0] in brought or library.own_since
    everything = "".join(extras["all"])
    assert {name for name in covered if name in everything} == covered
    assert {name for library in LIBRARIES for name in library.beside} <= {library.name for library in LIBRARIES}


@pytest.mark.parametrize("said", [("_OTHER", "abandoned stream"), ("TimeoutError", "too late")])
def test_stream_its_consumer_left_is_cancelled_and_no_error(said):
    kind, description = said
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("chat", attributes={"error.type": kind})
    span.set_status(Status(StatusCode.ERROR, description))
    span.end()
    sent = mended(span)
    if kind == "_OTHER":
        assert (sent.status.status_code, dict(sent.attributes)) == (StatusCode.UNSET, {"clew.status": "cancelled"})
        assert (sent.context, sent.start_time, sent.end_time) == (span.context, span.start_time, span.end_time)
    else:
        assert sent is span


def test_doctor_says_what_records_a_library_and_how_to_cover_one(install):
    install("mcp", "2.3.0", "mcp")
    install("crewai", "1.15", "crewai")
    install("openai-agents", "0.24.0", "agents")
    install(f"{OFFICIAL}openai-agents", "1.3b0", "agents_official", entry="openai_agents")
    told = {check.found: check for check in _libraries()}
    assert told["mcp 2.3.0 is recorded by its own OpenTelemetry output"].verdict == "ok"
    agents = f"openai-agents 0.24.0 is recorded by {OFFICIAL}openai-agents 1.3b0, its model calls by openai"
    assert told[agents].verdict == "ok"
    crew = told["crewai 1.15 is installed here, what records it is not"]
    assert (crew.verdict, crew.advice) == ("hint", "pip install openinference-instrumentation-crewai")
    assert not any("smolagents" in found for found in told)
