"""Which spans of a provider that is not clew's own are an agent's: its own, all below them, and the path above them.

A web server's provider records every request and query. Of a request that runs an agent clew wants the agent's spans,
the HTTP calls and queries under them, and the request itself, or the tree would have no root; of all other requests
nothing. Nothing is held back for that: what is below is known when it starts, and what is above ends later.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from opentelemetry import baggage

from clew._export.size import attributes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

_MARK = "_clew_relevance"
_INSIDE = "inside"
"""An agent's span, or below one: passed on to what starts under it."""
_ABOVE = "above"
"""On the path from the root to an agent's span."""
_ATTRIBUTES = ("gen_ai.", "clew.", "openinference.", "llm.", "traceloop.", "mcp.", "langfuse.", "agent.")
_SCOPES = re.compile(
    r"agent|anthropic|autogen|bedrock|clew|cohere|crewai|dspy|gen_?ai|google_adk|groq|haystack|langchain|langgraph"
    r"|litellm|llama_?index|mcp|mistral|ollama|openai|openinference|openlit|pydantic.ai|semantic_kernel|strands"
    r"|traceloop|vertexai"
)
"""In the names of instrumentations that say only at the end of a span what it is."""


class Relevance:
    """Marks spans as they start; asked about each that ends."""

    def started(self, span: Span, parent_context: Context | None, open_spans: Mapping[int, Span]) -> None:
        """Takes note of a span that starts.

        Args:
            span: The span.
            parent_context: What it was started in.
            open_spans: The spans that are open, by id, this one's parent among them.
        """
        above = _parent(span, open_spans)
        if above is not None and getattr(above, _MARK, None) is _INSIDE:
            setattr(span, _MARK, _INSIDE)
        elif _is_agents(span) or _is_of_remote_run(span, parent_context):
            setattr(span, _MARK, _INSIDE)
            _mark_above(span, open_spans)

    def wants(self, span: ReadableSpan, opened: Span | None, open_spans: Mapping[int, Span]) -> bool:
        """Whether clew takes a span that ended.

        Args:
            span: The span as it ended.
            opened: The same as it started; None where that was not seen, or forgotten: it is taken then.
            open_spans: The spans that are open.
        """
        if opened is None or getattr(opened, _MARK, None) is not None:
            return True
        if not _is_agents(span):
            return False
        _mark_above(span, open_spans)
        return True


def _mark_above(span: ReadableSpan, open_spans: Mapping[int, Span]) -> None:
    above = _parent(span, open_spans)
    while above is not None and getattr(above, _MARK, None) is None:
        setattr(above, _MARK, _ABOVE)
        above = _parent(above, open_spans)


def _parent(span: ReadableSpan, open_spans: Mapping[int, Span]) -> Span | None:
    return None if span.parent is None else open_spans.get(span.parent.span_id)


def _is_agents(span: ReadableSpan) -> bool:
    scope = span.instrumentation_scope
    if scope is not None and is_agents_scope(scope.name):
        return True
    return any(name.startswith(_ATTRIBUTES) for name in attributes_of(span))


@lru_cache(maxsize=1024)
def is_agents_scope(name: str) -> bool:
    """Whether an instrumentation's name says that its spans are an agent's."""
    return _SCOPES.search(name.lower()) is not None


def _is_of_remote_run(span: ReadableSpan, parent_context: Context | None) -> bool:
    """Whether another process sent its run along: this one then works for it."""
    if span.parent is None or not span.parent.is_remote:
        return False
    return any(name.startswith(("gen_ai.", "clew.")) for name in baggage.get_all(parent_context))
