"""What clew raises. Nothing here is ever raised while an agent works, only where it is set up.

ClewError
└── SettingError    a setting has a value that is not allowed
"""

from __future__ import annotations


class ClewError(Exception):
    """Base of every exception of clew."""


class SettingError(ClewError):
    """A setting has a value that is not allowed; the message names the setting, the value and what is allowed."""
