"""Finding calls that two instrumentations may have seen side by side: candidates of `same`, by what they agree in."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clew_processor.enrich.lookup import KeyTable, mixed
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
    root: NDArray[np.bool_]


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
        self._tables: tuple[KeyTable, KeyTable, KeyTable] | None = None

    @property
    def active(self) -> bool:
        """May there be any?"""
        return self._tables is not None

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
            self._tables = None
            return []
        if self._tables is None:
            earlier = list(earlier)
            first = earlier[0].base if earlier else calls.base
            self._tables = KeyTable(first), KeyTable(first), KeyTable(first)
            for part in earlier:
                self._add(agreeing(part))
        new = agreeing(calls)
        found = self._find(new, 0)
        found += self._add(new)
        for ends in (-ENDS_APART_NS, ENDS_APART_NS):
            found += self._find(new, ends)
        return found

    def others(self, some: Agreeing) -> list[NDArray[np.int64]]:
        """Numbers of the calls that agree with some."""
        if self._tables is None:
            return []
        return [numbers for ends in (0, -ENDS_APART_NS, ENDS_APART_NS) for numbers in self._find(some, ends)]

    def without_crowds(self, some: Agreeing) -> tuple[Keys, Keys]:
        """`common` and `within`, 0 where so many agree that nothing can be told by it."""
        if self._tables is None:
            return np.zeros_like(some.common), np.zeros_like(some.within)
        slot = some.end_ns >> SLOT_BITS
        told = []
        for table, key in zip(self._tables, (some.within, some.common), strict=False):
            which, _ = table.find(_in_slot(key, slot), most=CROWD)
            told.append(np.where(np.bincount(which, minlength=len(key)) <= CROWD, key, np.uint64(0)))
        return told[1], told[0]

    def forget(self, oldest: int) -> None:
        """Forgets the calls before this number."""
        for table in self._tables or ():
            table.forget(oldest)

    def restart(self) -> None:
        """Forgets all."""
        self._seen_by.clear()
        self._without_id = 0
        self._tables = None

    def _add(self, some: Agreeing) -> list[NDArray[np.int64]]:
        slot = some.end_ns >> SLOT_BITS
        keys = _in_slot(some.common, slot)
        roots = np.where(some.root, keys, np.uint64(0))
        columns = (_in_slot(some.within, slot), keys, roots)
        in_run, everywhere, of_roots = (
            table.add(column) for table, column in zip(self._tables or (), columns, strict=True)
        )
        found = [some.number[in_run]]
        if len(of_roots) or some.root.any():
            with_root = np.isin(keys[everywhere], roots[some.root])
            found.append(some.number[everywhere[with_root]])
        return found

    def _find(self, some: Agreeing, ends: int) -> list[NDArray[np.int64]]:
        if self._tables is None:
            return []
        in_run, everywhere, of_roots = self._tables
        slot = (some.end_ns + ends) >> SLOT_BITS
        moved = (slot != some.end_ns >> SLOT_BITS) | (ends == 0)
        within = _in_slot(np.where(moved, some.within, np.uint64(0)), slot)
        common = _in_slot(np.where(moved, some.common, np.uint64(0)), slot)
        found = []
        for table, keys in (
            (in_run, within),
            (of_roots, common),
            (everywhere, np.where(some.root, common, np.uint64(0))),
        ):
            which, numbers = table.find(keys, most=CROWD)
            few = (np.bincount(which, minlength=len(keys)) <= CROWD)[which]
            found += [some.number[which[few]], numbers[few]]
        return found


def agreeing(calls: Calls) -> Agreeing:
    """All of some calls."""
    numbers = np.arange(calls.base, calls.base + calls.rows)
    return Agreeing(numbers, calls.common, calls.within, calls.end_ns, calls.parent == 0)


def _in_slot(keys: Keys, slot: NDArray[np.int64]) -> Keys:
    return np.where(keys != 0, mixed(keys, slot.view(np.uint64)) | np.uint64(1), np.uint64(0))
