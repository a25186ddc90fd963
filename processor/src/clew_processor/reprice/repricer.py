"""Prices stored calls again when it is asked to: looks for new prices, plans, and has the changes spooled."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from clew_processor.errors import RefusalKind, Refused, Stopped, StoreError
from clew_processor.reprice.changes import to_bytes
from clew_processor.reprice.plan import FIRST, Order, Outcome, next_spans, sums

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from concurrent.futures import Future

    from clew_processor.enrich.pricing import PriceBook
    from clew_processor.reprice.plan import Key, Part

WAIT_S: Final = 60.0
"""For what was acknowledged before to be stored, and for each part of the work."""
LOOK_AGAIN_S: Final = 0.05

Answer = TypeVar("Answer")


class Place(Protocol):
    """The processor, as far as is needed here."""

    @property
    def end(self) -> int:
        """Of the spool: everything before is acknowledged."""

    def has_stored(self, position: int) -> bool:
        """See `spool.consumer.Consumer`; on the worker's thread."""

    def open_minutes(self) -> set[int]:
        """See `pipeline.Pipeline`; on the worker's thread."""

    def read(self, sql: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        """See `write.store.Store`; on the worker's thread."""

    def between(self, job: Callable[[], Answer]) -> Future[Answer]:
        """See `spool.worker.Worker`."""

    async def spool(self, changes: bytes) -> Refused | None:
        """Returns once the changes are on disk; or why they are not."""


class Repricer:
    """One order at a time. For one event loop."""

    def __init__(self, place: Place, prices: Callable[[], Awaitable[PriceBook]]) -> None:
        """Does nothing yet.

        Args:
            place: the processor.
            prices: looks whether there are new ones, and has them in force.
        """
        self._place = place
        self._prices = prices
        self._one_at_a_time = asyncio.Lock()

    async def reprice(self, *, since_s: int, model: str, dry_run: bool) -> dict[str, Any]:
        """Prices calls again that have no price, or one of other prices than those in force.

        Args:
            since_s: calls that started within so many seconds.
            model: only of this model; empty for all.
            dry_run: tell only what would change.

        Returns:
            What was found, as JSON has it; `stored` tells whether the tables say so by now, or only the spool.

        Raises:
            Refused: the store, or the disk, is not to be had now. What was done by then is done, the rest when it is
                asked again.
        """
        async with self._one_at_a_time:
            prices = await self._prices()
            now = time.time_ns()
            order = Order(max(0, now - since_s * 10**9), now, model)
            outcome = Outcome()
            if not await self._caught_up():
                raise Refused(RefusalKind.UNAVAILABLE, "the store has not taken yet what came before: ask again later")
            after: Key | None = FIRST
            while after is not None:
                after = await self._do(partial(self._next_spans, prices, order, after), outcome, dry_run=dry_run)
            for minutes in order.days():
                await self._do(partial(self._sums, prices, minutes, model), outcome, dry_run=dry_run)
            stored = dry_run or await self._caught_up()
            return outcome.told() | {"pricing_version": prices.version, "dry_run": dry_run, "stored": stored}

    async def _caught_up(self) -> bool:
        """Waits until everything acknowledged by now is stored; False if that takes too long.

        Among it may be what an order before has changed.
        """
        end, give_up_at = self._place.end, time.monotonic() + WAIT_S
        while not await self._between(partial(self._place.has_stored, end)):
            if time.monotonic() > give_up_at:
                return False
            await asyncio.sleep(LOOK_AGAIN_S)
        return True

    async def _do(self, plan: Callable[[], Part], outcome: Outcome, *, dry_run: bool) -> Key | None:
        """One part of the work; where the next begins."""
        part = await self._between(plan)
        if part.changes is not None and not dry_run:
            refused = await self._place.spool(to_bytes(part.changes))
            if refused is not None:
                raise refused
        outcome.add(part.outcome)
        return part.last

    def _next_spans(self, prices: PriceBook, order: Order, after: Key) -> Part:
        return next_spans(self._place.read, prices, order, after, self._place.open_minutes())

    def _sums(self, prices: PriceBook, minutes: range, model: str) -> Part:
        return sums(self._place.read, prices, minutes, model, self._place.open_minutes())

    async def _between(self, job: Callable[[], Answer]) -> Answer:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._place.between(job)), WAIT_S)
        except TimeoutError as error:
            raise Refused(RefusalKind.UNAVAILABLE, f"the store does not answer within {WAIT_S:g} s") from error
        except (StoreError, Stopped) as error:
            raise Refused(RefusalKind.UNAVAILABLE, str(error)) from error
