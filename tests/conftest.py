"""What every test starts from: none of the environment's settings, and one way of generating cases."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# The same cases on every run: a failure is one for everybody. `HYPOTHESIS_PROFILE=explore` looks for new ones.
settings.register_profile(
    "repeatable", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("repeatable"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Long forms of tests that are quick in `make test`; which test makes what of them is in its docstring."""
    parser.addoption("--long", action="store_true", help="the long form: minutes instead of seconds, and with times")
    parser.addoption("--rounds", type=int, default=1, help="how many seeded rounds of kills (default 1)")
    parser.addoption("--seed", type=int, default=20_260_101, help="of everything that tests leave to chance")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long form was asked for."""
    return request.config.getoption("--long")


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """Of everything that is left to chance."""
    return request.config.getoption("--seed")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "CLEW_")):
            monkeypatch.delenv(name)
