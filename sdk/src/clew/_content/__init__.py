"""How much content (text of users, models and tools) the record holds, and how a Python value becomes its JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, time
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_LIMIT_BYTES = 2_000_000
"""Largest text of one attribute; a request with nothing else passes a gRPC server's 4 MiB."""


class Content(StrEnum):
    """What is kept of content; from nothing to all."""

    OFF = "off"
    """None of it."""
    METADATA = "metadata"
    """Its shape: roles, kinds of parts, names and ids of tool calls, where an exception was; no text."""
    HASHED = "hashed"
    """The shape, and in place of each text its length and a keyed hash: equal texts are still seen to be equal."""
    FULL = "full"
    """All of it, redacted."""


class ContentClass(StrEnum):
    """A kind of content that has a mode of its own."""

    MESSAGES = "messages"
    """What users and models say: prompts, answers, reasoning, queries; what goes into chains and workflows and comes
    out of them."""
    SYSTEM = "system"
    """What the programme tells the model: system instructions, prompt templates, definitions of tools and agents."""
    TOOLS = "tools"
    """Arguments and results of tools, inside of messages too."""
    DOCUMENTS = "documents"
    """What was retrieved, embedded or remembered."""
    NOTES = "notes"
    """What the programme tells clew: decisions, reasons, summaries, outcomes."""
    EXCEPTIONS = "exceptions"
    """Messages and stack traces of exceptions, descriptions of statuses."""


@dataclass(frozen=True, slots=True)
class ContentRules:
    """What is kept of each class of content, and what of that is replaced or cut."""

    messages: Content
    system: Content
    tools: Content
    documents: Content
    notes: Content
    exceptions: Content
    patterns: tuple[tuple[str, str], ...] = ()
    """Own patterns of what is replaced in every text: (name, regular expression)."""
    limit_bytes: int = DEFAULT_LIMIT_BYTES
    """Largest text of one attribute, in UTF-8."""

    @classmethod
    def all(cls, mode: Content) -> Self:
        """The same mode for every class."""
        return cls.by_class(dict.fromkeys(ContentClass, mode))

    @classmethod
    def by_class(cls, modes: Mapping[ContentClass, Content]) -> Self:
        """The mode of each class."""
        return cls(
            messages=modes[ContentClass.MESSAGES],
            system=modes[ContentClass.SYSTEM],
            tools=modes[ContentClass.TOOLS],
            documents=modes[ContentClass.DOCUMENTS],
            notes=modes[ContentClass.NOTES],
            exceptions=modes[ContentClass.EXCEPTIONS],
        )

    def of(self, kind: ContentClass) -> Content:
        """What is kept of this class."""
        return getattr(self, kind.value)  # type: ignore[no-any-return]

    def captured(self) -> str:
        """What the official instrumentations are to record, as their variable has it."""
        wanted = (self.messages, self.system, self.tools)
        return "NO_CONTENT" if all(mode is Content.OFF for mode in wanted) else "SPAN_ONLY"

    def records(self, kind: ContentClass) -> bool:
        """Whether text of this class has to be on spans at all, be it to be hashed."""
        return self.of(kind) in (Content.FULL, Content.HASHED)


# Nothing redacts before `clew.init`, so nothing is recorded before it.
_rules = ContentRules.all(Content.OFF)


def set_rules(rules: ContentRules) -> None:
    """Sets what is kept from now on."""
    global _rules  # noqa: PLW0603  # one process, one setting
    _rules = rules


def set_mode(mode: Content) -> None:
    """Sets one mode for everything from now on."""
    set_rules(ContentRules.all(mode))


def is_recorded(kind: ContentClass) -> bool:
    """Whether text of this class (arguments, reasons, ...) is to be put on spans."""
    return _rules.records(kind)


def is_wanted() -> bool:
    """Whether instrumentations are to record content at all: what may leave the process is decided at its export."""
    return _rules.captured() != "NO_CONTENT"


def to_json(value: Any) -> str:
    """The value as JSON text: compact, keys in their own order, always valid.

    Dataclasses, pydantic models, enums, dates, sets and bytes are written as one would expect; what has no JSON is
    written as its `str()`, or as `<TypeName>` where that would hold an address in memory.
    """
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError):  # keys that are no strings, NaN, cycles, endless nesting
        return json.dumps(_as_text(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """What `json` cannot write, one level down to what it can."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if callable(dump := getattr(value, "model_dump", None)):
        return dump(mode="json")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)  # the same set is the same text in every process
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    return _as_text(value)


def _as_text(value: Any) -> str:
    kind = type(value)
    if _is_default(kind, "__str__") and _is_default(kind, "__repr__"):
        return f"<{kind.__qualname__}>"
    try:
        return str(value)
    except Exception:  # a foreign __str__ may do anything
        return f"<{kind.__qualname__}>"


def _is_default(kind: type, method: str) -> bool:
    return getattr(kind, method) is getattr(object, method)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
