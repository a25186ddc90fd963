"""What becomes of a span between its end and the exporter, on the exporting thread: content, redaction, limits."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Status

from clew import _semconv
from clew._content import Content, ContentClass, ContentRules
from clew._content.modes import Modes, stricter
from clew._content.patterns import own_rule
from clew._content.places import EXCEPTION, Form, Place, place, place_in_event
from clew._content.redact import Redactor
from clew._content.reduce import reduced, reduced_field
from clew._content.secrets import SECRET_FIELDS
from clew._content.truncate import cut, cut_text, level, size
from clew._export.size import MAX_REQUEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SPAN_LIMITS = 4
"""The texts of a span may be so many times as long as the text of one attribute."""
_SPAN_BYTES = MAX_REQUEST_BYTES - 100_000
"""And never longer than a request may be, with room for what is around them."""
_SEARCHED = 16_000_000
"""Longer text is cut before it is searched for secrets, JSON or not: none of what was beyond is kept anyway."""
_SHORTEST_IN_NAME = 8
"""Shorter contents, and single words, are not looked for in the span's name: they would be found in any."""


def prepare(span: ReadableSpan, content: ContentRules | Content) -> ReadableSpan:
    """The span as it may leave the process; the same object if nothing had to change.

    Content is left out, reduced to its shape or hashed as the rules say. Credentials are replaced in every text: names,
    attributes of the span, its events, links, resource and scope; personal data in content. What is longer than the
    rules allow is cut. `clew.content.redacted` and `clew.content.truncated` say that something was. Text that UTF-8
    cannot write is mended: the exporter would refuse the attribute.

    Args:
        span: An ended span.
        content: What is kept of content; one mode stands for all classes.
    """
    return _preparer(content if isinstance(content, ContentRules) else _everywhere(content)).prepare(span)


class _Preparer:
    """What rules make of spans."""

    def __init__(self, rules: ContentRules) -> None:
        self._rules = rules
        self._modes = Modes(rules.messages, rules.system, rules.tools)
        self._redactor = Redactor(tuple(own_rule(name, pattern) for name, pattern in rules.patterns))
        self._resources: dict[int, tuple[Resource, Resource]] = {}
        self._scopes: dict[int, tuple[InstrumentationScope, InstrumentationScope]] = {}

    def prepare(self, span: ReadableSpan) -> ReadableSpan:
        work = _Work(self._rules, self._modes, self._redactor)
        old_attributes, old_events, old_links = span.attributes, span.events, span.links  # new views each time
        attributes = work.attributes(old_attributes, place)
        events = [_event(event, work) for event in old_events]
        links = [_link(link, work) for link in old_links]
        status = _status(span.status, work)
        if work.size > (most := min(self._rules.limit_bytes * _SPAN_LIMITS, _SPAN_BYTES)):
            attributes, events = _within(attributes, events, most)
            work.truncated = True
        name = work.name(span.name)
        resource, scope = self._resource(span.resource), self._scope(span.instrumentation_scope)
        if work.redacted:
            attributes = {**(attributes or {}), _semconv.CLEW_CONTENT_REDACTED: True}
        if work.truncated:
            attributes = {**(attributes or {}), _semconv.CLEW_CONTENT_TRUNCATED: True}
        if (
            attributes is old_attributes
            and name is span.name
            and status is span.status
            and resource is span.resource
            and scope is span.instrumentation_scope
            and (not events or all(new is old for new, old in zip(events, old_events, strict=True)))
            and (not links or all(new is old for new, old in zip(links, old_links, strict=True)))
        ):
            return span
        return ReadableSpan(
            name=name,
            context=span.context,
            parent=span.parent,
            resource=resource,
            attributes=attributes if attributes is old_attributes else _bounded(attributes, span.dropped_attributes),
            events=events,
            links=links,
            kind=span.kind,
            status=status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=scope,
        )

    def _resource(self, resource: Resource) -> Resource:
        known = self._resources.get(id(resource))
        if known is None or known[0] is not resource:  # one for each of them: the exporter groups by it
            attributes = self._without_secrets(resource.attributes)
            new = resource if attributes is None else Resource(attributes, resource.schema_url)
            self._resources = {**(self._resources if len(self._resources) < 100 else {}), id(resource): (resource, new)}
            return new
        return known[1]

    def _scope(self, scope: InstrumentationScope | None) -> InstrumentationScope | None:
        if scope is None or not scope.attributes:
            return scope
        known = self._scopes.get(id(scope))
        if known is None or known[0] is not scope:
            attributes = self._without_secrets(scope.attributes)
            new = scope
            if attributes is not None:
                new = InstrumentationScope(scope.name, scope.version, scope.schema_url, attributes)
            self._scopes = {**(self._scopes if len(self._scopes) < 100 else {}), id(scope): (scope, new)}
            return new
        return known[1]

    def _without_secrets(self, attributes: Mapping[str, Any]) -> dict[str, Any] | None:
        """The attributes redacted; None where nothing had to be."""
        work = _Work(self._rules, self._modes, self._redactor)
        new = work.attributes(attributes, lambda _name: None)
        return None if new is attributes or new is None else dict(new)


_preparer = lru_cache(maxsize=8)(_Preparer)
_everywhere = lru_cache(maxsize=8)(ContentRules.all)


