"""Words users pass that must come from a fixed list."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

from clew import _guard

if TYPE_CHECKING:
    from collections.abc import Collection

T = TypeVar("T")


def known(what: str, word: str, allowed: Collection[str], *, otherwise: T) -> str | T:
    """The word if it is allowed; else `otherwise`, and a warning the first time that names what is allowed."""
    try:
        if isinstance(word, str) and word in allowed:
            return word
    except Exception:  # noqa: S110  # anything may be passed; `suppress` would cost more than the rest
        pass
    given = _guard.as_text(word)
    _guard.warn_once(
        f"{what} {given}",
        "%s %s is not known and is not recorded as such%s. Allowed: %s.",
        what,
        given,
        suggestion(given.strip("'"), allowed),
        ", ".join(sorted(allowed)),
    )
    return otherwise


def as_name(given: object, otherwise: str) -> str:
    """What somebody gave as a name, as text; `otherwise` where it is nothing, or has no text."""
    try:
        return otherwise if given is None else str(given) or otherwise
    except Exception as error:
        _guard.failed("reading a name", error)
        return otherwise


def suggestion(word: str, allowed: Collection[str]) -> str:
    """` (did you mean 'nearest'?)`, or nothing where no allowed word is near."""
    near = get_close_matches(word, sorted(allowed), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""
