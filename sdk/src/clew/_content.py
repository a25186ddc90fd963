"""How much content (text of users, models and tools) the record holds, and how a Python value becomes its JSON."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from datetime import date, time
from enum import Enum, StrEnum
from typing import Any


class Content(StrEnum):
    """What is kept of content."""

    OFF = "off"
    """None of it, the text of exceptions included."""
    METADATA = "metadata"
    """The skeleton of messages (roles, kinds of parts, names and ids of tool calls), no text, and exceptions."""
    FULL = "full"
    """All of it, redacted."""


_mode = Content.OFF  # nothing redacts before `clew.init`, so nothing is recorded before it


def set_mode(mode: Content) -> None:
    """Sets what is kept from now on."""
    global _mode  # noqa: PLW0603  # one process, one setting
    _mode = mode


def is_recorded() -> bool:
    """Whether arguments, results and other content are to be put on spans."""
    return _mode is Content.FULL


def is_wanted() -> bool:
    """Whether instrumentations are to record content at all: what may leave the process is decided at its export."""
    return _mode is not Content.OFF


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