class _Work:
    """What one span's texts become; remembers what was done to them."""

    __slots__ = ("_limit", "_modes", "_redact", "_redactor", "_removed", "_rules", "redacted", "size", "truncated")

    def __init__(self, rules: ContentRules, modes: Modes, redactor: Redactor) -> None:
        self._rules = rules
        self._modes = modes
        self._redactor = redactor
        self._redact = redactor.redact
        self._limit = rules.limit_bytes
        self._removed: list[str] = []
        self.redacted = False
        self.truncated = False
        self.size = 0

    def attributes(
        self, attributes: Mapping[str, Any] | None, where_is: Callable[[str], Place | None]
    ) -> Mapping[str, Any] | None:
        if not attributes:
            return attributes
        kept: dict[str, Any] = {}
        changed = False
        for name, value in attributes.items():
            if value is None or isinstance(value, (bool, float)):
                kept[name] = value
                continue
            where = where_is(name)
            new = self._plain(name, value) if where is None else self._content(name, value, where, attributes)
            if new is not value:
                changed = True
                if new is None:
                    continue
            kept[name] = new
        return kept if changed else attributes

    def text(self, text: str | None) -> str | None:
        """Text of an exception outside of any attribute."""
        return text if text is None else self._content(_semconv.EXCEPTION_MESSAGE, text, EXCEPTION, {})

    def name(self, name: str) -> str:
        """A name, without secrets, and without content that is not on the span either."""
        for removed in self._removed:
            if removed in name:
                name = name.replace(removed, "[content]")
        return self._plain("", name)  # type: ignore[no-any-return]

    def _plain(self, name: str, value: Any) -> Any:
        """A value that is no content."""
        if _names_secret(name):
            secret = _first(value)
            new = self._redactor.field(name.rpartition(".")[2], secret)
            if new is not secret:
                self.redacted = True
                return new
        return self._finished(value, value, personal=False)

    def _content(self, name: str, value: Any, where: Place, beside: Mapping[str, Any]) -> Any:
        mode = self._rules.of(where.kind)
        if mode is Content.OFF and where.form is Form.PARAMETERS:
            mode = Content.METADATA
        if mode is Content.OFF:
            self._note(value)
            return None
        mixes = where.form in (Form.MESSAGES, Form.EITHER) and where.kind is ContentClass.MESSAGES
        if mode is Content.FULL and not (mixes and self._modes.strictest() is not Content.FULL):
            return self._finished(value, value, personal=True)
        self._note(value)
        if isinstance(value, str) and not value.isascii():
            value = _encodable(value)
        if where.form is Form.FLAT:
            role = beside.get(f"{name.rpartition('.')[0]}.role")
            if role in ("tool", "function") and where.kind is ContentClass.MESSAGES:
                mode = stricter(mode, self._rules.tools)
            new = reduced_field(name, value, mode, role)
        else:
            modes = self._modes if mixes else Modes(mode, mode, mode)
            new = reduced(value, where, modes, mode)
        return None if new is None else self._finished(value, new, personal=mixes and Content.FULL in self._modes)

    def _finished(self, old: Any, value: Any, *, personal: bool) -> Any:
        """The value mended, redacted and short enough; `old` where it is equal to that."""
        if type(value) is int and not personal:
            return old if value is old else value
        if isinstance(value, str):
            if old is value and len(value) <= self._limit and value.isascii():  # most are
                redacted = self._redactor.text(value, personal=personal)
                if redacted is value:
                    self.size += len(value)
                    return value
            if not value.isascii():
                value = _encodable(value)
            if len(value) > _SEARCHED:
                value = cut_text(value, _SEARCHED)
        redacted = self._redact(value, personal=personal)
        if redacted is not value:
            self.redacted = True
            value = redacted
        length = len(value) if isinstance(value, str) and value.isascii() else size(value)
        if length > self._limit:
            value = cut(value, self._limit)
            length = self._limit
            self.truncated = True
        self.size += length
        return old if value == old else value

    def _note(self, value: Any) -> None:
        if isinstance(value, str) and len(value) >= _SHORTEST_IN_NAME and " " in value:
            self._removed.append(value)


@lru_cache(maxsize=4096)
def _names_secret(name: str) -> bool:
    return name.rpartition(".")[2].lower() in SECRET_FIELDS


def _first(value: Any) -> Any:
    """The only item of a sequence: headers are recorded as lists of values."""
    return value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value


def _event(event: Event, work: _Work) -> Event:
    old_attributes = event.attributes
    attributes = work.attributes(old_attributes, lambda name: place_in_event(event.name, name))
    name = work.name(event.name)
    if attributes is old_attributes and name is event.name:
        return event
    return Event(name, _bounded(attributes, event.dropped_attributes), event.timestamp)


def _link(link: Link, work: _Work) -> Link:
    old_attributes = link.attributes
    attributes = work.attributes(old_attributes, place)
    if attributes is old_attributes:
        return link
    return Link(link.context, _bounded(attributes, link.dropped_attributes))


def _status(status: Status, work: _Work) -> Status:
    description = work.text(status.description)
    return status if description is status.description else Status(status.status_code, description)


def _within(
    attributes: Mapping[str, Any] | None, events: list[Event], limit: int
) -> tuple[Mapping[str, Any] | None, list[Event]]:
    """Attributes and events with the longest texts cut so that together they are no longer than `limit`."""
    groups = [dict(attributes or {}), *(dict(event.attributes or {}) for event in events)]
    each = level([size(value) for group in groups for value in group.values()], limit)
    for group in groups:
        group.update({name: cut(value, each) for name, value in group.items() if size(value) > each})
    own, *others = groups
    return own, [
        Event(event.name, _bounded(other, event.dropped_attributes), event.timestamp)
        for event, other in zip(events, others, strict=True)
    ]


def _bounded(attributes: Mapping[str, Any] | None, dropped: int) -> BoundedAttributes:
    """The attributes with the count of those the SDK's limits had dropped before."""
    bounded = BoundedAttributes(attributes=attributes)
    bounded.dropped = dropped
    return bounded


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates, as badly cut JSON has them
        return text.encode("utf-8", "replace").decode()
    return text
