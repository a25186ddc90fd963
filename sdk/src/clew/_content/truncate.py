"""Text that is too long, cut: JSON stays JSON, and what is missing is told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from clew._content.hashing import digest, parsed

_MARK_BYTES = 100
"""Length of a mark, at most."""
_SMALLEST = 2 * _MARK_BYTES


def size(value: Any) -> int:
    """Bytes of text in a value, in UTF-8; numbers count 8."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
    if isinstance(value, (bytes, bytearray)):
        return len(value)
    if isinstance(value, Mapping):
        return sum(size(name) + size(item) for name, item in value.items())
    if isinstance(value, Sequence):
        return sum(map(size, value))
    return 8


def cut(value: Any, limit: int) -> Any:
    """The value with no more than `limit` bytes of text; the same object where it has no more.

    Of JSON the longest strings inside are cut, so that it keeps its shape; of other text the end. In place of what is
    missing stands `<TRUNCATED:<missing> characters:<missing> bytes:<hash>>`, with a keyed hash of the whole text: what
    differs only after the cut is still seen to differ.
    """
    if size(value) <= limit:
        return value
    if isinstance(value, str):
        document = parsed(value)
        if document is not None:
            shorter = _cut_inside(document, limit, lambda inner: len(_written(inner).encode("utf-8", "replace")))
            if shorter is not None:
                return _written(shorter)
        return cut_text(value, limit)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value[:limit])
    shorter = _cut_inside(value, limit, size)
    return cut_text(_written(_plain(value)), limit) if shorter is None else shorter


def level(sizes: Sequence[int], limit: int) -> int:
    """How long each of some texts may be so that together they are no longer than `limit`."""
    left, count = limit, len(sizes)
    for number, one in enumerate(sorted(sizes)):
        share = left // (count - number)
        if one > share:
            return share
        left -= one
    return limit


def _cut_inside(document: Any, limit: int, measure: Any) -> Any:
    """A document whose strings are cut until it is short enough; None where that is not to be had."""
    strings: list[int] = []
    _collect(document, strings)
    budget = limit - max(measure(document) - sum(strings), 0)
    for _ in range(4):  # what is escaped takes more room than it measures
        each = level(strings, budget)
        if each < _SMALLEST:
            return None
        shorter = _shortened(document, each)
        over = measure(shorter) - limit
        if over <= 0:
            return shorter
        budget -= max(over, budget // 8)
    return None


def _collect(value: Any, strings: list[int]) -> None:
    if isinstance(value, str):
        strings.append(size(value))
    elif isinstance(value, Mapping):
        for item in value.values():
            _collect(item, strings)
    elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        for item in value:
            _collect(item, strings)


def _shortened(value: Any, limit: int) -> Any:
    if isinstance(value, str):
        return value if size(value) <= limit else cut_text(value, limit)
    if isinstance(value, Mapping):
        return {name: _shortened(item, limit) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_shortened(item, limit) for item in value]
    return value


def cut_text(text: str, limit: int) -> str:
    """The beginning of the text, and the mark of what is missing; of a text that was cut before, all in one mark."""
    missing_characters = missing_bytes = 0
    whole = ""
    if (before := _MARK.search(text, max(len(text) - _MARK_BYTES, 0))) is not None:
        missing_characters, missing_bytes, whole = int(before[1]), int(before[2]), before[3]
        text = text[: before.start()]
    data = text.encode("utf-8", "replace")
    kept = data[: max(limit - _MARK_BYTES, 0)].decode("utf-8", "ignore")  # no half character at the end
    missing_characters += len(text) - len(kept)
    missing_bytes += len(data) - len(kept.encode())
    return f"{kept}<TRUNCATED:{missing_characters} characters:{missing_bytes} bytes:{whole or digest(data)}>"


_MARK = re.compile(r"<TRUNCATED:([0-9]{1,15}+) characters:([0-9]{1,15}+) bytes:([0-9a-f]{32})>\Z")


def _written(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
