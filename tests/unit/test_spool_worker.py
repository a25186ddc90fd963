"""The thread that empties the spool tells whoever closes batches when it has caught up."""

from __future__ import annotations

import threading

from clew_processor.spool.worker import Worker


class OneBatch:
    """A consumer with one batch."""

    def __init__(self) -> None:
        self.left = 1

    def recover(self) -> None:
        pass

    def step(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def rest(self) -> None:
        pass

    def checkpoint(self) -> None:
        pass


def test_a_batch_taken_before_it_was_told_to_be_closed_leaves_nobody_waiting():
    worker, told = Worker(), threading.Semaphore(0)
    worker.start(OneBatch(), taken=told.release)
    assert told.acquire(timeout=30)  # the batch is done
    worker.wake(closed=1)  # and only now is it told
    assert told.acquire(timeout=30), "the open batch would only be closed when the next request comes"
    assert not worker.behind
    assert worker.drain(10)
