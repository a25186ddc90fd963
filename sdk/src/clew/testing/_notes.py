"""What stands in brackets behind a span's name."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import StatusCode

from clew import _semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry.sdk.trace import ReadableSpan

_LONGEST = 60


def troubles(span: ReadableSpan) -> list[str]:
    """How it went wrong: what an expected tree has to say."""
    status = (span.attributes or {}).get(_semconv.CLEW_STATUS)
    error = error_of(span)
    notes = [] if error is None else [f"error {error}".rstrip()]
    if status in ("cancelled", "interrupted"):
        notes.append(str(status))
    if span.end_time is None:
        notes.append("not ended")
    return [short(note) for note in notes]


def remarks(span: ReadableSpan) -> list[str]:
    """What else can be said shortly."""
    attributes = span.attributes or {}
    return [short(note) for say in _REMARKS if (note := say(attributes)) is not None]


def attributes(span: ReadableSpan, names: Iterable[str]) -> list[str]:
    """Some attributes, as an expected tree writes them."""
    values = span.attributes or {}
    return [short(f"{name}={value_text(values[name])}" if name in values else f"{name} absent") for name in names]


def error_of(span: ReadableSpan) -> str | None:
    """The type of the error a span recorded, without its module; empty where it has none; None without an error."""
    kind = (span.attributes or {}).get(_semconv.ERROR_TYPE)
    if kind is None and span.status.status_code is not StatusCode.ERROR:
        return None
    if kind is None:
        kinds = [event.attributes["exception.type"] for event in span.events if _has_type(event.attributes)]  # type: ignore[index]
        kind = kinds[-1] if kinds else ""
    return str(kind).rpartition(".")[2]


def value_text(value: Any) -> str:
    """An attribute's value as text: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def short(text: str) -> str:
    """The text as it can stand in brackets: on one line, without brackets of its own, and not too long."""
    text = without_brackets(text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def without_brackets(text: str) -> str:
    """The text on one line, with round brackets instead of square ones."""
    return " ".join(text.split()).replace("[", "(").replace("]", ")")


def _has_type(attributes: Mapping[str, Any] | None) -> bool:
    return "exception.type" in (attributes or {})


def _decision(attributes: Mapping[str, Any]) -> str | None:
    chosen = attributes.get(_semconv.CLEW_DECISION_CHOSEN)
    return None if chosen is None else f"decide {chosen}"


def _gate(attributes: Mapping[str, Any]) -> str | None:
    return attributes.get(_semconv.CLEW_GATE_OUTCOME)


def _outcome(attributes: Mapping[str, Any]) -> str | None:
    status = attributes.get(_semconv.CLEW_OUTCOME_STATUS)
    return None if status is None else f"outcome {status}"


def _tokens(attributes: Mapping[str, Any]) -> str | None:
    names = {"gen_ai.usage.input_tokens": "in", "gen_ai.usage.output_tokens": "out"}
    return ", ".join(f"{attributes[name]} {way}" for name, way in names.items() if name in attributes) or None


def _cost(attributes: Mapping[str, Any]) -> str | None:
    cost = attributes.get(_semconv.CLEW_COST_USD)
    return None if cost is None else f"${Decimal(str(cost)):f}"


_REMARKS: tuple[Callable[[Mapping[str, Any]], str | None], ...] = (_decision, _gate, _outcome, _tokens, _cost)
