from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clew import _content, _guard

if TYPE_CHECKING:
    from collections.abc import Iterator


class Recorded:
    """What has been recorded in this process, by a real provider."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def __iter__(self) -> Iterator[ReadableSpan]:
        return iter(self._exporter.get_finished_spans())

    def __len__(self) -> int:
        return len(self._exporter.get_finished_spans())

    def named(self, name: str) -> ReadableSpan:
        [span] = [span for span in self if span.name == name]
        return span

    def only(self) -> ReadableSpan:
        [span] = self
        return span

    def tree(self) -> dict[str, str | None]:
        """Name of each span -> name of its parent; names have to be distinct."""
        names = {span.context.span_id: span.name for span in self}
        assert len(set(names.values())) == len(names), sorted(names.values())
        return {span.name: names[span.parent.span_id] if span.parent else None for span in self}

    def traces(self) -> set[int]:
        return {span.context.trace_id for span in self}


@pytest.fixture(scope="session")
def _exporter() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):  # it can be set only once in a process
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def recorded(_exporter: InMemorySpanExporter) -> Recorded:
    _exporter.clear()
    return Recorded(_exporter)


@pytest.fixture(autouse=True)
def _own_failures_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guard, "strict", True)
    monkeypatch.setattr(_guard, "_reported", set())


@pytest.fixture(autouse=True)
def _content_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_content, "_mode", _content.Content.FULL)
