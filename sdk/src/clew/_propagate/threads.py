"""Threads and thread pools keep the run: what is started or submitted inside a span runs inside that span.

A thread has a context of its own, empty at first, so without this a tool run in a thread starts a trace of its own.
What is submitted to a pool keeps its span as long as it runs. A thread keeps it as long as the run goes on: threads
that a library starts once and keeps (workers, pollers) are as often as not started inside some run, and what they do
for other runs later must not become a part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.context import attach, detach, get_current
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Span, get_current_span, set_span_in_context

from clew import _guard
from clew._propagate import inherited
from clew._propagate.patches import patch
from clew._spans import scope as _scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor
    from threading import Thread

    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext

_MARK = "_clew_run"
_NOT_THEIRS = ("asyncio.", "clew.", "concurrent.futures.", "logging.", "multiprocessing.", "opentelemetry.", "queue.")
"""Modules whose threads serve everybody; what is submitted to pools is handed on with each call."""


def hook_threads() -> None:
    """Has `threading.Thread.start` hand the context on, timers included."""
    import threading

    patch(threading.Thread, "start", _start)


def hook_pools() -> None:
    """Has `ThreadPoolExecutor.submit` hand the caller's context to the worker; asyncio's `run_in_executor` uses it."""
    from concurrent.futures import ThreadPoolExecutor

    patch(ThreadPoolExecutor, "submit", _submit)


def in_context(function: Callable[..., Any], context: Context) -> Callable[..., Any]:
    """The function, called in a context."""

    def call(*args: Any, **kwargs: Any) -> Any:
        token = attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            detach(token)

    return call


def is_in_a_run(context: Context) -> bool:
    """Whether there is anything to hand on."""
    return get_current_span(context).get_span_context().is_valid or inherited.is_there(context)


def _submit(submit: Callable[..., Any]) -> Callable[..., Any]:
    def submit_in_context(self: Executor, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        context = get_current()
        if is_in_a_run(context) and not _pickles(self):
            function = in_context(function, context)
        return submit(self, function, *args, **kwargs)

    return submit_in_context


def _pickles(pool: Executor) -> bool:
    """Whether calls go to other interpreters (since Python 3.14), where a context cannot be taken along."""
    return any(kind.__name__ == "InterpreterPoolExecutor" for kind in type(pool).__mro__)


def _start(start: Callable[[Thread], None]) -> Callable[[Thread], None]:
    def start_in_context(self: Thread) -> None:
        try:
            _hand_on(self)
        except Exception as error:
            _guard.failed("handing a run on to a thread", error)
        try:
            start(self)
        except BaseException:  # there is none to be had, or it was started before
            _take_back(self)
            raise

    return start_in_context


def _hand_on(thread: Thread) -> None:
    outer = get_current()
    if not is_in_a_run(outer) or _serves_everybody(thread):
        return
    context = _while_the_run_lasts(outer)
    run = thread.run

    def run_in_context() -> None:
        _take_back(thread)
        attach(context)  # for good: nothing else runs in this thread's context
        run()

    setattr(run_in_context, _MARK, True)
    thread.__dict__["run"] = run_in_context


def _take_back(thread: Thread) -> None:
    """Removes our `run`, which refers to the thread: it is to be freed as ever."""
    if hasattr(thread.__dict__.get("run"), _MARK):
        del thread.__dict__["run"]


def _serves_everybody(thread: Thread) -> bool:
    target = getattr(thread, "_target", None)
    module = getattr(type(thread) if target is None else target, "__module__", None)
    return f"{module}.".startswith(_NOT_THEIRS)


def _while_the_run_lasts(context: Context) -> Context:
    span = get_current_span(context)
    span_context = span.get_span_context()
    if span_context.is_remote or not span_context.is_valid:  # it was handed to the whole process; there is no span
        return context
    scope = _scope.outermost(context)
    if scope is None:
        # Of a foreign span that is not sampled nobody knows when it ends; a thread could stay unsampled for ever.
        seen = _SeenFromAThread(span, lambda: not span.is_recording(), INVALID_SPAN_CONTEXT)
    else:
        after = get_current_span(scope.outer).get_span_context()
        seen = _SeenFromAThread(span, lambda: scope.closed, after)
    return set_span_in_context(seen, context)


class _SeenFromAThread(Span):
    """A span that is current in another thread: no longer the parent of anything once its run is over."""

    def __init__(self, span: Span, is_over: Callable[[], bool], after: SpanContext) -> None:
        self.behind = span
        self._is_over = is_over
        self._after = after

    def elsewhere(self, context: Context) -> Context:
        """A context further out, as the thread sees it."""
        span = get_current_span(context)
        if span.get_span_context() == self._after:
            return context
        return set_span_in_context(_SeenFromAThread(span, self._is_over, self._after), context)

    def get_span_context(self) -> SpanContext:
        return self._after if self._is_over() else self.behind.get_span_context()

    def is_recording(self) -> bool:
        return not self._is_over() and self.behind.is_recording()

    def end(self, end_time: int | None = None) -> None:
        self.behind.end(end_time)

    def set_attribute(self, key: str, value: Any) -> None:
        self.behind.set_attribute(key, value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self.behind.set_attributes(attributes)

    def add_event(self, *args: Any, **kwargs: Any) -> None:
        self.behind.add_event(*args, **kwargs)

    def add_link(self, *args: Any, **kwargs: Any) -> None:
        self.behind.add_link(*args, **kwargs)

    def update_name(self, name: str) -> None:
        self.behind.update_name(name)

    def set_status(self, *args: Any, **kwargs: Any) -> None:
        self.behind.set_status(*args, **kwargs)

    def record_exception(self, *args: Any, **kwargs: Any) -> None:
        self.behind.record_exception(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)  # what only the SDK's spans have, and what clew keeps on them
