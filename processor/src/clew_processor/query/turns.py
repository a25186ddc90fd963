"""Turns: a bounded number of queries at once, their work in threads and never on the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from clew_processor.query.failure import QueryFailure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from clew_processor.query.settings import QuerySettings

T = TypeVar("T")


class Turns:
    """Hands out turns and runs their work.

    Args:
        settings: how many at once, and how long a further one waits.
    """

    def __init__(self, settings: QuerySettings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.max_concurrent)
        # Two threads more than turns, so that cancelling one never waits for another.
        self._pool = ThreadPoolExecutor(settings.max_concurrent + 2, thread_name_prefix="clew-query")

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it.

        Raises:
            QueryFailure: none came in time (202).
        """
        try:
            await asyncio.wait_for(self._slots.acquire(), self._settings.queue_timeout_s)
        except TimeoutError:
            raise QueryFailure(
                202,
                "TOO_MANY_SIMULTANEOUS_QUERIES",
                f"Too many simultaneous queries. Maximum: {self._settings.max_concurrent}, "
                f"and none ended within {self._settings.queue_timeout_s:g} s. Try again, or run fewer at once",
            ) from None
        try:
            yield
        finally:
            self._slots.release()

    async def call(self, work: Callable[[], T]) -> T:
        """Run a function in a thread and return what it returns."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def close(self) -> None:
        """Let running work end and the threads go."""
        await asyncio.to_thread(self._pool.shutdown)
