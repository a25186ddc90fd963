"""What several service tests share."""

from __future__ import annotations

import pytest

from shared.demo import serving_demo


@pytest.fixture(scope="session")
def serving(tmp_path_factory):
    """A real demo that has shown its summary and serves on."""
    with serving_demo(tmp_path_factory.mktemp("serving") / "demo") as demo:
        yield demo
