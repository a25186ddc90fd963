"""Takes one batch after the other from the spool through the stages into the store, and remembers how far it is.

After a crash it loads the newest checkpoint and does the same work again: up to the mark only to remember, behind it to
insert, with the same tokens as before, of which the store keeps one copy each.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from xxhash import xxh3_64_intdigest

from clew_processor.errors import Stopped
from clew_processor.spool.batches import BatchReader
from clew_processor.spool.checkpoint import Checkpoint
from clew_processor.spool.progress import Mark
from clew_processor.spool.reserve import FULL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from clew_processor.spool.batches import Batch
    from clew_processor.spool.checkpoint import Checkpoints
    from clew_processor.spool.files import Files
    from clew_processor.spool.log import Log
    from clew_processor.spool.progress import Progress

log = logging.getLogger(__name__)

EXCLUDED = "excluded"
"""Holds the positions of records that the stages cannot process, behind a checksum."""
TRIES = 5
"""A batch for which memory is out, or that the sink stumbles over, is tried this often before it is set aside."""


Processed = TypeVar("Processed")
Made_co = TypeVar("Made_co", covariant=True)
Taken_contra = TypeVar("Taken_contra", contravariant=True)


class Stages(Protocol[Made_co]):
    """What becomes of a batch. The same state and batch give the same result, in any process."""

    def process(self, batch: Batch, excluded: Collection[int]) -> Made_co:
        """The rows of a batch.

        Args:
            batch: not empty.
            excluded: positions of records to be made dead letters unseen.
        """

    def tick(self, arrival_ns: int) -> None:
        """Time has passed without data."""

    def culprits(self, batch: Batch) -> list[int]:
        """Positions of the records that cannot be processed even alone, by stages that remember nothing."""

    def state(self) -> Sequence[bytes | memoryview]:
        """What they remember, in parts. Those may be their own memory: it stands until they do anything else."""

    def restore(self, state: Sequence[bytes | memoryview] | None) -> None:
        """Remembers that, or nothing. Nothing of theirs refers to it later.

        Raises:
            ValueError: it is not theirs; they remember nothing then.
        """


class Sink(Protocol[Taken_contra]):
    """Where rows go."""

    def store(self, batch: Batch, processed: Taken_contra) -> None:
        """Returns when every row is stored or a dead letter, however long that takes; the same batch again adds none.

        Raises:
            Stopped: it was told to leave.
        """


@dataclass(frozen=True, slots=True)
class Pace:
    """When checkpoints are made.

    Attributes:
        every_s: seconds between two, at least.
        share: of the time that may go into them, at most.
        every_batches: but after so many that were stored there is one. Those since the last two may have to be stored
            again after a crash, and the store knows their tokens again only within its window.
        every_bytes: and after so many bytes of the spool: until then they are kept.
    """

    every_s: float
    share: float = 0.02
    every_batches: int = 1000
    every_bytes: int = 256 * 1024 * 1024


class Consumer(Generic[Processed]):
    """One thread's work. `recover` first, then `step` as often as there is something."""

    def __init__(
        self,
        log_: Log,
        files: Files,
        progress: Progress,
        checkpoints: Checkpoints,
        *,
        stages: Stages[Processed],
        sink: Sink[Processed],
        clock: Callable[[], float],
        pause: Callable[[float], None],
        pace: Pace,
    ) -> None:
        """Reads nothing yet.

        Args:
            log_: the spool.
            files: where it keeps which records are excluded.
            progress: the mark.
            checkpoints: where they are kept.
            stages: what becomes of a batch.
            sink: where rows go.
            clock: seconds, monotonic.
            pause: waits seconds; raises `Stopped` when told to leave.
            pace: of checkpoints.
        """
        self._log = log_
        self._files = files
        self._progress = progress
        self._checkpoints = checkpoints
        self._stages = stages
        self._sink = sink
        self._clock = clock
        self._pause = pause
        self._pace = pace
        self._excluded = _read_excluded(files)
        self._reader = BatchReader(log_, progress.mark.stored, spans_before=progress.mark.spans)
        self._next_checkpoint_at = clock() + pace.every_s
        self._no_checkpoint_before = clock()
        self._tried_at = -1
        self._kept_from = -1
        self._stored_batches = 0
        self._failing = -1
        self._failures = 0

    @property
    def position(self) -> int:
        """Up to there everything is settled, or time that passed."""
        return max(self._reader.position, self._progress.mark.stored)

    def has_stored(self, position: int) -> bool:
        """Whether all of the spool before that position is stored, and the stages remember it."""
        return self._reader.position >= max(position, self._progress.mark.stored)

    def recover(self) -> None:
        """Loads the newest checkpoint that can be read; without one, everything that is still spooled is replayed."""
        mark = self._progress.mark
        # Without any checkpoint nothing has been deleted yet: what is missing is lost, and counted.
        position, spans = (self._log.start, self._log.start_spans) if self._checkpoints.newest else (0, 0)
        self._stages.restore(None)
        for checkpoint in self._checkpoints.load():
            try:
                self._stages.restore(checkpoint.state)
            except ValueError as error:
                log.warning("spool: the checkpoint at %d cannot be used: %s", checkpoint.position, error)
                continue
            position, spans = checkpoint.position, checkpoint.spans
            break
        self._reader = BatchReader(self._log, position, spans_before=spans, cut=(mark.stored, mark.spans))

    def step(self) -> bool:
        """Takes the next batch, if one is closed.

        Returns:
            Whether there was one.

        Raises:
            Stopped: it was told to leave; the batch will be taken again.
        """
        batch = self._reader.next()
        if batch is None:
            return False
        try:
            if not batch.records and not batch.lost_spans:
                if batch.start not in self._excluded:
                    self._stages.tick(batch.arrival_ns)
                return True
            processed = self._stages.process(batch, self._excluded)
        except BaseException as error:  # a panic of the kernel is no Exception
            if isinstance(error, _ORDERS):
                raise
            self._set_aside(batch, error, patient=isinstance(error, MemoryError))
            return True
        if batch.end > self._progress.mark.stored:
            try:
                self._store(batch, processed)
            except (Stopped, OSError):
                raise
            except Exception as error:
                self._set_aside(batch, error, patient=True)
                return True
        self.rest()
        return True

    def rest(self) -> None:
        """Between two batches: makes a checkpoint if one is due."""
        if self._tried_at < 0:  # positions leap where a process begins
            self._tried_at = self._reader.position
        pace, now, since = self._pace, self._clock(), self._reader.position - self._tried_at
        if (
            now >= self._next_checkpoint_at
            or self._stored_batches >= pace.every_batches
            or (since >= pace.every_bytes and now >= self._no_checkpoint_before)
        ):
            self.checkpoint()

    def checkpoint(self) -> None:
        """Saves what the stages remember and lets go of what is no longer needed."""
        position = self._reader.position
        if position == self._kept_from or position < self._progress.mark.stored:
            return
        began = self._clock()
        try:
            self._progress.sync()
            oldest = self._save(Checkpoint(position, self._reader.spans, self._stages.state()))
            self._log.forget(oldest)
            self._forget_excluded(oldest)
            self._kept_from = oldest
        except Exception as error:
            is_bug = not isinstance(error, OSError | MemoryError)
            log.warning("spool: no checkpoint at %d: %r", position, error, exc_info=is_bug)
        self._stored_batches = 0
        self._tried_at = position
        ended = self._clock()
        self._no_checkpoint_before = ended + (ended - began) / self._pace.share
        self._next_checkpoint_at = max(ended + self._pace.every_s, self._no_checkpoint_before)

    def _store(self, batch: Batch, processed: Processed) -> None:
        self._sink.store(batch, processed)
        self._mark(Mark(batch.end, batch.spans_after))
        self._stored_batches += 1

    def _save(self, checkpoint: Checkpoint) -> int:
        try:
            return self._checkpoints.save(checkpoint)
        except OSError as error:
            if error.errno not in FULL:
                raise
            # Room is needed more than a second checkpoint: that one goes, and what only it needs of the spool.
            self._log.forget(self._checkpoints.settle_for_one())
            return self._checkpoints.save(checkpoint)

    def _mark(self, mark: Mark) -> None:
        while True:
            try:
                return self._progress.set(mark)
            except OSError as error:
                log.warning("spool: cannot write how far the store is, trying again: %s", error)
                self._pause(1)

    def _set_aside(self, batch: Batch, error: BaseException, *, patient: bool) -> None:
        """A bug of ours, or memory is out: what made the stages fail becomes dead letters, and they start again."""
        log.error("a batch of %d records failed", len(batch.records), exc_info=error)
        self._failures = self._failures + 1 if self._failing == batch.start else 1
        self._failing = batch.start
        everything = {batch.start, *(placed.start for placed in batch.records)}
        if (patient and self._failures < TRIES) or everything <= self._excluded:
            self._pause(1)
        else:
            culprits = self._culprits(batch) - self._excluded or everything
            log.error("%d of them are set aside as dead letters", len(culprits))
            self._excluded |= culprits
            self._write_excluded()
        self.recover()

    def _culprits(self, batch: Batch) -> set[int]:
        try:
            return set(self._stages.culprits(batch))
        except BaseException as error:
            if isinstance(error, _ORDERS):
                raise
            log.exception("which of its records are at fault cannot be told")
            return set()

    def _write_excluded(self) -> None:
        while True:
            try:
                return self._files.replace(EXCLUDED, [_written(self._excluded)])
            except OSError as error:
                log.warning("spool: cannot write which records are set aside, trying again: %s", error)
                self._pause(1)

    def _forget_excluded(self, before: int) -> None:
        if any(position < before for position in self._excluded):
            self._excluded = {position for position in self._excluded if position >= before}
            self._write_excluded()


def _written(positions: set[int]) -> bytes:
    body = struct.pack(f"<{len(positions)}Q", *sorted(positions))
    return xxh3_64_intdigest(body).to_bytes(8, "little") + body


def _read_excluded(files: Files) -> set[int]:
    """What was written; nothing if it is damaged: the stages will fail again."""
    try:
        data = files.read(EXCLUDED)
    except OSError:
        return set()
    positions = set(struct.unpack_from(f"<{max(0, len(data) // 8 - 1)}Q", data.ljust(8, b"\0"), 8))
    return positions if data == _written(positions) else set()


_ORDERS = (Stopped, KeyboardInterrupt, SystemExit, GeneratorExit)
"""Not failures of a batch."""
