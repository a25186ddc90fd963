"""Where a recording gets its spans: a span processor, and its place in the provider that is configured, or one of ours.

A provider can be configured only once in a process, tracers hold on to the one they were made by, and processors cannot
be taken off again. So a configured provider keeps its place and has its processors changed for the time of the
recording; where none is configured, one is put there whose tracers ask, span by span, whether a recording goes on.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.util._once import Once

from clew._export.queue import ExportQueue
from clew._propagate import lineage
from clew.errors import ClewError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span


class Tap(SpanProcessor):
    """Keeps the spans that start while it is in place: live ones in the order they started, and what they ended as."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: dict[int, Span] = {}
        self._ended: dict[int, ReadableSpan] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Notes a span, and gives it what it would inherit on its way to a processor."""
        lineage.inherit(span, parent_context)
        with self._lock:
            self._started[span.get_span_context().span_id] = span

    def on_end(self, span: ReadableSpan) -> None:
        """Notes what a span ended as; one that had started before is somebody else's."""
        if span.context is None:
            return
        with self._lock:
            if span.context.span_id in self._started:
                self._ended[span.context.span_id] = span

    def started(self) -> list[ReadableSpan]:
        """Every span, in the order they started, as it ended, or as it stands."""
        with self._lock:
            return [self._ended.get(span_id, span) for span_id, span in self._started.items()]

    def ended(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order they ended."""
        with self._lock:
            return list(self._ended.values())

    def clear(self) -> None:
        """Forgets all spans; those still open will not be noted when they end."""
        with self._lock:
            self._started.clear()
            self._ended.clear()


@contextmanager
def tapped(tap: Tap) -> Iterator[None]:
    """Puts a tap in place, and everything back as it was afterwards.

    Raises:
        ClewError: The provider configured in this process is not OpenTelemetry's SDK.
    """
    configured = trace.get_tracer_provider()
    if isinstance(configured, TracerProvider):
        with _inside(configured, tap):
            yield
    elif isinstance(configured, trace.ProxyTracerProvider):
        with _in_place_of_none(tap):
            yield
    else:
        raise ClewError(
            f"The tracer provider configured here ({type(configured).__name__}) is not OpenTelemetry's SDK: clew can "
            "record nothing through it. Configure none in tests, or the SDK's."
        )


@contextmanager
def _inside(provider: TracerProvider, tap: Tap) -> Iterator[None]:
    processors = provider._active_span_processor  # noqa: SLF001  # there is no public way to take one off again
    before = processors._span_processors  # noqa: SLF001
    generator = provider.id_generator
    # What others do to spans is part of what is tested; what clew would send to a processor is not to be sent.
    others = tuple(processor for processor in before if not isinstance(processor, ExportQueue))
    processors._span_processors = (*others, tap)  # noqa: SLF001
    # Each tracer holds on to the generator, so that one's own methods give way.
    vars(generator).update(generate_trace_id=count(1).__next__, generate_span_id=count(1).__next__)
    try:
        yield
    finally:
        for method in ("generate_trace_id", "generate_span_id"):
            vars(generator).pop(method, None)
        added = tuple(processor for processor in processors._span_processors if processor not in (*others, tap))  # noqa: SLF001
        processors._span_processors = (*before, *added)  # noqa: SLF001


@contextmanager
def _in_place_of_none(tap: Tap) -> Iterator[None]:
    provider = _Provider()
    _set_global(provider)
    _Tracer.recording = provider
    try:
        with _inside(provider, tap):
            yield
    finally:
        _Tracer.recording = None
        provider.release()
        if trace.get_tracer_provider() is provider and not provider.is_in_use():
            _set_global(None)


def _set_global(provider: TracerProvider | None) -> None:
    trace._TRACER_PROVIDER_SET_ONCE = Once()  # noqa: SLF001  # or no provider could be configured after a recording
    trace._TRACER_PROVIDER = None  # noqa: SLF001
    if provider is not None:
        trace.set_tracer_provider(provider)


class _Provider(TracerProvider):
    """The provider of one recording. It goes with it, unless somebody set up clew or something else on it meanwhile."""

    def __init__(self) -> None:
        super().__init__(sampler=ALWAYS_ON, resource=Resource({"service.name": "test"}), shutdown_on_exit=False)
        self._disabled = False  # OTEL_SDK_DISABLED is about sending
        self._held: list[SpanProcessor] | None = []

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Adds a processor; clew's own begins when the recording has ended."""
        if self._held is not None and isinstance(span_processor, ExportQueue):
            self._held.append(span_processor)
        else:
            super().add_span_processor(span_processor)

    def release(self) -> None:
        """Adds what was held back."""
        held, self._held = self._held or [], None
        for processor in held:
            self.add_span_processor(processor)

    def is_in_use(self) -> bool:
        """Whether it has processors."""
        return bool(self._active_span_processor._span_processors)  # noqa: SLF001

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        """A tracer of whatever recording goes on when it is used."""
        return _Tracer(args, kwargs)

    def tracer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> trace.Tracer:
        """A tracer of this provider."""
        return super().get_tracer(*args, **kwargs)


class _Tracer(trace.Tracer):
    """Goes to the recording, or while there is none to the provider that is configured by then."""

    recording: _Provider | None = None

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._args = args
        self._kwargs = kwargs

    def _now(self) -> trace.Tracer:
        provider = _Tracer.recording or trace.get_tracer_provider()
        if isinstance(provider, _Provider):
            return provider.tracer(self._args, self._kwargs)
        return provider.get_tracer(*self._args, **self._kwargs)

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        return self._now().start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        return self._now().start_as_current_span(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now(), name)  # what only the SDK's tracers have
