"""A count that any thread may raise at any time, a finaliser or signal handler in the middle of another raise too."""

from __future__ import annotations

import threading
from itertools import count


class Counter:
    """Counts without a lock: `next` on an `itertools.count` is one step of the interpreter."""

    __slots__ = ("_count", "_lock", "_reads", "add")

    def __init__(self) -> None:
        self._count = count()
        self._reads = 0
        self._lock = threading.Lock()
        self.add = self._count.__next__
        """Raises the count by one; what it returns means nothing."""

    @property
    def value(self) -> int:
        """How often `add` was called."""
        with self._lock:  # reading counts too, so readers take turns
            value = next(self._count) - self._reads
            self._reads += 1
        return value
