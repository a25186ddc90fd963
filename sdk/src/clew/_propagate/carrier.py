"""Handing a run on, and being handed one: W3C trace context and baggage, in headers, messages or an environment.

What `_inherited` holds (user and conversation among it) leaves a process only through `outgoing`, which is called where
the receiver is the programme's own: its child processes, and hosts it may go to. Other instrumentations write trace
context and OpenTelemetry's baggage into every request; they do so through the global propagator, and the one here
takes our names out of what comes in, and adds them to what goes out only inside of `to_own`.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, get_current, set_value
from opentelemetry.propagators.textmap import TextMapPropagator, default_getter, default_setter
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from clew import _guard
from clew._propagate import inherited, lineage
from clew._propagate.inherited import Inherited

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.propagators.textmap import Getter, Setter

LONGEST = 8192
"""Characters of one header at most, and of all baggage by W3C Baggage, section 3.3.2."""
_LONGEST_ENTRY = 4096
_MOST_ENTRIES = 180
_ENTRY = re.compile(r"[!#$%&'*+\-.^_`|~\w]+[ \t]*=[ \t]*[!#-+\--:<-\[\]-~]*", re.ASCII)
"""A list member by W3C Baggage, section 3.3.1, without properties."""
_trace = TraceContextTextMapPropagator()
_baggage = W3CBaggagePropagator()
_own_receiver: ContextVar[bool] = ContextVar("clew.own_receiver", default=False)


def outgoing(context: Context | None = None) -> dict[str, str]:
    """`traceparent`, `tracestate` and `baggage` of a context, by default the current one; empty outside of any run."""
    context = get_current() if context is None else context
    carrier: dict[str, str] = {}
    _trace.inject(carrier, context)
    _baggage.inject(carrier, _revealed(context))
    return carrier


def incoming(carrier: Mapping[str, object], context: Context | None = None) -> Context:
    """A context with what was handed on, or unchanged where that is nothing; what is malformed or too long is nothing.

    Args:
        carrier: The headers by their lower-case names.
        context: What it is added to; the current one by default.
    """
    context = get_current() if context is None else context
    taken = {name: text for name in _trace.fields | _baggage.fields if (text := _header(carrier.get(name)))}
    if "baggage" in taken:
        entries = [entry.partition(";")[0].strip() for entry in taken["baggage"].split(",")]
        # The propagator would log every other one.
        good = [entry for entry in entries if len(entry) <= _LONGEST_ENTRY and _ENTRY.fullmatch(entry)]
        taken["baggage"] = ",".join(good[:_MOST_ENTRIES])
    try:
        return _settled(_baggage.extract(taken, _trace.extract(taken, context)))
    except Exception as error:
        _guard.failed("joining the run that was handed over", error)
        return context


@contextmanager
def to_own() -> Iterator[None]:
    """Inside it, what other instrumentations send goes to a receiver of the programme's own."""
    before = _own_receiver.get()
    _own_receiver.set(True)
    try:
        yield
    finally:
        _own_receiver.set(before)


class Propagator(TextMapPropagator):
    """The global propagator there was, with clew's names kept apart from what it writes and reads."""

    def __init__(self, inner: TextMapPropagator) -> None:
        self.inner = inner

    def extract(self, carrier: Any, context: Context | None = None, getter: Getter[Any] = default_getter) -> Context:
        """What the other one extracts, clew's names taken out of the baggage."""
        return _settled(self.inner.extract(carrier, context, getter))

    def inject(self, carrier: Any, context: Context | None = None, setter: Setter[Any] = default_setter) -> None:
        """Has the other one inject, with clew's names where the receiver is the programme's own."""
        if _own_receiver.get():
            context = _revealed(get_current() if context is None else context)
        self.inner.inject(carrier, context, setter)

    @property
    def fields(self) -> set[str]:
        """The other one's."""
        return self.inner.fields


def install_propagator() -> None:
    """Puts ours around the global propagator; once."""
    try:
        from opentelemetry import propagate  # raises where OTEL_PROPAGATORS names one that is not installed

        current = propagate.get_global_textmap()
        if not isinstance(current, Propagator):
            propagate.set_global_textmap(Propagator(current))
    except Exception as error:
        _guard.failed("looking at the propagator that OTEL_PROPAGATORS names", error)


def _header(value: object) -> str:
    return value.strip() if isinstance(value, str) and len(value) <= LONGEST and value.isascii() else ""


def _revealed(context: Context) -> Context:
    """The context with what it hands on among OpenTelemetry's baggage."""
    for name, value in lineage.at(context).items():
        if name in inherited.NAMES and inherited.checked({name: value}, ours=False):
            context = baggage.set_baggage(name, str(value), context)
    return context


def _settled(context: Context) -> Context:
    """The context with our names taken out of OpenTelemetry's baggage, and kept for the trace they came with."""
    entries = baggage.get_all(context)
    ours = [name for name in inherited.NAMES if name in entries]
    if not ours:
        return context
    for name in ours:
        context = baggage.remove_baggage(name, context)
    values = inherited.checked(entries, ours=False)
    trace_id = get_current_span(context).get_span_context().trace_id
    return set_value(inherited.KEY, Inherited(values, trace_id), context)
