"""Time and forgetting, for whatever is remembered between batches.

Everything is forgotten by the time batches arrived at, never by the wall: a replay forgets the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clew_processor.enrich.lookup import KeySet

if TYPE_CHECKING:
    import clew_kernel
    from numpy.typing import NDArray

    from clew_processor.enrich.lookup import Keys

JITTER_NS = 60 * 10**9
"""A batch may be older than the one before by so much without the clock having been set back."""


class ArrivalClock:
    """How much time has gone by between batches, in ns. It never goes back, whatever arrival times do.

    A clock that was set back stands still for that batch and goes on from there; one that was set forward is time gone
    by. So what was seen under a wrong clock is forgotten as everything else is, and nothing is kept for ever.
    """

    def __init__(self) -> None:
        self.now = 0
        self._arrival_ns: int | None = None

    def advance(self, arrival_ns: int) -> int:
        """The time at a batch or tick that arrived then (Unix ns)."""
        if self._arrival_ns is None or arrival_ns < self._arrival_ns - JITTER_NS:
            self._arrival_ns = arrival_ns
        elif arrival_ns > self._arrival_ns:
            self.now += arrival_ns - self._arrival_ns
            self._arrival_ns = arrival_ns
        return self.now

    def state(self) -> tuple[int, int | None]:
        """What it remembers."""
        return self.now, self._arrival_ns

    def restore(self, state: tuple[int, int | None]) -> None:
        """Goes on from there."""
        self.now, self._arrival_ns = state


class Recent:
    """Numbers seen lately, in two generations: a number is remembered while its generation or the next one fills."""

    def __init__(self, *, size: int, keep_s: float) -> None:
        """Remembers nothing yet.

        Args:
            size: numbers in a generation at most, but for those that come together; twice that are remembered.
            keep_s: a number is remembered for so long at least, unless there are too many, and twice as long at most
                (as `forget` tells the time).
        """
        self._size = size
        self._keep_ns = int(keep_s * 1e9)
        self._young, self._old = KeySet(), KeySet()
        self._since = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def among(self, keys: Keys) -> NDArray[np.bool_]:
        """For each of the keys: is it remembered?"""
        return self._young.among(keys) | self._old.among(keys)

    @property
    def generations(self) -> list[clew_kernel.KeySet]:
        """What is remembered, for the kernel."""
        return [self._young.kernel, self._old.kernel]

    def add(self, keys: Keys) -> None:
        """Remembers them."""
        self._young.add(keys)
        if len(self._young) > self._size:
            self._turn()

    def forget(self, now: int) -> None:
        """Tells it the time (`ArrivalClock`)."""
        while self._since + self._keep_ns <= now and len(self):
            self._turn()
            self._since += self._keep_ns
        if not len(self):
            self._since = now

    def state(self) -> tuple[Keys, Keys, int]:
        """What it remembers."""
        return self._young.sorted, self._old.sorted, self._since

    def restore(self, state: tuple[Keys, Keys, int]) -> None:
        """Remembers that instead."""
        young, old, self._since = state
        self._young, self._old = KeySet(young), KeySet(old)

    def _turn(self) -> None:
        self._old, self._young = self._young, KeySet()


class Tally:
    """How often numbers were seen lately: never, once, or more often."""

    def __init__(self, *, size: int, keep_s: float) -> None:
        """None was seen yet.

        Args:
            size: numbers in a generation at most, as of `Recent`.
            keep_s: a number is remembered for so long, as by `Recent`.
        """
        self._once, self._often = (Recent(size=size, keep_s=keep_s) for _ in range(2))

    def add(self, keys: Keys, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts some more.

        Args:
            keys: distinct numbers.
            counts: how often each was seen now, at least once.

        Returns:
            How often each was seen by now; one that was seen more than twice before counts as two.
        """
        total: NDArray[np.int64] = counts + np.where(self._often.among(keys), 2, self._once.among(keys))
        self._once.add(keys)
        self._often.add(keys[total > 1])
        return total

    def forget(self, now: int) -> None:
        """Tells it the time (`ArrivalClock`)."""
        self._once.forget(now)
        self._often.forget(now)

    def state(self) -> object:
        """What it remembers."""
        return self._once.state(), self._often.state()

    def restore(self, state: Any) -> None:
        """Remembers that instead."""
        once, often = state
        self._once.restore(once)
        self._often.restore(often)
