"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes

# Parameters of mallopt(3), from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 256 * 1024 * 1024
_NEVER_MAPPED_BYTES = 1024 * 1024 * 1024


def keep_freed() -> None:
    """Keeps what is freed for the next batch instead of giving it back. Call it before there are threads.

    A batch takes some tens of MB and frees them. Given back to the system and fetched again, page by page, that cost
    4 us a span of 4 kB. One arena, because others are given back whole whatever the thresholds say. Other C libraries
    than glibc have no such call, and are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, _NEVER_MAPPED_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
