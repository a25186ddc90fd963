"""The SDK's settings: argument, then environment, then default. `OTEL_*` variables keep their standard meaning."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from clew import _guard
from clew._content import Content
from clew._words import suggestion
from clew.errors import SettingError

DEFAULT_ENDPOINT = "http://127.0.0.1:4317"
"""Where a processor listens unless told otherwise."""
CAPTURE_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""Switch of the official GenAI instrumentations for content, read by them at each call."""
STABILITY_OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
"""Switch of all instrumentations for newer names."""
VARIABLES = frozenset(
    {
        "CLEW_CONTENT",
        "CLEW_ENDPOINT",
        "CLEW_PROPAGATE_TO",
        "CLEW_QUEUE_BYTES",
        "CLEW_SERVICE",
        "CLEW_SPANS",
        "CLEW_START_RECORDS",
    }
)
"""The SDK's own variables."""
PROCESSOR_SETTINGS = frozenset(
    {"batch", "config", "content_key", "data", "grpc", "http", "limits", "prices", "queries", "query", "retention"}
    | {"sampling", "shutdown_s", "spool", "store", "tenant", "usage"}
)
"""First parts of the processor's settings, whose `CLEW_*` variables may stand in the same environment."""

_ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_SWITCH = {"": True, "on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
_CAPTURES_ON_SPANS = frozenset({"SPAN_ONLY", "SPAN_AND_EVENT"})


class Spans(StrEnum):
    """Which spans are recorded."""

    AGENTS = "agents"
    """Those of agents: their own, what is below them, and the path above them."""
    ALL = "all"
    """All that the provider records."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What `clew.init` works with."""

    service: str | None
    """The `service.name` of the resource; None where OpenTelemetry's own variables say it."""
    endpoint: str | None
    """URL of the OTLP receiver; None where OpenTelemetry's own variables or the default say it."""
    content: Content
    """What is kept of content."""
    spans: Spans | None = None
    """Which spans are recorded; None: agents' where the provider is the programme's own, else all."""
    propagate_to: tuple[str, ...] = ()
    """Hosts of the programme's own, besides this machine: requests to them hand the run on."""
    start_records: bool = True
    """Whether spans that stay open are told of."""


def load(service: str | None, endpoint: str | None, content: str | None) -> Settings:
    """The settings in force, from `clew.init`'s arguments and the environment; warns of unknown `CLEW_*` variables.

    Raises:
        SettingError: The argument `content` is not allowed. The same mistake in the environment must not stop an
            agent from starting: it is logged, and no content is recorded.
    """
    _warn_of_unknown_variables()
    return Settings(
        service=service or (None if _otel_names_service() else os.environ.get("CLEW_SERVICE") or _script_name()),
        endpoint=endpoint or _endpoint(),
        content=_content(content),
        spans=_spans(),
        propagate_to=_hosts(),
        start_records=_switch("CLEW_START_RECORDS"),
    )


def _hosts() -> tuple[str, ...]:
    return tuple(host for part in os.environ.get("CLEW_PROPAGATE_TO", "").split(",") if (host := part.strip().lower()))


def _endpoint() -> str | None:
    if any(os.environ.get(variable) for variable in _ENDPOINT_VARIABLES):
        return None
    return os.environ.get("CLEW_ENDPOINT") or None


def _content(argument: str | None) -> Content:
    if argument is not None:
        return _content_mode("content", argument)
    variable = os.environ.get("CLEW_CONTENT")
    if variable:
        try:
            return _content_mode("CLEW_CONTENT", variable)
        except SettingError as error:
            _guard.warn_once("CLEW_CONTENT", "%s No content is recorded.", error)
            return Content.OFF
    standard = os.environ.get(CAPTURE_CONTENT)
    if standard and standard.upper() not in _CAPTURES_ON_SPANS:
        return Content.OFF
    return Content.FULL


def _spans() -> Spans | None:
    value = os.environ.get("CLEW_SPANS")
    if not value:
        return None
    try:
        return Spans(value.lower())
    except ValueError:
        _guard.warn_once("CLEW_SPANS", "CLEW_SPANS=%r is ignored. Allowed: %s.", value, ", ".join(Spans))
        return None


def _switch(variable: str) -> bool:
    """Whether it is on, as it is unless it says otherwise."""
    value = os.environ.get(variable, "").strip().lower()
    if value not in _SWITCH:
        _guard.warn_once(variable, "%s=%r is not allowed. Allowed: on, off. It stays on.", variable, value)
    return _SWITCH.get(value, True)


def _content_mode(setting: str, value: str) -> Content:
    allowed = ", ".join(Content)
    if value.lower() == "hashed":
        raise SettingError(
            f"{setting}={value!r} is not there yet, it comes with a later version. Allowed now: {allowed}."
        )
    try:
        return Content(value.lower())
    except ValueError:
        hint = suggestion(value.lower(), [mode.value for mode in Content])
        raise SettingError(f"{setting}={value!r} is not allowed{hint}. Allowed: {allowed}.") from None


def _otel_names_service() -> bool:
    named = (pair.partition("=")[0].strip() for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    return bool(os.environ.get("OTEL_SERVICE_NAME")) or "service.name" in named


def _script_name() -> str:
    """The script's file name without its ending, or the package run with `-m`; `python` where there is neither."""
    script = Path(sys.argv[0] if sys.argv else "")
    name = script.parent.name if script.stem == "__main__" else script.stem
    return "python" if name in ("", "-c", "-m", "-") else name


def _warn_of_unknown_variables() -> None:
    for variable in sorted(os.environ):
        if not variable.startswith("CLEW_") or variable in VARIABLES:
            continue
        first_part = variable.removeprefix("CLEW_").partition("__")[0].lower()
        if first_part not in PROCESSOR_SETTINGS:
            processors = {f"CLEW_{setting.upper()}" for setting in PROCESSOR_SETTINGS}
            _guard.warn_once(
                variable,
                "The environment variable %s is not a setting of clew and is ignored%s.",
                variable,
                suggestion(variable, VARIABLES | processors),
            )
