"""The SDK's settings: argument, then environment, then default. `OTEL_*` variables keep their standard meaning."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from clew import _guard
from clew._content import DEFAULT_LIMIT_BYTES, Content, ContentClass, ContentRules
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
        "CLEW_CONTENT_LIMIT",
        "CLEW_ENDPOINT",
        "CLEW_PROPAGATE_TO",
        "CLEW_QUEUE_BYTES",
        "CLEW_REDACT",
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

ContentSetting = str | Mapping[str, str]
"""`hashed`; `metadata,tools=full`; `{"all": "metadata", "tools": "full"}`."""
RedactSetting = Iterable[str] | Mapping[str, str]
"""Regular expressions, or the same by the name that replaces what they find."""

_SMALLEST_LIMIT = 1024
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
    content: ContentRules
    """What is kept of content, what is replaced in it, and where it is cut."""
    spans: Spans | None = None
    """Which spans are recorded; None: agents' where the provider is the programme's own, else all."""
    propagate_to: tuple[str, ...] = ()
    """Hosts of the programme's own, besides this machine: requests to them hand the run on."""
    start_records: bool = True
    """Whether spans that stay open are told of."""


def load(
    service: str | None,
    endpoint: str | None,
    content: ContentSetting | None = None,
    redact: RedactSetting | None = None,
) -> Settings:
    """The settings in force, from `clew.init`'s arguments and the environment; warns of unknown `CLEW_*` variables.

    Raises:
        SettingError: The argument `content` or `redact` is not allowed. The same mistake in the environment must not
            stop an agent from starting: it is logged, and no content is recorded.
    """
    _warn_of_unknown_variables()
    return Settings(
        service=service or (None if _otel_names_service() else os.environ.get("CLEW_SERVICE") or _script_name()),
        endpoint=endpoint or _endpoint(),
        content=_content(content, redact),
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


def _content(content: ContentSetting | None, redact: RedactSetting | None) -> ContentRules:
    patterns: list[tuple[str, str]] = []
    if redact is not None:
        patterns = list(redact.items()) if isinstance(redact, Mapping) else [("own", pattern) for pattern in redact]
        _check_patterns("redact", patterns)
    rules = None if content is None else content_rules("content", content)
    try:
        rules = rules or _content_of_environment()
        lines = [("own", line) for line in os.environ.get("CLEW_REDACT", "").splitlines() if line.strip()]
        _check_patterns("CLEW_REDACT", lines)
        patterns += lines
    except SettingError as error:  # whoever wanted less than all must not get all
        _guard.warn_once("content in the environment", "%s No content is recorded.", error)
        rules = ContentRules.all(Content.OFF)
    return replace(rules, patterns=tuple(patterns), limit_bytes=_limit())


def _content_of_environment() -> ContentRules:
    if variable := os.environ.get("CLEW_CONTENT"):
        return content_rules("CLEW_CONTENT", variable)
    standard = os.environ.get(CAPTURE_CONTENT)
    captures = not standard or standard.upper() in _CAPTURES_ON_SPANS
    return ContentRules.all(Content.FULL if captures else Content.OFF)


def content_rules(setting: str, given: ContentSetting) -> ContentRules:
    """What `hashed`, `metadata,tools=full` or the same as a mapping says; what it does not name is as the default.

    Raises:
        SettingError: A mode or a class is not known.
    """
    parts = given.split(",") if isinstance(given, str) else [f"{kind}={mode}" for kind, mode in given.items()]
    modes = dict.fromkeys(ContentClass, Content.FULL)
    named: dict[ContentClass, Content] = {}
    for part in parts:
        kind, _, word = part.strip().lower().rpartition("=")
        mode = Content(_one_of(setting, given, word.strip(), Content, "mode"))
        if kind.strip() in ("", "all"):
            modes = dict.fromkeys(ContentClass, mode)
        else:
            named[ContentClass(_one_of(setting, given, kind.strip(), ContentClass, "class of content"))] = mode
    return ContentRules.by_class(modes | named)


def _one_of(setting: str, given: object, word: str, enumeration: type[StrEnum], what: str) -> str:
    allowed = [member.value for member in enumeration]
    if word in allowed:
        return word
    raise SettingError(
        f"{setting}={given!r} is not allowed: {word!r} is no {what}{suggestion(word, allowed)}. "
        f"Allowed: {', '.join(allowed)}."
    )


def _check_patterns(setting: str, patterns: Sequence[tuple[str, str]]) -> None:
    if not patterns:
        return
    from clew._content.patterns import PatternError, own_rule

    for name, pattern in patterns:
        try:
            own_rule(name, pattern)
        except PatternError as error:
            raise SettingError(f"{setting}: the pattern {pattern!r} is refused: {error}.") from None


def _limit() -> int:
    value = os.environ.get("CLEW_CONTENT_LIMIT", "")
    if not value:
        return DEFAULT_LIMIT_BYTES
    if value.isdecimal() and _SMALLEST_LIMIT <= int(value) <= DEFAULT_LIMIT_BYTES:
        return int(value)
    _guard.warn_once(
        "CLEW_CONTENT_LIMIT",
        "CLEW_CONTENT_LIMIT=%r is no number of bytes from %d to %d; using %d.",
        value,
        _SMALLEST_LIMIT,
        DEFAULT_LIMIT_BYTES,
        DEFAULT_LIMIT_BYTES,
    )
    return DEFAULT_LIMIT_BYTES


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
