"""`clew.outcome`: what came of the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from opentelemetry.trace import get_current_span

from clew import _content, _guard, _semconv
from clew._spans import scope as _scope
from clew._words import known

if TYPE_CHECKING:
    from collections.abc import Sequence

_STATUSES = frozenset(get_args(_semconv.OutcomeStatus))
_SOURCES = frozenset(get_args(_semconv.OutcomeSource))


def outcome(
    status: _semconv.OutcomeStatus,
    *,
    score: float | None = None,
    expected: str | None = None,
    actual: str | None = None,
    complexity: str | None = None,
    labels: Sequence[str] | None = None,
    source: _semconv.OutcomeSource = "agent",
) -> None:
    """Records what came of the task on the enclosing agent's span; outside of any agent, on the current span.

    A process can end well while its task failed: this is about the task. A later call replaces what it names again.

    Args:
        status: Something else than the known words is recorded as `unknown`, with a warning.
        score: How well it was done, from 0 to 1.
        expected: What was expected.
        actual: What came.
        complexity: simple, medium, complex, or a label of your own.
        labels: Failure classes and tags of your own.
        source: Who says so.
    """
    try:
        scope = _scope.current()
        span = get_current_span() if scope is None or scope.run is None else scope.run.span
        if not span.is_recording():
            return
        attributes = {
            _semconv.CLEW_OUTCOME_STATUS: known("clew.outcome status", status, _STATUSES, otherwise="unknown"),
            _semconv.CLEW_OUTCOME_SOURCE: known("clew.outcome source", source, _SOURCES, otherwise="agent"),
            _semconv.CLEW_OUTCOME_SCORE: None if score is None else float(score),
            _semconv.CLEW_OUTCOME_COMPLEXITY: complexity,
            _semconv.CLEW_OUTCOME_LABELS: labels,
        }
        if _content.is_recorded(_content.ContentClass.NOTES):
            attributes |= {_semconv.CLEW_OUTCOME_EXPECTED: expected, _semconv.CLEW_OUTCOME_ACTUAL: actual}
        span.set_attributes({name: value for name, value in attributes.items() if value is not None})
    except Exception as error:
        _guard.failed("recording an outcome", error)
