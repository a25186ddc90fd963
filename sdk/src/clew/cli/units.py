"""Numbers as people read them: money, counts, durations."""

from __future__ import annotations

import re
from decimal import Decimal

#: Seconds in each unit that a span of time may be given in.
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

NANOS = 1_000_000_000


def seconds(text: str) -> int:
    """``90s``, ``15m``, ``1h``, ``7d``, ``2w`` as seconds.

    Raises:
        ValueError: the text is none of these; the message says what is allowed.
    """
    match = re.fullmatch(r"([0-9]{1,6})([smhdw])", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a span of time: write a number and s, m, h, d or w, such as 90s, 1h or 7d")
    return int(match[1]) * SECONDS[match[2]]


def money(usd: Decimal) -> str:
    """Dollars to the millionth, so that columns of them align: ``$0.001234``; less than that says so."""
    if 0 < usd < Decimal("0.0000005"):
        return "<$0.000001"
    return f"${usd:,.6f}"


def money_exact(usd: Decimal) -> str:
    """Dollars to the last digit that is not zero, two decimals at least: ``$1.20``, ``$0.000000375``."""
    whole, _, cents = f"{usd:,.9f}".partition(".")
    return f"${whole}.{cents.rstrip('0').ljust(2, '0')}"


def count(number: int) -> str:
    """At most five characters: ``950``, ``12.3k``, ``1.23M``."""
    if number < 1000:
        return str(number)
    value = float(number)
    for suffix in "kMGT":
        value /= 1000
        if value < 999.5 or suffix == "T":
            break
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}{suffix}"


def duration(nanos: int) -> str:
    """At most six characters: ``812ms``, ``1.23s``, ``3m05s``, ``1h02m``, ``2d03h``."""
    if 0 < nanos < 1_000_000:
        return f"{nanos / 1e3:.0f}µs"
    if nanos < NANOS:
        millis = nanos / 1e6
        return f"{millis:.0f}ms" if millis >= 10 or millis == 0 else f"{millis:.1f}ms"
    if nanos < 60 * NANOS:
        return f"{nanos / 1e9:.2f}s" if nanos < 10 * NANOS else f"{nanos / 1e9:.1f}s"
    whole = nanos // NANOS
    big, small = ("m", "s") if whole < 3600 else ("h", "m") if whole < 86_400 else ("d", "h")
    return f"{whole // SECONDS[big]}{big}{whole % SECONDS[big] // SECONDS[small]:02d}{small}"


def age(secs: float) -> str:
    """How long ago, roughly: ``12s``, ``3m``, ``2h``, ``5d``."""
    secs = max(0, int(secs))
    for unit, limit in (("s", 60), ("m", 3600), ("h", 86_400)):
        if secs < limit:
            return f"{secs // SECONDS[unit]}{unit}"
    return f"{secs // SECONDS['d']}d"


def timestamp(nanos: int) -> str:
    """Nanoseconds since 1970 as ``2026-01-02T03:04:05.123456789Z``, without trailing zeros of the fraction."""
    from datetime import UTC, datetime

    whole, fraction = divmod(nanos, NANOS)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"
