"""The line between clew and the code it watches: clew's own failures are logged once and never get across it."""

from __future__ import annotations

import logging
from contextlib import suppress

_logger = logging.getLogger("clew")
_MOST_KINDS = 1000
"""Kinds of trouble that are logged in one process: words that a programme makes up would fill memory and log."""
_reported: set[tuple[str, type[BaseException]]] = set()

strict = False
"""Raise instead of logging. Switched on by clew's own tests, so that no failure hides there."""


def failed(doing: str, error: Exception) -> None:
    """Notes that clew failed at something; to be called where the exception was caught.

    Args:
        doing: What clew was doing, as it reads after "while". Each (doing, type of error) is logged once.
        error: What went wrong.

    Raises:
        Exception: `error` itself, only while `strict` is set.
    """
    if strict:
        raise error
    if _is_first((doing, type(error))):
        _log(
            "clew failed while %s; the programme goes on, its record may lack something. Logged once.",
            doing,
            error=error,
        )


def warn_once(about: str, message: str, *args: object) -> None:
    """Logs a warning the first time `about` is seen, for what the user should mend."""
    if _is_first((about, Warning)):
        _log(message, *args)


def as_text(value: object) -> str:
    """Any value for a message of clew's, shortened; its own `__repr__` may do anything."""
    try:
        return repr(value)[:200]
    except Exception:
        return f"<{type(value).__name__}>"


def _is_first(kind: tuple[str, type[BaseException]]) -> bool:
    if kind in _reported or len(_reported) >= _MOST_KINDS:
        return False
    _reported.add(kind)
    return True


def _log(message: str, *args: object, error: Exception | None = None) -> None:
    with suppress(Exception):  # a filter or handler of the programme's, or no stack left: there is nobody to tell
        _logger.warning(message, *args, exc_info=error)
