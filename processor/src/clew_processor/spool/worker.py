"""The thread that empties the spool."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from clew_processor.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from clew_processor.spool.consumer import Consumer

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

GRACE_S = 2.0
"""Of the time for draining, what is kept for ending the insert at hand."""
IDLE_S = 1.0
"""A checkpoint that is due is made at latest this long after the last batch."""


class Worker:
    """Steps a consumer until it is told to leave."""

    def __init__(self) -> None:
        """Has nothing to do before `start`."""
        self._changed = threading.Condition()
        self._news = False
        self._jobs: list[tuple[Callable[[], Any], Future[Any]]] = []
        self._left = False
        self._closed = 0
        self._draining = False
        self._leave = threading.Event()
        self._thread: threading.Thread | None = None
        self.drained = False

    def start(
        self,
        consumer: Consumer[Any],
        *,
        first: Callable[[], None] = lambda: None,
        taken: Callable[[], None] = lambda: None,
    ) -> None:
        """Recovers, then takes one batch after the other.

        Args:
            consumer: what does the work.
            first: called before all else, on the same thread.
            taken: called after each batch.
        """
        self._thread = threading.Thread(
            target=self._work, args=(consumer, first, taken), name="clew-pipeline", daemon=True
        )
        self._thread.start()

    def wake(self, closed: int = 0) -> None:
        """Something was written to the spool, which closed so many batches."""
        with self._changed:
            self._news = True
            self._closed += closed
            self._changed.notify()

    def between(self, job: Callable[[], Answer]) -> Future[Answer]:
        """Does something on the worker's thread while no batch is under way.

        What is stored and what the stages remember belong together then. A job whose future was cancelled is not begun;
        the future of one that is not done because the worker leaves raises `Stopped`.
        """
        future: Future[Answer] = Future()
        with self._changed:
            self._jobs.append((job, future))
            self._news = True
            self._changed.notify()
        if self._left:
            self._refuse_jobs()
        return future

    @property
    def behind(self) -> bool:
        """Whether there is a closed batch that it is not done with."""
        return self._closed > 0

    def pause(self, seconds: float) -> None:
        """Waits on the worker's thread.

        Raises:
            Stopped: it was told to leave.
        """
        if self._leave.wait(seconds):
            raise Stopped("the processor is leaving")

    @property
    def ended(self) -> bool:
        """Whether it has left everything alone."""
        return self._thread is None or not self._thread.is_alive()

    def drain(self, deadline_s: float) -> bool:
        """Takes what is in the spool and ends; towards the deadline it leaves the rest there.

        Returns:
            Whether nothing is left. What it cannot let go, an insert under way, may go on all the same: see `ended`.
        """
        with self._changed:
            self._draining = True
            self._changed.notify()
        assert self._thread is not None
        grace_s = min(GRACE_S, deadline_s / 4)
        self._thread.join(deadline_s - grace_s)
        self._leave.set()
        self._thread.join(grace_s)
        return self.drained

    def _work(self, consumer: Consumer[Any], first: Callable[[], None], taken: Callable[[], None]) -> None:
        try:
            self._run(consumer, first, taken)
        finally:
            self._left = True
            self._refuse_jobs()

    def _run(self, consumer: Consumer[Any], first: Callable[[], None], taken: Callable[[], None]) -> None:
        first()
        recovered = False
        while True:
            try:
                if not recovered:
                    consumer.recover()
                    recovered = True
                if self._leave.is_set():
                    consumer.checkpoint()
                    return
                self._do_jobs()
                if consumer.step():
                    with self._changed:
                        self._closed = max(0, self._closed - 1)
                    taken()
                    continue
                with self._changed:
                    if not self._news and self._draining:
                        break
                    miscounted = (
                        not self._news and self._closed > 0
                    )  # a batch was taken before it was told to be closed
                    if miscounted:
                        self._closed = 0
                    elif not self._news:
                        self._changed.wait(IDLE_S)
                    self._news = False
                if miscounted:
                    taken()  # or who closes batches would wait for a batch that is done
                consumer.rest()
            except Stopped:
                return
            except BaseException:
                # A bug of ours (the kernel's panics are no `Exception`), or the disk: what is spooled stays there, and
                # is taken up again from the checkpoint.
                log.exception("the pipeline stumbled and starts again from its checkpoint")
                recovered = False
                if self._leave.wait(1):
                    return
        consumer.checkpoint()
        self.drained = True

    def _refuse_jobs(self) -> None:
        for _, future in self._take_jobs():
            if future.set_running_or_notify_cancel():
                future.set_exception(Stopped("the processor is leaving"))

    def _take_jobs(self) -> list[tuple[Callable[[], Any], Future[Any]]]:
        with self._changed:
            jobs, self._jobs = self._jobs, []
        return jobs

    def _do_jobs(self) -> None:
        for job, future in self._take_jobs():
            if not future.set_running_or_notify_cancel():
                continue
            try:
                answer = job()
            except BaseException as error:  # whoever asked is told; the worker goes on
                future.set_exception(error)
            else:
                future.set_result(answer)
