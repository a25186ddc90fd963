"""What becomes of a span between its end and the exporter, on the exporting thread: content policy and redaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Status

from clew import _semconv
from clew._content import Content
from clew._redact import redact

_EXCEPTIONS = frozenset({_semconv.EXCEPTION_MESSAGE, _semconv.EXCEPTION_STACKTRACE})
_CONTENT = _semconv.CLEW_CONTENT_ATTRIBUTES | {
    "gen_ai.completion",
    "gen_ai.event.content",
    "gen_ai.prompt",
    "gen_ai.retrieval.documents",
    "gen_ai.retrieval.query.text",
    "gen_ai.evaluation.explanation",
    "gen_ai.memory.query.text",
    "gen_ai.memory.records",
    _semconv.GEN_AI_INPUT_MESSAGES,
    _semconv.GEN_AI_OUTPUT_MESSAGES,
    _semconv.GEN_AI_SYSTEM_INSTRUCTIONS,
    _semconv.GEN_AI_TOOL_CALL_ARGUMENTS,
    _semconv.GEN_AI_TOOL_CALL_RESULT,
    _semconv.GEN_AI_TOOL_DEFINITIONS,
    "input.value",
    "output.value",
    "traceloop.entity.input",
    "traceloop.entity.output",
}
_CONTENT_PREFIXES = (
    "gen_ai.completion.",
    "gen_ai.prompt.",
    "llm.input_messages.",
    "llm.output_messages.",
    "llm.prompts.",
    "retrieval.documents.",
    "reranker.",
)
_NO_CONTENT = frozenset({"gen_ai.prompt.name", "gen_ai.prompt.version"})
_MESSAGES = frozenset({_semconv.GEN_AI_INPUT_MESSAGES, _semconv.GEN_AI_OUTPUT_MESSAGES})
_STRUCTURAL = frozenset({"finish_reason", "id", "mime_type", "modality", "name", "role", "type"})
"""Fields of messages, their parts and tool definitions that say what something is, not what it says."""


def prepare(span: ReadableSpan, content: Content) -> ReadableSpan:
    """The span as it may leave the process; the same object if nothing had to change.

    Credentials are replaced in every text, personal data in content. Content is left out as `content` says.
    `clew.content.redacted` is set where something was replaced. Text that UTF-8 cannot write is mended: the
    exporter would refuse the attribute.

    Args:
        span: An ended span.
        content: What is kept of content.
    """
    policy = _Policy(content)
    old_attributes, old_events = span.attributes, span.events  # the span makes new views of them each time
    attributes = policy.attributes(old_attributes)
    events = [_event(event, policy) for event in old_events]
    status = _status(span.status, policy)
    if policy.redacted:
        attributes = {**(attributes or {}), _semconv.CLEW_CONTENT_REDACTED: True}
    same_events = all(new is old for new, old in zip(events, old_events, strict=True))
    if attributes is old_attributes and same_events and status is span.status:
        return span
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes if attributes is old_attributes else _bounded(attributes, span.dropped_attributes),
        events=events,
        links=span.links,
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class _Policy:
    """What one span's attributes become; remembers whether anything was replaced."""

    __slots__ = ("_content", "redacted")

    def __init__(self, content: Content) -> None:
        self._content = content
        self.redacted = False

    def attributes(self, attributes: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        if not attributes:
            return attributes
        kept: dict[str, Any] = {}
        changed = False
        for name, value in attributes.items():
            new = self._value(name, value)
            changed = changed or new is not value
            if new is not None or value is None:
                kept[name] = new
        return kept if changed else attributes

    def text(self, text: str | None) -> str | None:
        """Text of an exception outside of any attribute."""
        return self._value(_semconv.EXCEPTION_MESSAGE, text)  # type: ignore[no-any-return]

    def _value(self, name: str, value: Any) -> Any:
        """The value to send, None for none."""
        if isinstance(value, (bool, float)) or value is None:
            return value
        is_content = _is_content(name)
        if is_content and self._content is not Content.FULL:
            value = self._reduced(name, value)
            if value is None:
                return None
        if isinstance(value, str) and not value.isascii():
            value = _encodable(value)
        redacted = redact(value, personal=is_content)
        if redacted is not value:
            self.redacted = True
        return redacted

    def _reduced(self, name: str, value: Any) -> Any:
        if self._content is Content.OFF:
            return None
        if name in _EXCEPTIONS:
            return value
        if name in _MESSAGES or name == _semconv.GEN_AI_TOOL_DEFINITIONS:
            return _skeleton(value)
        return None


def _skeleton(value: Any) -> str | None:
    """Messages or tool definitions without what they say, as JSON; None if they are neither JSON nor structured."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return json.dumps(_structure(value), separators=(",", ":"))


def _structure(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {name: item for name, item in value.items() if name in _STRUCTURAL and isinstance(item, str)}
        parts = value.get("parts")
        return kept | {"parts": _structure(parts)} if isinstance(parts, Sequence) else kept
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_structure(item) for item in value]
    return None


def _event(event: Event, policy: _Policy) -> Event:
    old_attributes = event.attributes
    attributes = policy.attributes(old_attributes)
    if attributes is old_attributes:
        return event
    return Event(event.name, _bounded(attributes, event.dropped_attributes), event.timestamp)


def _status(status: Status, policy: _Policy) -> Status:
    description = policy.text(status.description)
    return status if description is status.description else Status(status.status_code, description)


def _bounded(attributes: Mapping[str, Any] | None, dropped: int) -> BoundedAttributes:
    """The attributes with the count of those the SDK's limits had dropped before."""
    bounded = BoundedAttributes(attributes=attributes)
    bounded.dropped = dropped
    return bounded


@lru_cache(maxsize=4096)  # names are few; the bound is for those who make names of values
def _is_content(name: str) -> bool:
    if name in _CONTENT or name in _EXCEPTIONS:
        return True
    return name.startswith(_CONTENT_PREFIXES) and name not in _NO_CONTENT


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates, as badly cut JSON has them
        return text.encode("utf-8", "replace").decode()
    return text
