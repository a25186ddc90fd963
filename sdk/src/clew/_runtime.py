"""The only wiring: what `clew.init` puts together. Imported when it is called, not with clew."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import opentelemetry.sdk._logs  # noqa: F401  # the exporter imports it, and Python on its way out could not any more
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from clew import _content, _guard, _settings
from clew._content import Content
from clew._exit import at_end_of_process
from clew._exporter import Destination
from clew._instrumentations import enable_all
from clew._queue import ExportQueue, Limits
from clew._threads import keep_trace_in_pools
from clew._version import __version__

if TYPE_CHECKING:
    from clew._settings import Settings

_lock = threading.Lock()
_settings_in_force: Settings | None = None
_queue: ExportQueue | None = None


def start(service: str | None, endpoint: str | None, content: str | None) -> None:
    """`clew.init`."""
    global _settings_in_force  # noqa: PLW0603  # one process, one set-up
    with _lock:
        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            return
        settings = _settings.load(service, endpoint, content)
        if _settings_in_force is not None:
            if settings != _settings_in_force and (service, endpoint, content) != (None, None, None):
                _guard.warn_once("init", "clew is set up already; the settings of this clew.init() are ignored.")
            return
        _settings_in_force = settings
        try:
            _start(settings)
        except Exception as error:
            _guard.failed("setting itself up", error)


def flush(timeout_s: float) -> bool:
    """`clew.flush`."""
    return _queue is None or _queue.force_flush(round(timeout_s * 1000))


def _start(settings: Settings) -> None:
    global _queue  # noqa: PLW0603
    os.environ.setdefault(_settings.CAPTURE_CONTENT, "NO_CONTENT" if settings.content is Content.OFF else "SPAN_ONLY")
    os.environ.setdefault(_settings.STABILITY_OPT_IN, "gen_ai_latest_experimental")
    provider = _provider(settings.service)
    if provider is None:
        return
    if _exports():
        _queue = ExportQueue(
            lambda: Destination(settings.endpoint),
            settings.content,
            Limits.from_environment(),
            start_records=settings.start_records,
        )
        provider.add_span_processor(_queue)
        at_end_of_process(_queue)
    _content.set_mode(settings.content)
    keep_trace_in_pools()
    enable_all()


def _provider(service: str | None) -> TracerProvider | None:
    """The provider that is configured, or one configured now; None if there is one that takes no processors."""
    configured = trace.get_tracer_provider()
    if isinstance(configured, TracerProvider):
        return configured
    if not isinstance(configured, trace.ProxyTracerProvider):
        _guard.warn_once(
            "provider",
            "The tracer provider configured here (%s) is not OpenTelemetry's SDK, clew cannot add to it and records "
            "nothing. Import clew.auto before it is configured.",
            type(configured).__name__,
        )
        return None
    attributes = {"telemetry.distro.name": "clew", "telemetry.distro.version": __version__}
    if service is not None:
        attributes["service.name"] = service
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    return provider


def _exports() -> bool:
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp") or "otlp"
    if exporter not in ("otlp", "none"):
        _guard.warn_once(
            "OTEL_TRACES_EXPORTER",
            "OTEL_TRACES_EXPORTER=%r: clew sends OTLP only; set it to otlp or none. Sending OTLP.",
            exporter,
        )
    return exporter != "none"
