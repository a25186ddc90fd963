"""A clock for tests: it stands still until it is told to go on."""

from __future__ import annotations

from datetime import UTC, datetime

_START_NS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000


class Clock:
    """The time spans are stamped with, and gates wait by. It starts at midnight of 1 January 2026, UTC.

    It stands still, so that times are the same in every run, whatever threads do.
    """

    def __init__(self) -> None:
        self._passed_ns = 0

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._passed_ns += round(seconds * 1_000_000_000)

    def time_ns(self) -> int:
        """Nanoseconds since 1970, as `time.time_ns`."""
        return _START_NS + self._passed_ns

    def monotonic(self) -> float:
        """Seconds since the recording began, as `time.monotonic`."""
        return self._passed_ns / 1_000_000_000

    def since_start_s(self, time_ns: int) -> float:
        """A time of this clock as seconds since the recording began."""
        return (time_ns - _START_NS) / 1_000_000_000
