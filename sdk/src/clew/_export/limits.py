"""How much waits in the queue, and for how long."""

from __future__ import annotations

import os
from typing import NamedTuple

from clew import _guard


class Limits(NamedTuple):
    """The batch processor's standard settings, and one of clew's own."""

    queue_spans: int
    """`OTEL_BSP_MAX_QUEUE_SIZE`: spans waiting at most; beyond it the oldest are dropped, roots end last."""
    batch_spans: int
    """`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`: spans in one request at most."""
    delay_s: float
    """`OTEL_BSP_SCHEDULE_DELAY`, in seconds: how long a span waits for others."""
    queue_bytes: int = 64 * 1024 * 1024
    """`CLEW_QUEUE_BYTES`: memory that waiting spans take at most, about; the oldest are dropped as well."""

    @classmethod
    def from_environment(cls) -> Limits:
        """The limits in force; a value that is no positive number is reported and replaced by its default."""
        return cls(
            queue_spans=_positive("OTEL_BSP_MAX_QUEUE_SIZE", 2048),
            batch_spans=_positive("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512),
            # The standard says 5 s; a run should be seen while it goes on.
            delay_s=_positive("OTEL_BSP_SCHEDULE_DELAY", 1000) / 1000,
            queue_bytes=_positive("CLEW_QUEUE_BYTES", cls._field_defaults["queue_bytes"]),
        )


def _positive(variable: str, default: int) -> int:
    value = os.environ.get(variable, "")
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number <= 0:
        _guard.warn_once(variable, "%s=%r is not a positive whole number; using %d.", variable, value, default)
        return default
    return number
