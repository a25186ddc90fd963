"""The line between clew and the code it watches: clew's own failures are logged once and never get across it."""

from __future__ import annotations

import logging

_logger = logging.getLogger("clew")
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
    kind = (doing, type(error))
    if kind not in _reported:
        _reported.add(kind)
        _logger.warning(
            "clew failed while %s; the programme goes on, its record may lack something. Logged once.",
            doing,
            exc_info=error,
        )


def warn_once(about: str, message: str, *args: object) -> None:
    """Logs a warning the first time `about` is seen, for what the user should mend."""
    kind = (about, Warning)
    if kind not in _reported:
        _reported.add(kind)
        _logger.warning(message, *args)
