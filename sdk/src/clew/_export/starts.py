"""Start records: what tells a receiver of spans that are open, so that a step that hangs is seen while it hangs.

A start record is the span as it is so far, ending where it started, with `clew.pending`. It is made on the exporting
thread of spans that have been open for a while: a short span never costs one, and nothing happens where spans start.
"""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan

from clew import _semconv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.trace import Span

AGAIN_S = 60
"""A span that stays open is told of again so often, with the time as its end: its process lives."""
AWAY_S = 30
"""For so long nothing is told to a receiver that did not answer, unless it takes spans meanwhile."""

_NS = 1_000_000_000
_NEVER = 1 << 63
_TOLD: dict[str, frozenset[str]] = {
    _semconv.GEN_AI_OPERATION_NAME: frozenset({"invoke_agent", "invoke_workflow", "execute_tool"}),
    _semconv.CLEW_OP: frozenset({"step", "gate", "chain"}),
    "openinference.span.kind": frozenset({"AGENT", "CHAIN", "TOOL", "GUARDRAIL"}),
    "traceloop.span.kind": frozenset({"agent", "task", "tool", "workflow"}),
}
"""Attribute -> its values on spans of agents, steps, tools and gates."""


class StartRecords:
    """Remembers which open spans were told of, and when to tell of them again. For one thread."""

    def __init__(self, after_s: float, at_once: int) -> None:
        """Has told of none.

        Args:
            after_s: A span is told of when it has been open for so long.
            at_once: So many records are made at a time at most.
        """
        self._after_ns = round(after_s * _NS)
        self._at_once = at_once
        self._due: dict[int, int] = {}
        self._look_at = self._away_until = 0

    def due(self, open_spans: Mapping[int, Span], now: int | None = None) -> list[ReadableSpan]:
        """The records to send now; they count as told.

        Args:
            open_spans: By id of the span; other threads may change it.
            now: Unix nanoseconds.
        """
        now = time_ns() if now is None else now
        records: list[ReadableSpan] = []
        due: dict[int, int] = {}
        if now < max(self._look_at, self._away_until):
            return records
        self._look_at = now + self._after_ns
        for span_id, span in list(open_spans.items()):
            at = self._due.get(span_id)
            if at is None and (now - (span.start_time or now) < self._after_ns or len(records) == self._at_once):
                continue
            due[span_id] = at or _NEVER
            if (at <= now and len(records) < self._at_once) if at is not None else _is_told(span):
                records.append(_record(span, None if at is None else now))
                due[span_id] = now + AGAIN_S * _NS
        self._due = due
        return records

    def answered(self, taken: bool) -> None:
        """Whether the receiver took what it was sent last."""
        self._away_until = 0 if taken else time_ns() + AWAY_S * _NS

    def lost(self, records: Sequence[ReadableSpan]) -> None:
        """These did not arrive: their spans are told of anew."""
        for record in records:
            if record.context is not None:
                self._due.pop(record.context.span_id, None)


def _is_told(span: Span) -> bool:
    attributes = _attributes(span)
    return any(attributes.get(name) in values for name, values in _TOLD.items())


def _attributes(span: Span) -> dict[str, Any]:
    """A copy, made without the lock of the original: a fork in this moment would leave it locked in the child."""
    return span.attributes.copy() if span.attributes else {}  # type: ignore[attr-defined]


def _record(span: Span, end: int | None) -> ReadableSpan:
    start = span.start_time
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=BoundedAttributes(attributes={**_attributes(span), _semconv.CLEW_PENDING: True}),
        kind=span.kind,
        start_time=start,
        end_time=start if end is None else max(end, start or 0),
        instrumentation_scope=span.instrumentation_scope,
    )
