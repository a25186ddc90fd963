"""What clew wraps in frameworks never gets in their way; what it makes there is proven in `tests/frameworks`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from clew import _guard
from clew._instrument.catalogue import LIBRARIES
from clew._instrument.gaps import FILL, _wrap

if TYPE_CHECKING:
    import pytest

    from clew._spans.scope import Scope


class Framework:
    def run(self, task: str) -> str:
        return task.upper()

    async def stream(self, task: str):
        for word in task.split():
            yield word


def unknown_names(args: tuple[object, ...], kwargs: dict[str, object]) -> Scope:
    raise AttributeError("another version keeps it elsewhere")


def test_only_what_the_table_can_choose_has_its_gaps_filled():
    assert set(FILL) <= {package for library in LIBRARIES for package in library.packages}


def test_method_that_a_version_does_not_have_is_left_out():
    _wrap(Framework, "kickoff", unknown_names)
    assert not hasattr(Framework, "kickoff")


def test_framework_runs_on_where_clew_does_not_find_its_names(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_guard, "strict", False)

    class Changed(Framework):
        pass

    _wrap(Changed, "run", unknown_names)
    _wrap(Changed, "stream", unknown_names)

    async def words() -> list[str]:
        return [word async for word in Changed().stream("two words")]

    assert Changed().run("task") == "TASK"
    assert asyncio.run(words()) == ["two", "words"]
