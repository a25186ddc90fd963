"""Looking at recorded spans where a tree written out would be too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.trace import ReadableSpan


def parents(spans: Iterable[ReadableSpan]) -> dict[str, str | None]:
    """Name of each span -> name of its parent, None for a root; names have to be distinct."""
    spans = list(spans)
    names = {span.context.span_id: span.name for span in spans}
    assert len(set(names.values())) == len(names), sorted(names.values())
    return {span.name: names[span.parent.span_id] if span.parent else None for span in spans}
