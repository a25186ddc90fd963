"""The pytest plugin: the fixture `clew_spans`, the marker `clew`, and the recorded tree below a failed test.

It stands beside the package, not in it, so that a pytest that uses none of it imports neither clew nor OpenTelemetry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from clew.testing import Recording

_FIXTURE = "clew_spans"


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line(
        "markers", "clew(content='full'): what the fixture clew_spans records of content, as in clew.init"
    )


@pytest.fixture
def clew_spans(request: pytest.FixtureRequest) -> Iterator[Recording]:
    """The spans recorded during the test: a `clew.testing.Recording`."""
    from clew.testing import record

    marker = request.node.get_closest_marker("clew")
    with record(*marker.args, **marker.kwargs) if marker is not None else record() as spans:
        yield spans


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows what a failed test had recorded."""
    report = yield
    if report.failed:
        spans = getattr(item, "funcargs", {}).get(_FIXTURE)
        if spans is not None:
            report.sections.append(("clew spans", spans.tree() or "(none)"))
    return report
