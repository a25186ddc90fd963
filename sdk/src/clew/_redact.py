"""Redaction of one value: text, JSON in text, or structured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from clew._secrets import PERSONAL, SECRET_FIELDS, SECRETS, Rule, card_length

_CACHED_CHARACTERS = 4096
"""Longer texts are not kept in the cache: with 512 entries it holds 2 million characters at most."""
_ALL = SECRETS + PERSONAL
_SECRET_FIELD_PARTS = ("passw", "pwd", "secret", "key", "token", "authorization", "cookie")
"""Every name in `SECRET_FIELDS` holds one of these."""
_FIELD = "[REDACTED:secret_field]"


def redact(value: Any, *, personal: bool) -> Any:
    """The value without secrets, and without personal data if `personal`; the same object if there were none.

    JSON text stays valid JSON: it is parsed, redacted inside, JSON within its strings too, and written again.

    Args:
        value: A value of an OpenTelemetry attribute: text, numbers, sequences, mappings, bytes (left alone).
        personal: Whether to look for personal data, and for secrets by the name of their field.
    """
    if isinstance(value, str):
        return redact_text(value, personal=personal)
    if isinstance(value, Mapping):
        return _fields(value, personal=personal)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        items = [redact(item, personal=personal) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if personal and type(value) is int and card_length(str(value)):
        return "[REDACTED:card_number]"
    return value


def redact_text(text: str, *, personal: bool) -> str:
    """`redact` for text."""
    if len(text) > _CACHED_CHARACTERS:
        return _search(text, personal)
    redacted = _cached(text, personal)
    return text if redacted == text else redacted  # the cache returns the first of several equal texts


def _search(text: str, personal: bool) -> str:
    lowered = text.lower()
    rules = [rule for rule in (_ALL if personal else SECRETS) if rule.may_match(text, lowered)]
    if not rules and not (personal and _names_secret_field(lowered)):
        return text
    if text.lstrip()[:1] in ("{", "["):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):  # looks like JSON and is none: text
            pass
        else:
            return _json(text, document, personal)
    return _apply(rules, text)


_cached = lru_cache(maxsize=512)(_search)


def _apply(rules: list[Rule], text: str) -> str:
    redacted = text
    for rule in rules:
        redacted = rule.redact(redacted)
    return text if redacted == text else redacted


def _json(text: str, document: Any, personal: bool) -> str:
    redacted = redact(document, personal=personal)
    if redacted is document:
        return text
    separators = (", ", ": ") if '": ' in text else (",", ":")  # as it came, so that its other parts keep their bytes
    return json.dumps(redacted, ensure_ascii=text.isascii(), separators=separators)


def _fields(fields: Mapping[Any, Any], *, personal: bool) -> Mapping[Any, Any]:
    redacted = {}
    changed = False
    for name, value in fields.items():
        new_name = redact(name, personal=personal)
        if personal and isinstance(value, str) and value and str(name).lower() in SECRET_FIELDS:
            new_value: Any = value if value.startswith("[REDACTED:") else _FIELD
        else:
            new_value = redact(value, personal=personal)
        changed = changed or new_name is not name or new_value is not value
        redacted[new_name] = new_value
    return redacted if changed else fields


def _names_secret_field(lowered: str) -> bool:
    return any(part in lowered for part in _SECRET_FIELD_PARTS)
