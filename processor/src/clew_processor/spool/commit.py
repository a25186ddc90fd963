"""Writes what waits to the spool, all of it at once, with the ticks that close batches."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from clew_processor.errors import RefusalKind, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clew_processor.spool.batcher import Batcher
    from clew_processor.spool.log import Log
    from clew_processor.spool.record import Record

log = logging.getLogger(__name__)


class Committer:
    """One thread at a time."""

    def __init__(
        self,
        log_: Log,
        batcher: Batcher,
        *,
        max_spool_bytes: int,
        opening: Sequence[Record] = (),
        clock: Callable[[], float] = time.monotonic,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Writes nothing yet.

        Args:
            log_: where to.
            batcher: says where batches end.
            max_spool_bytes: on disk; what goes beyond is refused.
            opening: written before all else, as a batch of their own.
            clock: seconds, monotonic.
            clock_ns: Unix ns.
        """
        self._log = log_
        self._batcher = batcher
        self._max_spool_bytes = max_spool_bytes
        self._opening = opening
        self._clock = clock
        self._clock_ns = clock_ns

    def due_in(self) -> float | None:
        """Seconds until there is something to write even if nothing comes; 0 or less if there is now; None if never."""
        return 0 if self._opening else self._batcher.due_in(self._clock())

    def commit(self, group: Sequence[Record], *, close: bool = False) -> tuple[list[Refused | None], Sequence[Record]]:
        """Returns when what is taken is promised.

        Args:
            group: in order of arrival.
            close: whether the last batch is closed.

        Returns:
            For each of the group None, or why it is not taken; and everything that was written.
        """
        answers, taken = self._room_for(group)
        now, now_ns = self._clock(), self._clock_ns()
        records: list[Record] = []
        if self._opening:
            records += self._batcher.with_ticks([], now=now, now_ns=now_ns, close=True)
            records += self._batcher.with_ticks(self._opening, now=now, now_ns=now_ns, close=True)
        records += self._batcher.with_ticks(taken, now=now, now_ns=now_ns, close=close)
        if not records:
            return answers, ()
        try:
            self._log.append(records)
        except Exception as error:
            log.warning(
                "spool: cannot write %d records: %s", len(records), error, exc_info=not isinstance(error, OSError)
            )
            self._batcher.reopened(now)  # a tick may be among what was not written
            reason = error.strerror if isinstance(error, OSError) else repr(error)
            trouble = Refused(RefusalKind.UNAVAILABLE, f"the spool cannot be written ({reason}): send it again")
            return [trouble] * len(group), ()
        self._opening = ()
        return answers, records

    def _room_for(self, group: Sequence[Record]) -> tuple[list[Refused | None], list[Record]]:
        size = self._log.size
        room = self._max_spool_bytes - size
        answers: list[Refused | None] = []
        taken = []
        for record in group:
            if room <= 0 or len(record.body) > room:
                text = f"the spool holds {size} bytes that the store has not taken yet, the limit is "
                text += f"{self._max_spool_bytes}: send it again shortly"
                answers.append(Refused(RefusalKind.UNAVAILABLE, text))
                continue
            room -= len(record.body)
            answers.append(None)
            taken.append(record)
        return answers, taken
