"""Finding calls that two instrumentations may have seen side by side: candidates of `same`, by what they agree in."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import clew_kernel
import numpy as np

from clew_processor.enrich.lookup import mixed
from clew_processor.enrich.remembered import EMBEDDINGS, TOOL
from clew_processor.enrich.same import CROWD, ENDS_APART_NS, SLOT_BITS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from clew_processor.enrich.lookup import Keys
    from clew_processor.enrich.remembered import Calls

_FAILED = np.uint64(2**64 - 1)


class Agreeing(NamedTuple):
    """Columns of some calls; see `remembered.Calls`."""

    number: NDArray[np.int64]
    common: Keys
    within: Keys
    end_ns: NDArray[np.int64]
    root: NDArray[np.uint8]


def common_keys(
    tenant: Keys,
    kind: NDArray[np.int8],
    tokens: NDArray[np.integer],
    answered: NDArray[np.bool_],
    error: NDArray[np.bool_],
) -> Keys:
    """What calls that are the same have in common, as far as all instrumentations know it; 0 where that is nothing.

    That is tokens out (of embeddings, in), or failure. How many tokens went in not every instrumentation knows.
    """
    telling = np.where(kind == EMBEDDINGS, tokens[:, 0], tokens[:, 1])
    failed = error & ~answered
    there = (kind != TOOL) & (failed | (answered & (telling > 0) & ~error))
    what = np.where(failed, _FAILED, telling.astype(np.uint64))
    return np.where(there, mixed(tenant ^ kind.astype(np.uint64), what), np.uint64(0))


class Beside:
    """Finds remembered calls by what they agree in and about when they ended.

    A copy stands in the same run, or one of the two in a trace of its own. Nothing is kept while no service has calls
    of two instrumentations, or all calls have response ids: then there can be no such copies.
    """

    def __init__(self) -> None:
        self._seen_by: Counter[tuple[str, str]] = Counter()  # service and instrumentation -> pieces with calls of it
        self._without_id = 0
        self._calls: clew_kernel.Beside | None = None

    @property
    def active(self) -> bool:
        """May there be any?"""
        return self._calls is not None

    def count(self, calls: Calls, sign: int) -> None:
        """Some calls are remembered now (1), or no longer (-1)."""
        for one in {(work.service, work.instrumentation) for work in calls.works if work.op != "execute_tool"}:
            self._seen_by[one] += sign
            if not self._seen_by[one]:
                del self._seen_by[one]
        without_id = (calls.common != 0) & (calls.response == 0)
        self._without_id += sign * int(np.count_nonzero(without_id))

    def related(self, calls: Calls, earlier: Iterable[Calls]) -> list[NDArray[np.int64]]:
        """Takes note of new calls. Returns the numbers of those that agree with others, and of these.

        Args:
            calls: the new ones.
            earlier: all that are remembered beside them.
        """
        services = Counter(service for service, _ in self._seen_by)
        if not self._without_id or max(services.values(), default=0) < 2:
            self._calls = None
            return []
        if self._calls is None:
            earlier = list(earlier)
            first = earlier[0].base if earlier else calls.base
            self._calls = clew_kernel.Beside(first, slot_bits=SLOT_BITS, apart_ns=ENDS_APART_NS, crowd=CROWD)
            for part in earlier:
                self._calls.add(agreeing(part))
        return [np.frombuffer(self._calls.add(agreeing(calls)), np.int64)]

    def others(self, some: Agreeing) -> list[NDArray[np.int64]]:
        """Numbers of the calls that agree with some."""
        return [] if self._calls is None else [np.frombuffer(self._calls.find(some), np.int64)]

    def without_crowds(self, some: Agreeing) -> tuple[Keys, Keys]:
        """`common` and `within`, 0 where so many agree that nothing can be told by it."""
        if self._calls is None:
            return np.zeros_like(some.common), np.zeros_like(some.within)
        common, within = self._calls.without_crowds(some)
        return np.frombuffer(common, np.uint64), np.frombuffer(within, np.uint64)

    def forget(self, oldest: int) -> None:
        """Forgets the calls before this number."""
        if self._calls is not None:
            self._calls.forget(oldest)

    def restart(self) -> None:
        """Forgets all."""
        self._seen_by.clear()
        self._without_id = 0
        self._calls = None


def agreeing(calls: Calls) -> Agreeing:
    """All of some calls."""
    numbers = np.arange(calls.base, calls.base + calls.rows)
    return Agreeing(numbers, calls.common, calls.within, calls.end_ns, (calls.parent == 0).view(np.uint8))
