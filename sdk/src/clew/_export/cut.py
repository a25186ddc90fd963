"""A span that no request can hold is cut until one can; the last resort, for texts that no other limit caught."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Status

from clew import _semconv
from clew._content.truncate import cut_text
from clew._export.size import wire, wire_value

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHORTEST = 256
"""Characters below which no value is cut: a span that is too large even so has too many of them."""


def cut(span: ReadableSpan, limit: int) -> ReadableSpan | None:
    """The span with its longest texts cut, marked `clew.content.truncated`; None where it stays over the limit.

    Args:
        span: An ended span.
        limit: Bytes it may take in a request.
    """
    longest = limit
    while longest >= _SHORTEST:
        shorter = _shortened(span, longest)
        if wire(shorter) <= limit:
            return shorter
        longest //= 2
    return None


def _shortened(span: ReadableSpan, longest: int) -> ReadableSpan:
    status = span.status
    return ReadableSpan(
        name=span.name[:longest],
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={**_values(span.attributes, longest), _semconv.CLEW_CONTENT_TRUNCATED: True},
        events=[Event(event.name, _values(event.attributes, longest), event.timestamp) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(status.status_code, status.description and status.description[:longest]),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _values(attributes: Mapping[str, Any] | None, longest: int) -> dict[str, Any]:
    """The attributes with texts cut; what is long and no text is left out."""
    kept: dict[str, Any] = {}
    for name, value in (attributes or {}).items():
        if wire_value(value) <= longest:
            kept[name] = value
        elif isinstance(value, str):
            kept[name] = cut_text(value, longest)
    return kept
