"""What can go wrong in the processor, as its callers see it.

ClewError
├── ConfigError        a setting is wrong; the processor does not start
├── DialectError       a dialect's table is wrong; the processor does not start
├── StartError         an address or directory cannot be had; the processor does not start
├── StoreError         the store did not take an insert (see `write.trouble.StoreFault` for whose fault that was)
├── Stopped            the processor is leaving: what was begun will be done again after its next start
└── Refused            a request is not taken (see `RefusalKind` for what the sender should do)
"""

from __future__ import annotations

from enum import Enum


class ClewError(Exception):
    """Base of every error the processor raises on purpose."""


class ConfigError(ClewError):
    """A setting is wrong. The message names the key, the value and what is allowed."""


class DialectError(ClewError):
    """A dialect's table is wrong. The message names the file, the place in it and what is expected."""


class StartError(ClewError):
    """Something the processor needs at start (a port, a directory, the store) is not to be had."""


class StoreError(ClewError):
    """The store did not confirm an insert. What was acknowledged is in the spool."""


class Stopped(ClewError):  # noqa: N818 - it is an order, not a fault
    """The processor is leaving: work that would wait is let go, and done again after the next start."""


class RefusalKind(Enum):
    """Why a request is refused; the receivers map it to a gRPC and an HTTP code."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNAVAILABLE = "unavailable"


class Refused(ClewError):  # noqa: N818 - it is an answer, not a fault
    """A request that is not taken.

    Attributes:
        kind: what the sender should make of it.
    """

    def __init__(self, kind: RefusalKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
