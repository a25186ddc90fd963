"""One text, as it may leave the process, and what reduced values are put together with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from clew._content import Content
from clew._content.hashing import canonical, mark, told

DEPTH = 12
"""Deepest nesting that is looked into; what is deeper is one text."""
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}+")
"""What the name of a member looks like."""


def leaf_of(value: Any, mode: Content) -> Any:
    """A text, or a value as one text: itself, its mark, or None."""
    if mode is Content.FULL or value is None or value == "":
        return value
    return mark(canonical(value)) if mode is Content.HASHED else None


def put(kept: dict[str, Any], name: str, value: Any) -> None:
    """Puts what is left of a member in its place."""
    if value is not None:
        kept[name] = value


def written(shape: Any) -> str:
    """The shape as JSON text."""
    return json.dumps(shape, ensure_ascii=False, separators=(",", ":"))


def is_list(value: Any) -> bool:
    """Whether it has items; texts and bytes count as one value."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


def safe_name(name: Any, mode: Content) -> str:
    """A member's name, which may be content as well."""
    text = str(name)
    if mode is Content.FULL or KEY.fullmatch(text):
        return text
    return mark(text) if mode is Content.HASHED else "other"


def unwrapped(value: Any, depth: int = 4) -> Any:
    """What a tool gave back, where this is only its wrapping: a list of one text, `{"result": ...}`, a text part.

    The same wrappings as the processor takes off, so that a result in a message and on the tool's span are equal.
    """
    document = told(value) if isinstance(value, str) else value
    if isinstance(document, str):
        return document
    inner: Any = None
    if is_list(document) and len(document) == 1 and isinstance(document[0], Mapping):
        only = document[0]
        inner = only.get("json") if set(only) == {"json"} else _text_of(only)
    elif isinstance(document, Mapping):
        if len(document) == 1:
            inner = document.get("result", document.get("output"))
        elif set(document) == {"type", "value"}:
            inner = document["value"]
        inner = _text_of(document) if inner is None else inner
    return value if inner is None or not depth else unwrapped(inner, depth - 1)


def _text_of(part: Mapping[Any, Any]) -> Any:
    if set(part) == {"text"} or (part.get("type") == "text" and len(part) == 2):
        text = part.get("text", part.get("content"))
        return text if isinstance(text, str) else None
    return None
