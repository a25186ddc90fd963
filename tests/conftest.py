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


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "CLEW_")):
            monkeypatch.delenv(name)
