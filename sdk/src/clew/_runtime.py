"""The only wiring: what `clew.init` puts together. Imported when it is called, not with clew."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING

import opentelemetry.sdk._logs  # noqa: F401  # the exporter imports it, and Python on its way out could not any more

from clew import _content, _guard, _settings
from clew._export import provider as _provider
from clew._export.exit import at_end_of_process
from clew._export.exporter import Destination
from clew._export.limits import Limits
from clew._export.queue import ExportQueue
from clew._export.relevance import Relevance
from clew._instrument.instrumentations import enable_all
from clew._propagate import carrier, hooks, http, processes
from clew._settings import Spans

if TYPE_CHECKING:
    from clew._settings import ContentSetting, RedactSetting, Settings

_lock = threading.Lock()
_settings_in_force: Settings | None = None
_queue: ExportQueue | None = None


def start(
    service: str | None,
    endpoint: str | None,
    content: ContentSetting | None,
    redact: RedactSetting | None = None,
) -> None:
    """`clew.init`."""
    with _lock:
        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            return
        settings = _settings.load(service, endpoint, content, redact)
        if _settings_in_force is not None:
            if settings != _settings_in_force and (service, endpoint, content, redact) != (None,) * 4:
                _guard.warn_once("init", "clew is set up already; the settings of this clew.init() are ignored.")
            return
        _begin(settings)


def start_as(settings: Settings | None) -> None:
    """Sets clew up as in the process that started this one; None where it was not set up there."""
    with _lock:
        if settings is not None and _settings_in_force is None:
            _begin(settings)


def settings_in_force() -> Settings | None:
    """What clew was set up with; None where it is not."""
    return _settings_in_force


def _begin(settings: Settings) -> None:
    global _settings_in_force  # noqa: PLW0603  # one process, one set-up
    _settings_in_force = settings
    try:
        _start(settings)
    except Exception as error:
        _guard.failed("setting itself up", error)


def flush(timeout_s: float) -> bool:
    """`clew.flush`."""
    try:
        return _queue is None or _queue.force_flush(round(timeout_s * 1000))
    except Exception as error:
        _guard.failed("flushing", error)
        return False


def _start(settings: Settings) -> None:
    global _queue  # noqa: PLW0603
    rules = settings.content
    os.environ.setdefault(_settings.CAPTURE_CONTENT, rules.captured())
    os.environ.setdefault(_settings.STABILITY_OPT_IN, "gen_ai_latest_experimental")
    provider: _provider.TakesProcessors | None = _provider.configured()
    if provider is None and not _provider.is_free():
        return
    if _exports():
        relevance = Relevance() if settings.spans is Spans.AGENTS or (provider and settings.spans is None) else None
        _queue = ExportQueue(
            lambda: Destination(settings.endpoint),
            settings.content,
            Limits.from_environment(),
            relevance,
            start_records=settings.start_records,
        )
    if provider is None:
        provider = _provider.own(settings.service, partial(_adopt, settings))
    if _queue is not None:
        provider.add_span_processor(_queue)
        at_end_of_process(_queue)  # registered last, so called first: before clew's own provider is shut down
    _content.set_rules(rules)
    http.set_own_hosts(settings.propagate_to)
    carrier.install_propagator()
    hooks.install()
    processes.join_from_environment()
    enable_all()


def _adopt(settings: Settings, provider: _provider.TakesProcessors) -> None:
    """Joins a provider that the programme configures after clew."""
    if _queue is not None:
        if settings.spans is None:
            _queue.relevance = Relevance()
        provider.add_span_processor(_queue)


def _exports() -> bool:
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp") or "otlp"
    if exporter not in ("otlp", "none"):
        _guard.warn_once(
            "OTEL_TRACES_EXPORTER",
            "OTEL_TRACES_EXPORTER=%r: clew sends OTLP only; set it to otlp or none. Sending OTLP.",
            exporter,
        )
    return exporter != "none"
