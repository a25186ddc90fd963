"""Whose a span is: a GenAI span that does not say takes agent, conversation, user and budget from where it starts.

A model call is exported before the agent invocation around it has ended, often in an earlier request, so nobody
downstream could tell in time whose call it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.context import get_current
from opentelemetry.trace import INVALID_SPAN, get_current_span

from clew import _semconv
from clew._export.relevance import is_agents_scope
from clew._export.size import attributes_of
from clew._propagate import inherited

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span
    from opentelemetry.util.types import AttributeValue

    from clew._propagate.inherited import Inherited, Values

_FIELD = "_clew_lineage"
_GENAI = ("gen_ai.", "clew.", "mcp.")


class _Lineage(NamedTuple):
    values: Values
    """Never changed: spans of one agent share them."""
    seen: Inherited | None
    """What the context handed on when the span started: it is in the values, where the span did not know better."""


_NONE = _Lineage({}, None)
_SAYS = frozenset(inherited.FROM_SPANS)


def inherit(span: Span, parent_context: Context | None) -> None:
    """Gives a span that starts what it inherits, and keeps it for the spans that start under this one.

    Spans that are not about GenAI (HTTP calls, database queries) only pass it on.
    """
    own = attributes_of(span)
    context = get_current() if parent_context is None else parent_context
    parent = get_current_span(context)
    if parent is INVALID_SPAN and not inherited.is_there(context) and _SAYS.isdisjoint(own):
        return
    lineage = _at(context, span.get_span_context().trace_id)
    values = lineage.values
    new = {name: own[name] for name in inherited.FROM_SPANS if name in own and own[name] != values.get(name)}
    if _semconv.GEN_AI_AGENT_NAME in new:
        if _semconv.GEN_AI_AGENT_VERSION not in new and _semconv.GEN_AI_AGENT_VERSION in values:
            values = {name: value for name, value in values.items() if name != _semconv.GEN_AI_AGENT_VERSION}
    elif _semconv.GEN_AI_AGENT_NAME not in values and (named := _named_later(parent)):
        new[_semconv.GEN_AI_AGENT_NAME] = named
    if new:
        values = values | new
        lineage = _Lineage(values, lineage.seen)
    elif not values:
        return
    setattr(span, _FIELD, lineage)
    if _is_genai(own) or (not own and _is_agents(span)):
        for name in [name for name in values if name not in own]:
            span.set_attribute(name, values[name])


def _is_genai(attributes: Mapping[str, object]) -> bool:
    for name in attributes:  # noqa: SIM110  # a generator would cost more than the rest
        if name.startswith(_GENAI):
            return True
    return False


def _is_agents(span: Span) -> bool:
    """Whether a span that says nothing yet is by an instrumentation of agents."""
    scope = span.instrumentation_scope
    return scope is not None and is_agents_scope(scope.name)


def _named_later(parent: object) -> AttributeValue | None:
    """The agent that a span names now and did not when it started, as some frameworks do."""
    return (getattr(parent, "attributes", None) or {}).get(_semconv.GEN_AI_AGENT_NAME)


def at(context: Context) -> Values:
    """What a span started in this context would inherit."""
    return dict(_at(context, get_current_span(context).get_span_context().trace_id).values)


def _at(context: Context, trace_id: int) -> _Lineage:
    parent: _Lineage = getattr(get_current_span(context), _FIELD, _NONE)
    handed_on = inherited.of(context)
    if handed_on is None or handed_on is parent.seen or handed_on.trace_id not in (0, trace_id):
        return parent
    return _Lineage(parent.values | handed_on.values, handed_on)
