from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clew import _content, _guard
from clew.testing import Recording, record

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def recorded() -> Iterator[Recording]:
    """What the fixture clew_spans is, whether the plugin of this checkout is installed yet or not."""
    with record() as spans:
        yield spans


@pytest.fixture(autouse=True)
def _own_failures_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guard, "strict", True)
    monkeypatch.setattr(_guard, "_reported", set())


@pytest.fixture(autouse=True)
def _content_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_content, "_rules", _content.ContentRules.all(_content.Content.FULL))
