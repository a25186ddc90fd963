"""Redaction of one value: text, JSON in text, or structured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from clew._content.secrets import PERSONAL, SECRET_FIELDS, SECRETS, Rule, card_length

_CACHED_CHARACTERS = 4096
"""Longer texts are not kept in the cache: with 512 entries it holds 2 million characters at most."""
_SECRET_FIELD_PARTS = ("passw", "pwd", "secret", "key", "token", "authorization", "cookie")
"""Every name in `SECRET_FIELDS` holds one of these."""
_FIELD = "[REDACTED:secret_field]"


class Redactor:
    """Replaces secrets, personal data, and what own rules find.

    Args:
        own: Rules beside the built-in ones, for every text.
    """

    def __init__(self, own: tuple[Rule, ...] = ()) -> None:
        self._secrets = SECRETS + own
        self._all = SECRETS + PERSONAL + own
        self._cached = lru_cache(maxsize=512)(self.search)

    def redact(self, value: Any, *, personal: bool) -> Any:
        """The value without secrets, and without personal data if `personal`; the same object if there were none.

        JSON text stays valid JSON: it is parsed, redacted inside, JSON within its strings too, and written again.

        Args:
            value: A value of an OpenTelemetry attribute: text, numbers, sequences, mappings, bytes (left alone).
            personal: Whether to look for personal data.
        """
        if isinstance(value, str):
            return self.text(value, personal=personal)
        if isinstance(value, Mapping):
            return self._fields(value, personal=personal)
        if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
            items = [self.redact(item, personal=personal) for item in value]
            for place, flag in enumerate(value[:-1]):
                if isinstance(flag, str) and isinstance(value[place + 1], str) and _is_secret_flag(flag):
                    items[place + 1] = _FIELD
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        if personal and type(value) is int and card_length(str(value)):
            return "[REDACTED:card_number]"
        return value

    def text(self, text: str, *, personal: bool) -> str:
        """`redact` for text."""
        if len(text) > _CACHED_CHARACTERS:
            return self.search(text, personal)
        redacted = self._cached(text, personal)
        return text if redacted == text else redacted  # the cache returns the first of several equal texts

    def field(self, name: str, value: Any) -> Any:
        """What stands in a field of this name: nothing of a secret, else the value."""
        if isinstance(value, str) and value and name.lower() in SECRET_FIELDS:
            return value if value.startswith("[REDACTED:") else _FIELD
        return value

    def search(self, text: str, personal: bool) -> str:
        """`text`, past the cache."""
        lowered = text.lower()
        rules = [rule for rule in (self._all if personal else self._secrets) if rule.may_match(text, lowered)]
        if not rules and not _names_secret_field(lowered):
            return text
        if text.lstrip()[:1] in ("{", "["):
            try:
                return self._json(text, json.loads(text), personal=personal)
            except (ValueError, RecursionError):  # looks like JSON and is none, or nests too deep: text
                pass
        return _apply(rules, text)

    def _json(self, text: str, document: Any, *, personal: bool) -> str:
        redacted = self.redact(document, personal=personal)
        if redacted is document:
            return text
        separators = (
            (", ", ": ") if '": ' in text else (",", ":")
        )  # as it came, so that its other parts keep their bytes
        return json.dumps(redacted, ensure_ascii=text.isascii(), separators=separators)

    def _fields(self, fields: Mapping[Any, Any], *, personal: bool) -> Mapping[Any, Any]:
        redacted = {}
        changed = False
        for name, value in fields.items():
            new_name = self.redact(name, personal=personal)
            new_value = self.field(str(name), value)
            if new_value is value:
                new_value = self.redact(value, personal=personal)
            changed = changed or new_name is not name or new_value is not value
            redacted[new_name] = new_value
        return redacted if changed else fields


def _apply(rules: list[Rule], text: str) -> str:
    redacted = text
    for rule in rules:
        redacted = rule.redact(redacted)
    return text if redacted == text else redacted


def _names_secret_field(lowered: str) -> bool:
    return any(part in lowered for part in _SECRET_FIELD_PARTS)


def _is_secret_flag(text: str) -> bool:
    """Whether the argument of a command says that the next one is a secret: `--api-key`."""
    return text.startswith("-") and text.lstrip("-").lower().replace("-", "_") in SECRET_FIELDS | {"token"}
