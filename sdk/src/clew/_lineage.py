"""Which agent a span belongs to: a GenAI span that names none takes its agent from the span it starts under.

A model call is exported before the agent invocation around it has ended, often in an earlier request, so nobody
downstream could tell in time whose call it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import get_current_span

from clew import _semconv

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span

_INHERITED = (_semconv.GEN_AI_AGENT_NAME, _semconv.GEN_AI_AGENT_VERSION, _semconv.GEN_AI_CONVERSATION_ID)
_FIELD = "_clew_lineage"


def inherit(span: Span, parent_context: Context | None) -> None:
    """Gives a span that starts what it inherits, and keeps it for the spans that start under this one.

    Spans that are not about GenAI (HTTP calls, database queries) only pass it on.
    """
    lineage = dict(getattr(get_current_span(parent_context), _FIELD, ()))
    own = span.attributes or {}
    if own.get(_semconv.GEN_AI_AGENT_NAME, lineage.get(_semconv.GEN_AI_AGENT_NAME)) != lineage.get(
        _semconv.GEN_AI_AGENT_NAME
    ):
        lineage.pop(_semconv.GEN_AI_AGENT_VERSION, None)  # it is another agent's
    lineage |= {name: own[name] for name in _INHERITED if name in own}
    if not lineage:
        return
    setattr(span, _FIELD, lineage)
    if any(name.startswith(("gen_ai.", "clew.")) for name in own):
        for name, value in lineage.items():
            if name not in own:
                span.set_attribute(name, value)
