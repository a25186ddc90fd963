"""`clew.testing.record`: everything that is different while a recording goes on."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import opentelemetry.sdk.trace
from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import get_current_span

from clew import _content, _settings
from clew._propagate import hooks
from clew._spans import gate
from clew.errors import ClewError
from clew.testing._clock import Clock
from clew.testing._recording import Recording
from clew.testing._tap import Tap, tapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew._settings import ContentSetting

_one_at_a_time = threading.Lock()


@contextmanager
def record(content: ContentSetting = "full") -> Iterator[Recording]:
    """Records the spans that start inside it, in all threads and tasks of this process; sends none of them.

    Span and trace ids count from 1, the clock stands still until the recording's `clock.advance`. A tracer provider
    that is configured keeps its other destinations; where none is configured, one is there for the time of the
    recording. Model calls are recorded where their library is instrumented: `import clew.auto` before it.

    Args:
        content: What is recorded of content, as in `clew.init`. What the recording holds is what would leave the
            process: redacted, and without what this setting leaves out.

    Yields:
        The recording. It can be read inside and after the block.

    Raises:
        SettingError: `content` is not allowed.
        ClewError: A recording goes on already, or the tracer provider configured here is not OpenTelemetry's SDK.
    """
    rules = _settings.content_rules("content", content)
    if not _one_at_a_time.acquire(blocking=False):
        raise ClewError("A recording goes on in this process already; use that one. The fixture clew_spans is one too.")
    try:
        clock, tap = Clock(), Tap()
        with ExitStack() as stack:
            stack.enter_context(_attribute(opentelemetry.sdk.trace, "time_ns", clock.time_ns))
            stack.enter_context(_attribute(gate, "monotonic", clock.monotonic))
            stack.enter_context(_attribute(_content, "_rules", rules))
            stack.enter_context(_variable(_settings.CAPTURE_CONTENT, rules.captured()))
            stack.enter_context(hooks.installed())
            stack.enter_context(_outside_of_any_run())
            stack.enter_context(tapped(tap))
            yield Recording(tap, clock, rules)
    finally:
        _one_at_a_time.release()


@contextmanager
def _outside_of_any_run() -> Iterator[None]:
    """Keeps the run this process may have been started in (TRACEPARENT) out of the recording."""
    before = get_current()
    if not get_current_span(before).get_span_context().is_remote:
        yield
        return
    inside = Context()
    attach(inside)
    try:
        yield
    finally:
        if get_current() is inside:
            attach(before)


@contextmanager
def _attribute(module: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
