"""Ended spans that wait to be sent: a queue with bounds, of which the oldest spans go first where there is no room.

It takes no lock, for the reasons that `queue` gives.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from clew._export.counter import Counter
from clew._export.size import MAX_REQUEST_BYTES, memory

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from clew._export.limits import Limits


class Waiting:
    """The spans that wait, in the order they ended.

    Args:
        limits: How many of them, and of which size, may wait, and be in a request.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._spans: deque[tuple[ReadableSpan, int]] = deque()
        self._bytes = 0  # about: threads that end spans at the same time may lose an addition
        self.no_room = Counter()
        """Spans that were dropped, or not even taken."""

    def __len__(self) -> int:
        """How many wait."""
        return len(self._spans)

    def put(self, span: ReadableSpan) -> bool:
        """Takes a span; returns whether there are enough for a request now."""
        size = memory(span)
        self._spans.append((span, size))
        self._bytes += size
        waiting, limits = len(self._spans), self._limits
        if waiting > limits.queue_spans or self._bytes > limits.queue_bytes:
            self._make_room()
        return waiting >= limits.batch_spans or self._bytes >= MAX_REQUEST_BYTES

    def _make_room(self) -> None:
        while len(self._spans) > self._limits.queue_spans or self._bytes > self._limits.queue_bytes:
            try:
                _, size = self._spans.popleft()
            except IndexError:
                self._bytes = 0
                return
            self._bytes -= size
            self.no_room.add()

    def next(self) -> list[ReadableSpan]:
        """As many as a request may have, or hold; none where none wait. They are beyond the queue's bounds then."""
        taken: list[ReadableSpan] = []
        size = 0
        while len(taken) < self._limits.batch_spans and size < MAX_REQUEST_BYTES:
            try:
                span, span_size = self._spans.popleft()
            except IndexError:
                self._bytes = 0
                break
            self._bytes -= span_size
            size += span_size
            taken.append(span)
        return taken

    def clear(self) -> None:
        """Forgets them."""
        self._spans.clear()
