"""Thread pools keep the trace: what is submitted inside a span runs inside that span.

A worker thread has a context of its own, so without this a tool run in a pool starts a trace of its own. Only
`ThreadPoolExecutor.submit` is changed (asyncio's `run_in_executor` uses it): threads that a programme starts itself
are as often background work that belongs to no run.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import TYPE_CHECKING, Any

from opentelemetry.context import attach, detach, get_current
from opentelemetry.trace import get_current_span

if TYPE_CHECKING:
    from collections.abc import Callable

_MARK = "_clew_keeps_the_trace"


def keep_trace_in_pools() -> None:
    """Changes `ThreadPoolExecutor.submit` to hand the caller's context to the worker; once per process."""
    submit: Callable[..., Any] = ThreadPoolExecutor.submit
    if hasattr(submit, _MARK):
        return

    @wraps(submit)
    def submit_in_context(self: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if not get_current_span().get_span_context().is_valid:
            return submit(self, function, *args, **kwargs)
        context = get_current()

        def in_context(*args: Any, **kwargs: Any) -> Any:
            token = attach(context)
            try:
                return function(*args, **kwargs)
            finally:
                detach(token)

        return submit(self, in_context, *args, **kwargs)

    setattr(submit_in_context, _MARK, True)
    setattr(ThreadPoolExecutor, "submit", submit_in_context)  # noqa: B010  # an assignment would ask for its type
