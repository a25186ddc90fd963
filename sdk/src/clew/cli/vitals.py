"""The processor's own numbers (`/metrics`), for `clew doctor`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

_LINE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_TIMEOUT_S = 5.0
_FATES = ("stored", "sampled_out", "rejected", "dead_letter")


@dataclass(frozen=True)
class Vitals:
    """One reading.

    Attributes:
        received: spans since the processor started, those it found in its spool included.
        settled: of those stored, sampled out, rejected or dead letters.
        in_flight: of those acknowledged and not settled.
        spool_bytes: on disk.
        lag_s: how long the oldest request at hand has waited for the store.
        trouble: whether the store takes no inserts.
    """

    received: int
    settled: int
    in_flight: int
    spool_bytes: int
    lag_s: float
    trouble: bool


def read(address: str) -> Vitals:
    """What the processor at an address says of itself.

    Args:
        address: of its HTTP port, HOST:PORT or a URL.

    Raises:
        ConnectionError: no clew processor answers there; the message says why.
    """
    url = address if "://" in address else f"http://{address}"
    if not url.startswith(("http://", "https://")):
        raise ConnectionError(f"{address!r} is no address: write HOST:PORT")
    try:
        request = Request(f"{url.rstrip('/')}/metrics")  # noqa: S310 - checked above
        with build_opener(ProxyHandler({})).open(request, timeout=_TIMEOUT_S) as answer:
            text = answer.read().decode("utf-8", "replace")
    except (URLError, OSError, ValueError) as error:
        cause = error.reason if isinstance(error, URLError) else error
        raise ConnectionError(str(getattr(cause, "strerror", None) or cause)) from error
    numbers: dict[tuple[str, str], float] = {}
    for line in text.splitlines():
        if found := _LINE.fullmatch(line):
            outcome = re.search(r'outcome="(\w+)"', found[2] or "")
            key = found[1], outcome[1] if outcome else ""
            numbers[key] = numbers.get(key, 0) + float(found[3])
    if ("clew_spans_in_flight", "") not in numbers:
        raise ConnectionError("what answers there is no clew processor")
    return Vitals(
        received=int(numbers.get(("clew_spans_total", "received"), 0)),
        settled=int(sum(numbers.get(("clew_spans_total", fate), 0) for fate in _FATES)),
        in_flight=int(numbers["clew_spans_in_flight", ""]),
        spool_bytes=int(numbers.get(("clew_spool_bytes", ""), 0)),
        lag_s=numbers.get(("clew_store_lag_seconds", ""), 0.0),
        trouble=bool(numbers.get(("clew_store_trouble", ""), 0)),
    )
