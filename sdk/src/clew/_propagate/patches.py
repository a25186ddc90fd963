"""Changing functions of other libraries, and changing them back."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_MARK = "_clew_patch"
_applied: list[tuple[Any, str, Any, Any]] = []


def patch(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replaces a function of a class or module by what `make` makes of it; where it is missing or done, does nothing.

    Args:
        owner: The class or module.
        name: The function's name there.
        make: Takes the function and gives the one to put in its place. It must call the former one, whatever happens.
    """
    original = getattr(owner, name, None)
    if original is None or hasattr(original, _MARK):  # somebody else's wrapper around ours has the mark as well
        return
    replacement = wraps(original)(make(original))
    setattr(replacement, _MARK, True)
    setattr(owner, name, replacement)
    _applied.append((owner, name, original, replacement))


def undo_all() -> None:
    """Puts back what `patch` replaced, except what somebody else has replaced since."""
    while _applied:
        owner, name, original, replacement = _applied.pop()
        if getattr(owner, name, None) is replacement:
            setattr(owner, name, original)
