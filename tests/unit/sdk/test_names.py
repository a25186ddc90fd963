"""The names are those of the registry, and what is public is what is meant to be."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import yaml
from opentelemetry.semconv._incubating.attributes import error_attributes, gen_ai_attributes, user_attributes
from opentelemetry.semconv.attributes import exception_attributes

import clew
from clew import _semconv

ROOT = Path(__file__).parents[3]
GROUPS = yaml.safe_load((ROOT / "proto/registry/clew.yaml").read_text())["groups"]
REGISTRY = {attribute["id"]: attribute for group in GROUPS for attribute in group["attributes"]}
CONSTANTS = {name: value for name, value in vars(_semconv).items() if name.isupper() and isinstance(value, str)}


def test_constants_are_the_registrys_names():
    ours = {value for name, value in CONSTANTS.items() if name.startswith("CLEW_")}
    assert ours == set(REGISTRY)


def test_constants_are_spelt_like_their_names():
    for name, value in CONSTANTS.items():
        assert name == value.upper().replace(".", "_")


def test_names_of_the_conventions_are_the_conventions():
    known = {
        value
        for module in (gen_ai_attributes, error_attributes, exception_attributes, user_attributes)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }
    assert {value for name, value in CONSTANTS.items() if not name.startswith("CLEW_")} <= known


def test_content_attributes_are_those_the_registry_marks():
    marked = {name for name, attribute in REGISTRY.items() if attribute["annotations"]["clew"]["content"]}
    assert marked == _semconv.CLEW_CONTENT_ATTRIBUTES


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("clew.step.kind", _semconv.StepKind),
        ("clew.step.finish_reason", _semconv.StepFinishReason),
        ("clew.outcome.status", _semconv.OutcomeStatus),
        ("clew.outcome.source", _semconv.OutcomeSource),
        ("clew.gate.kind", _semconv.GateKind),
        ("clew.gate.phase", _semconv.GatePhase),
        ("clew.gate.outcome", _semconv.GateOutcome),
        ("clew.gate.scope", _semconv.GateScope),
        ("clew.gate.source", _semconv.GateSource),
        ("clew.gate.actor.type", _semconv.GateActorType),
        ("clew.gate.target.kind", _semconv.GateTargetKind),
        ("clew.budget.kind", _semconv.BudgetKind),
    ],
)
def test_enumerations_are_the_registrys(attribute, words):
    assert [member["value"] for member in REGISTRY[attribute]["type"]["members"]] == list(get_args(words))


def test_registry_entries_are_complete():
    for name, attribute in REGISTRY.items():
        assert name.startswith("clew.")
        assert attribute["brief"].endswith(".")
        assert attribute["stability"] == "development"
        assert set(attribute["annotations"]["clew"]) == {"content", "signals", "written_by"}
    # No name is both a value and a namespace.
    assert not [name for name in REGISTRY if any(other.startswith(f"{name}.") for other in REGISTRY)]


def test_public_names_are_exactly_those_listed():
    public = {
        name
        for name, value in vars(clew).items()
        if not name.startswith("_") and type(value) is not type(clew)  # submodules appear as they are imported
    }
    assert sorted(public | {"__version__"}) == clew.__all__ == sorted(clew.__all__)


def test_version_is_the_distributions():
    project = tomllib.loads((ROOT / "sdk/pyproject.toml").read_text())["project"]
    assert clew.__version__ == project["version"]


@pytest.mark.parametrize("statement", ["import clew", "import clew.auto"])
def test_import_loads_no_model_library_and_nothing_heavy(statement):
    heavy = {"openai", "anthropic", "langchain_core", "grpc", "httpx", "pydantic", "rich", "typer"}
    code = f"{statement}; import sys; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_import_of_clew_leaves_the_sdk_of_opentelemetry_alone():
    code = "import clew, sys; print('opentelemetry.sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
