"""Inserts a batch's rows: once each, however often it is called and whatever the store does meanwhile.

Every insert is of one table and partition and carries a token made of the batch's id, so that the store drops repeats.
Trouble of the store is waited for. A block of rows that the store refuses is halved until the rows at fault are alone;
they become dead letters, the others are stored.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Protocol

from clew_processor.write.dead_letter import TABLE, TENANT, DeadLettered, letter_rows, row_letters, texts
from clew_processor.write.partitions import cut
from clew_processor.write.refusals import Refusals
from clew_processor.write.trouble import Kind, StoreFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pyarrow as pa

    from clew_processor.spool.files import Files
    from clew_processor.write.refusals import Refusal

log = logging.getLogger(__name__)

MAX_BLOCK_BYTES: Final = 64 << 20
"""Of an insert, as Arrow counts them: a block that the engine's memory limit would refuse for ever is not made."""
MAX_REFUSALS: Final = 256
"""Of one block: enough to find about 20 rows among 10,000. What is refused then is a dead letter in one piece."""
LETTERS_AT_ONCE: Final = 200
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 3.0
UNCLEAR_TRIES: Final = 10
UNCLEAR_S: Final = 60.0
"""A fault of unclear kind is believed to be the rows' after this many tries over this long."""
UNCLEAR_LETTERS_S: Final = 600.0
"""Dead letters are plain texts: it is hardly ever their fault, and what is refused here is lost."""
LOG_EVERY_S: Final = 30.0


class Sink(Protocol):
    """What the writer needs of a `Store`."""

    def put(self, table: str, rows: pa.Table, *, token: str, skip_views: bool = False) -> None:
        """See `Store.put`."""

    def read(self, sql: str, parameters: dict[str, Any], *, as_bytes: Sequence[str] = ()) -> list[Sequence[Any]]:
        """See `Store.read`."""


class Watch(Protocol):
    """Who wants to know how it goes."""

    def count_insert_failure(self, table: str, kind: str) -> None:
        """An insert failed; kinds are those of `Kind`, and `view`."""

    def count_dead_letters(self, table: str, rows: int) -> None:
        """Rows became dead letters. A replay counts them again."""

    def count_lost(self, table: str, rows: int) -> None:
        """Rows are neither stored nor dead letters: the store refuses the dead letters too."""


class _Patience:
    """With faults of unclear kind, for one block."""

    def __init__(self, clock: Callable[[], float], seconds: float = UNCLEAR_S) -> None:
        self._clock = clock
        self._seconds = seconds
        self._tries = 0
        self._since = 0.0

    def is_over(self) -> bool:
        """Counts one more try."""
        if not self._tries:
            self._since = self._clock()
        self._tries += 1
        return self._tries >= UNCLEAR_TRIES and self._clock() - self._since >= self._seconds


