"""How large a span is: in memory while it waits, and in a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

MAX_REQUEST_BYTES = 3_000_000
"""Size of one request at most, a single larger span aside: gRPC servers refuse requests over 4 MiB by default."""

_SPAN_MEMORY = 3_000
"""Bytes of a span without its texts: its objects, as `tracemalloc` counts them for one with ten attributes, rounded."""
_SPAN_WIRE = 150
"""Bytes of a span's fixed fields in OTLP, rounded up."""
_ITEM_WIRE = 24
"""Bytes around an attribute, an element or an event in OTLP (tags, lengths, a number), rounded up."""
_DEEPEST = 20
"""Nesting that is followed; OTLP's own readers stop at about a hundred."""


def memory(span: ReadableSpan) -> int:
    """About how many bytes of memory a waiting span holds. Cheap: it is asked in the agent's thread."""
    size = _SPAN_MEMORY
    for value in attributes_of(span).values():
        kind = type(value)
        if kind is str or kind is bytes:
            size += value.__sizeof__()
        elif kind is tuple or kind is dict:
            size += wire_value(value)
    events = getattr(span, "_events", None)
    if events:
        for event in span.events:
            size += wire_value(event.attributes or {})
    return size


def wire(span: ReadableSpan) -> int:
    """How many bytes the span takes in a request at most, near enough to cut requests by."""
    size = _SPAN_WIRE + _text(span.name) + wire_value(span.attributes or {}) + _text(span.status.description or "")
    for event in span.events:
        size += _ITEM_WIRE + _text(event.name) + wire_value(event.attributes or {})
    for link in span.links:
        size += 2 * _ITEM_WIRE + wire_value(link.attributes or {})
    return size


def wire_value(value: Any, depth: int = 0) -> int:
    """The same for one attribute value, or for attributes."""
    if isinstance(value, str):
        return _ITEM_WIRE + _text(value)
    if isinstance(value, bytes):
        return _ITEM_WIRE + len(value)
    if depth == _DEEPEST:
        return _ITEM_WIRE
    if isinstance(value, Mapping):
        return _ITEM_WIRE + sum(
            _text(name) + wire_value(item, depth + 1) if isinstance(name, str) else _ITEM_WIRE
            for name, item in value.items()
        )
    if isinstance(value, Sequence):
        return _ITEM_WIRE + sum(wire_value(item, depth + 1) for item in value)
    return _ITEM_WIRE


def batches(spans: list[ReadableSpan]) -> Iterator[list[ReadableSpan]]:
    """The spans in order, cut where a request would get too large."""
    batch: list[ReadableSpan] = []
    size = 0
    for span in spans:
        span_size = wire(span)
        if batch and size + span_size > MAX_REQUEST_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(span)
        size += span_size
    if batch:
        yield batch


def attributes_of(span: Any) -> Mapping[str, Any]:
    """A span's attributes for reading, without the view and the copies that `span.attributes` makes of them.

    Where the SDK keeps them otherwise than today, it is `span.attributes`.
    """
    own = getattr(span, "_attributes", None)
    plain = getattr(own, "_dict", None)
    return plain if type(plain) is dict else span.attributes or {}


def _text(text: object) -> int:
    if not isinstance(text, str):  # a name may be anything; whoever writes the span finds out
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
