"""Whose a span is: a GenAI span that does not say takes agent, conversation, user and budget from where it starts.

A model call is exported before the agent invocation around it has ended, often in an earlier request, so nobody
downstream could tell in time whose call it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.context import get_current
from opentelemetry.trace import INVALID_SPAN, get_current_span

from clew import _inherited, _semconv
from clew._relevance import is_agents_scope

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span
    from opentelemetry.util.types import AttributeValue

    from clew._inherited import Inherited, Values

_FIELD = "_clew_lineage"
_GENAI = ("gen_ai.", "clew.", "mcp.")


class _Lineage(NamedTuple):
    values: Values
    seen: Inherited | None
    """What the context handed on when the span started: it is in the values, where the span did not know better."""


_NONE = _Lineage({}, None)
_SAYS = frozenset(_inherited.FROM_SPANS)


def inherit(span: Span, parent_context: Context | None) -> None:
    """Gives a span that starts what it inherits, and keeps it for the spans that start under this one.

    Spans that are not about GenAI (HTTP calls, database queries) only pass it on.
    """
    own: Values = span.attributes.copy()  # type: ignore[union-attr]  # asking it name by name takes ten times as long
    context = get_current() if parent_context is None else parent_context
    parent = get_current_span(context)
    if parent is INVALID_SPAN and not _inherited.is_there(context) and _SAYS.isdisjoint(own):
        return
    lineage, seen = _at(context, span.get_span_context().trace_id)
    if own:
        agent = own.get(_semconv.GEN_AI_AGENT_NAME)
        if agent is not None and agent != lineage.get(_semconv.GEN_AI_AGENT_NAME):
            lineage.pop(_semconv.GEN_AI_AGENT_VERSION, None)  # it is another agent's
        for name in _inherited.FROM_SPANS:
            if name in own:
                lineage[name] = own[name]
    if _semconv.GEN_AI_AGENT_NAME not in lineage and (named := _named_later(parent)):
        lineage[_semconv.GEN_AI_AGENT_NAME] = named
    if not lineage:
        return
    setattr(span, _FIELD, _Lineage(lineage, seen))
    if any(name.startswith(_GENAI) for name in own) or (not own and _is_agents(span)):
        missing = {name: value for name, value in lineage.items() if name not in own}
        if missing:
            span.set_attributes(missing)


def _is_agents(span: Span) -> bool:
    """Whether a span that says nothing yet is by an instrumentation of agents."""
    scope = span.instrumentation_scope
    return scope is not None and is_agents_scope(scope.name)


def _named_later(parent: object) -> AttributeValue | None:
    """The agent that a span names now and did not when it started, as some frameworks do."""
    return (getattr(parent, "attributes", None) or {}).get(_semconv.GEN_AI_AGENT_NAME)


def at(context: Context) -> Values:
    """What a span started in this context would inherit."""
    return _at(context, get_current_span(context).get_span_context().trace_id)[0]


def _at(context: Context, trace_id: int) -> _Lineage:
    parent: _Lineage = getattr(get_current_span(context), _FIELD, _NONE)
    handed_on = _inherited.of(context)
    if handed_on is None or handed_on is parent.seen or handed_on.trace_id not in (0, trace_id):
        return _Lineage(dict(parent.values), parent.seen)
    return _Lineage(parent.values | handed_on.values, handed_on)