class Writer:
    """One thread's way into the store.

    Attributes:
        trouble: what is wrong with the store at present, for people; empty when nothing is. Any thread may read it.
    """

    def __init__(
        self,
        sink: Sink,
        files: Files,
        *,
        clock: Callable[[], float],
        pause: Callable[[float], None],
        random: Callable[[], float],
        watch: Watch,
    ) -> None:
        """Reads which ranges were refused before a crash.

        Args:
            sink: the store.
            files: where it remembers them.
            clock: seconds, monotonic.
            pause: waits seconds; raises `Stopped` when told to leave.
            random: from 0 to below 1, for jitter.
            watch: is told.
        """
        self.trouble = ""
        self._sink = sink
        self._refusals = Refusals(files)
        self._clock = clock
        self._pause = pause
        self._random = random
        self._watch = watch
        self._log_at = 0.0

    def write(self, batch_id: str, tables: Mapping[str, pa.Table | None], *, arrival_ns: int) -> DeadLettered:
        """Returns when every row is stored or a dead letter, however long that takes.

        It may be called any number of times for one batch, with different tables or, to repeat what was cut short, with
        the same rows.

        Args:
            batch_id: tells these rows from all others, now and later.
            tables: rows by the name of their table, in the order they are to be inserted.
            arrival_ns: the batch's, for dead letters.

        Returns:
            How many rows became dead letters, by table and tenant; the same when it is repeated.

        Raises:
            Stopped: told to leave while the store was in trouble.
        """
        dead: DeadLettered = {}
        for table, rows in tables.items():
            if rows is None or not rows.num_rows:
                continue
            for partition, block in cut(table, rows):
                if refused := self._store(batch_id, f"{table}:{partition}", table, block):
                    dead.setdefault(table, Counter()).update(
                        self._bury(batch_id, partition, table, block, refused, arrival_ns)
                    )
        return dead

    def read(self, sql: str, parameters: dict[str, Any], *, as_bytes: Sequence[str] = ()) -> list[Sequence[Any]]:
        """The rows of a SELECT, however long that takes; none if the store will not answer this one.

        Raises:
            Stopped: told to leave while the store was in trouble.
        """
        answer: list[Sequence[Any]] = []
        fault = self._persist(TABLE, lambda _: answer.extend(self._sink.read(sql, parameters, as_bytes=as_bytes)))
        if fault:
            log.error("the store does not answer a query: %s", fault)
        return answer

    def _store(self, batch_id: str, block: str, table: str, rows: pa.Table) -> list[Refusal]:
        """Stores a block but for the ranges returned, which are refused and are not to be cut further."""
        refused = self._refusals.of(batch_id, block)
        patience = _Patience(self._clock, UNCLEAR_LETTERS_S if table == TABLE else UNCLEAR_S)
        final = []
        ranges = deque(_slices(rows))
        while ranges:  # breadth first: if it ends early, the pieces that are left are small
            lo, hi = ranges.popleft()
            refusal = refused.get((lo, hi))
            if refusal is None:
                if hi - lo == rows.num_rows:
                    fault = self._insert(table, rows, f"{batch_id}:{block}", patience)
                else:
                    fault = self._insert(table, rows.slice(lo, hi - lo), f"{batch_id}:{block}:{lo}-{hi}", patience)
                if fault is None:
                    continue
                refusal = self._remember(batch_id, block, lo, hi, fault)
            if hi - lo == 1 or refusal.number >= MAX_REFUSALS:
                final.append(refusal)
            else:
                middle = (lo + hi) // 2
                ranges.extend(((lo, middle), (middle, hi)))
        return sorted(final)

    def _bury(
        self, batch_id: str, partition: str, table: str, rows: pa.Table, refused: list[Refusal], arrival_ns: int
    ) -> Counter[str]:
        """Makes those rows dead letters; how many of each tenant."""
        wanted = [(row, refusal) for refusal in refused for row in range(refusal.lo, refusal.hi)]
        dead = rows.take([row for row, _ in wanted])
        tenants = Counter(texts(dead, TENANT))
        if table == TABLE:
            log.error("%d dead letters are lost, the store refuses them: %s", len(wanted), refused[0].reason)
            self._watch.count_lost(table, len(wanted))
            return tenants
        log.error("%d of %d rows for %s become dead letters: %s", len(wanted), rows.num_rows, table, refused[0].reason)
        self._watch.count_dead_letters(table, len(wanted))
        for start in range(0, len(wanted), LETTERS_AT_ONCE):
            some = wanted[start : start + LETTERS_AT_ONCE]
            letters = row_letters(
                table,
                dead.slice(start, len(some)),
                positions=[f"{partition}:{row}" for row, _ in some],
                reasons=[(refusal.code, refusal.reason) for _, refusal in some],
            )
            written = letter_rows(batch_id, letters, arrival_ns)
            name = f"{table}:{partition}:{start}"
            if lost := self._store(batch_id, f"{TABLE}:{name}", TABLE, written):
                self._bury(batch_id, name, TABLE, written, lost, arrival_ns)
        return tenants

    def _insert(self, table: str, rows: pa.Table, token: str, patience: _Patience) -> StoreFault | None:
        """Inserts rows in one piece; the fault if they are refused as they are."""

        def put(skip_views: bool) -> None:
            self._sink.put(table, rows, token=token, skip_views=skip_views)

        return self._persist(table, put, patience)

    def _persist(
        self, what: str, action: Callable[[bool], None], patience: _Patience | None = None
    ) -> StoreFault | None:
        """Does it until it is done (None) or there is no sense in trying further (why)."""
        patience = patience or _Patience(self._clock)
        patience_with_views = _Patience(self._clock)
        skip_views = False
        pause, since = FIRST_PAUSE_S, self._clock()
        while True:
            try:
                action(skip_views)
            except StoreFault as fault:
                in_view = fault.in_view and not skip_views
                self._watch.count_insert_failure(what, "view" if in_view else fault.kind.value)
                if in_view:
                    if fault.kind is not Kind.TROUBLE and patience_with_views.is_over():
                        log.warning("%s: a view on it fails and misses rows: %s", what, fault)
                        skip_views = True
                elif fault.kind is Kind.REFUSED or (fault.kind is Kind.UNCLEAR and patience.is_over()):
                    self._tell_well()
                    return fault
                self._tell(what, fault, since)
            else:
                self._tell_well()
                return None
            self._pause(pause * (0.5 + self._random()))
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _remember(self, batch_id: str, block: str, lo: int, hi: int, fault: StoreFault) -> Refusal:
        """Only what is on the disk may be acted on."""
        while True:
            try:
                return self._refusals.add(batch_id, block, lo, hi, code=fault.code, reason=str(fault))
            except OSError as error:
                self._tell("the list of refused rows", error, self._clock())
            self._pause(LONGEST_PAUSE_S)

    def _tell(self, what: str, error: Exception, since: float) -> None:
        now = self._clock()
        self.trouble = f"{what}: {error} (for {now - since:.0f} s)"
        if now >= self._log_at:
            log.warning("the store is in trouble, trying again: %s", self.trouble)
            self._log_at = now + LOG_EVERY_S

    def _tell_well(self) -> None:
        if self.trouble:
            log.warning("the store answers again; it was %s", self.trouble)
            self.trouble = ""


def _slices(rows: pa.Table) -> Iterable[tuple[int, int]]:
    """Ranges of rows that are not too large for one insert, about even."""
    if rows.get_total_buffer_size() <= MAX_BLOCK_BYTES // 4:  # quickly told, but not the same for every layout
        return ((0, rows.num_rows),)
    count = min(rows.num_rows, -(-rows.nbytes // MAX_BLOCK_BYTES))
    return pairwise([rows.num_rows * i // count for i in range(count + 1)])
