"""A span around a piece of the user's code, and how it becomes, and stops being, the current one.

Two things differ from the usual attach and detach. Leaving a scope puts the former context back by setting it, never
by a token: a token may only be used where it was made, and a generator can be closed in another task, thread or
context. And a scope that was closed while it could not be taken off the context (because something else stood on
it, or because it was closed elsewhere) is stepped over by whatever starts later.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from opentelemetry.context import Context, attach, create_key, get_current
from opentelemetry.trace import INVALID_SPAN, StatusCode, get_current_span, get_tracer, set_span_in_context

from clew import _guard, _semconv
from clew._version import __version__

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from opentelemetry.trace import Span
    from opentelemetry.util.types import Attributes, AttributeValue

    from clew._spans.run import Run

_SCOPE = create_key("clew.scope")
_tracer = get_tracer("clew", __version__)  # a proxy until a provider is configured


class Scope:
    """Context manager: a span that is current while it is open. Not reusable.

    A failure of clew inside it is logged, never raised; exceptions of the code inside pass through.
    """

    __slots__ = ("_inner", "_name", "closed", "outer", "run", "span")

    doing: ClassVar[str] = "recording a span"

    def __init__(self, name: str = "") -> None:
        self._name = name
        """May be set by `attributes` as well, where a name has to be made of what the programme gave."""
        self.closed = False
        self.outer: Context | None = None
        self._inner: Context | None = None
        self.span: Span = INVALID_SPAN
        self.run: Run | None = None
        """The agent invocation this scope belongs to, None outside of any."""

    def attributes(self) -> Attributes:
        """The attributes the span starts with; `run` is known by then. May raise: there is no span then."""
        return None

    def returned(self, result: Any) -> None:
        """Takes what the function inside returned; a scope that has no use for it ignores it."""

    def finish(self) -> dict[str, AttributeValue]:
        """The attributes that are only known at the end."""
        return {}

    def __enter__(self) -> Self:
        try:
            self._open()
        except Exception as error:
            _guard.failed(self.doing, error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._close(error)
        except Exception as failure:
            _guard.failed(self.doing, failure)

    def _open(self) -> None:
        outer = _live(get_current())
        enclosing: Scope | None = outer.get(_SCOPE)  # type: ignore[assignment]
        if enclosing is not None:
            self.run = enclosing.run
        attributes = self.attributes()
        self.span = _tracer.start_span(
            self._name, outer, attributes=attributes, record_exception=False, set_status_on_exception=False
        )
        self.outer = outer
        self._inner = Context({**set_span_in_context(self.span, outer), _SCOPE: self})
        attach(self._inner)

    def _close(self, error: BaseException | None) -> None:
        if self.closed or self.outer is None:
            return
        self.closed = True
        if get_current() is self._inner:
            attach(_live(self.outer))
        span = self.span
        if not span.is_recording():
            return
        try:
            ending = self.finish()
            if error is not None:
                _record_error(span, ending, error)
            elif not ending:
                span.set_attribute(_semconv.CLEW_STATUS, "ok")  # half the price of a mapping with one attribute
            else:
                ending[_semconv.CLEW_STATUS] = "ok"
            if ending:
                span.set_attributes(ending)
        finally:
            span.end()

    def set(self, name: str, value: AttributeValue | None) -> None:
        """Sets an attribute of the span, unless the value is None or the span is over."""
        try:
            if value is not None and self.span.is_recording():
                self.span.set_attribute(name, value)
        except Exception as error:  # a value of the agent's may be anything
            _guard.failed(self.doing, error)


def current() -> Scope | None:
    """The innermost open scope around the code that runs, if there is one."""
    return _live(get_current()).get(_SCOPE)  # type: ignore[return-value]


def outermost(context: Context) -> Scope | None:
    """The outermost open scope around a context."""
    found: Scope | None = None
    scope: Scope | None = _live(context).get(_SCOPE)  # type: ignore[assignment]
    while scope is not None:
        found = scope
        scope = None if scope.outer is None else _live(scope.outer).get(_SCOPE)  # type: ignore[assignment]
    return found


def outside(context: Context) -> Context:
    """The context, outside of any scope."""
    return Context({**context, _SCOPE: None}) if context.get(_SCOPE) is not None else context


def _live(context: Context) -> Context:
    """The context, or the nearest one outside of it whose scope is still open."""
    scope: Scope | None = context.get(_SCOPE)  # type: ignore[assignment]
    while scope is not None and scope.closed:
        current = get_current_span(context)
        if current is scope.span:
            context = scope.outer  # type: ignore[assignment]
        elif getattr(current, "behind", None) is scope.span:  # as a thread that was started inside of it sees it
            context = current.elsewhere(scope.outer)  # type: ignore[attr-defined]
        else:
            break
        scope = context.get(_SCOPE)  # type: ignore[assignment]
    return context


def _record_error(span: Span, ending: dict[str, AttributeValue], error: BaseException) -> None:
    if _is_cancellation(error):
        ending[_semconv.CLEW_STATUS] = "cancelled"
    elif not isinstance(error, Exception):  # KeyboardInterrupt, SystemExit: the process is being stopped
        ending[_semconv.CLEW_STATUS] = "interrupted"
    else:
        kind = type(error)
        # The same spelling as the exception event's `exception.type`.
        qualified = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        ending[_semconv.ERROR_TYPE] = qualified
        ending[_semconv.CLEW_STATUS] = "error"
        try:
            span.set_status(StatusCode.ERROR, f"{kind.__qualname__}: {error}")
            span.record_exception(error)
        except Exception:  # its __str__ may do anything
            span.set_status(StatusCode.ERROR, kind.__qualname__)


def _is_cancellation(error: BaseException) -> bool:
    if isinstance(error, GeneratorExit):
        return True
    # A cancellation of asyncio can only have come from an asyncio that is imported; clew need not import it.
    asyncio = sys.modules.get("asyncio.exceptions")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)
