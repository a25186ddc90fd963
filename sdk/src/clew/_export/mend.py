"""What instrumentations say of a span's end that is not so, put right before the span leaves the process."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Status

from clew import _semconv

_ABANDONED = ("_OTHER", "abandoned stream")
"""Error type and description that the official GenAI packages (1.3b0) give a stream which its consumer let go of."""


def mended(span: ReadableSpan) -> ReadableSpan:
    """The span; a model's stream that its consumer left early is a cancelled call and no error.

    Args:
        span: An ended span; it is not changed.
    """
    attributes = span.attributes or {}
    if (attributes.get(_semconv.ERROR_TYPE), span.status.description) != _ABANDONED:
        return span
    kept = {name: value for name, value in attributes.items() if name != _semconv.ERROR_TYPE}
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={**kept, _semconv.CLEW_STATUS: "cancelled"},
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=Status(),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
