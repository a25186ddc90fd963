"""The tracer provider clew works with: the programme's own where there is one, whenever it is configured.

OpenTelemetry lets a process set its provider once. Clew's own would take that place from a programme that configures
its own after `import clew.auto`, and its exporters would get nothing. So clew's provider gives way: the place is free
once more, and who takes it gets clew as a second destination, and every tracer that was handed out before.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from clew import _guard
from clew._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Tracer

_SET_ONCE = "_TRACER_PROVIDER_SET_ONCE"
"""Where OpenTelemetry keeps whether the provider is set; where it has no such place, clew's provider just stays."""


@runtime_checkable
class TakesProcessors(Protocol):
    """A provider that can have a second destination: OpenTelemetry's, or one around it, such as Logfire's."""

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Adds a destination."""


def configured() -> TakesProcessors | None:
    """The provider of the programme; None if there is none, or none that clew can add to, which is said."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TakesProcessors):
        return provider
    if not isinstance(provider, trace.ProxyTracerProvider):
        _cannot_add_to(provider)
    return None


def is_free() -> bool:
    """Whether no provider is configured."""
    return isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def own(service: str | None, adopt: Callable[[TakesProcessors], None]) -> TracerProvider:
    """Configures a provider of clew's own.

    Args:
        service: The `service.name`; None where OpenTelemetry's variables say it.
        adopt: Called with the programme's own provider, should it configure one later.
    """
    attributes = {"telemetry.distro.name": "clew", "telemetry.distro.version": __version__}
    if service is not None:
        attributes["service.name"] = service
    # Shut down at exit, as every provider: others may have added destinations, Sentry for example.
    provider = _Provider(resource=Resource.create(attributes))
    trace.set_tracer_provider(provider)
    if hasattr(trace, _SET_ONCE):
        setattr(trace, _SET_ONCE, _OnceMore(provider, adopt))
    return provider


class _Provider(TracerProvider):
    """A provider whose tracers can be handed over to another."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._successor: Any = None
        self._given: dict[int, tuple[Tracer, tuple[Any, ...], dict[str, Any]]] = {}

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        if self._successor is not None:
            return self._successor.get_tracer(*args, **kwargs)  # type: ignore[no-any-return]
        tracer = super().get_tracer(*args, **kwargs)
        self._given[id(tracer)] = (tracer, args, kwargs)
        return tracer

    def hand_over(self, successor: Any) -> None:
        """Spans that start from now on are the successor's, whoever holds a tracer of this provider."""
        self._successor = successor
        for tracer, args, kwargs in list(self._given.values()):
            theirs = successor.get_tracer(*args, **kwargs)
            for method in ("start_span", "start_as_current_span"):
                setattr(tracer, method, getattr(theirs, method))


class _OnceMore:
    """Stands where OpenTelemetry notes that the provider is set: lets one more take its place."""

    def __init__(self, provider: _Provider, adopt: Callable[[TakesProcessors], None]) -> None:
        self._provider = provider
        self._adopt = adopt
        self._lock = threading.Lock()

    def do_once(self, set_provider: Callable[[], None]) -> bool:
        """Sets the provider if this is the first one after clew's; returns whether it did."""
        if not self._lock.acquire(blocking=False):  # never released
            return False
        set_provider()
        try:
            theirs: object = trace.get_tracer_provider()
            if not isinstance(theirs, TakesProcessors):
                _cannot_add_to(theirs)
            elif theirs is not self._provider:
                self._adopt(theirs)
                self._provider.hand_over(theirs)
        except Exception as error:
            _guard.failed("joining the programme's own tracer provider", error)
        return True


def _cannot_add_to(provider: object) -> None:
    _guard.warn_once(
        "provider",
        "The tracer provider configured here (%s) takes no span processors: clew cannot add to it, and its spans are "
        "not recorded.",
        type(provider).__name__,
    )
