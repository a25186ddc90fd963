"""The thread that empties the spool tells whoever closes batches when it has caught up."""

from __future__ import annotations

import threading

import pytest

from clew_processor.errors import Stopped
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


class Stepping:
    """A consumer whose every step waits for a word."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.steps = 0
        self.under_way = False

    def recover(self) -> None:
        pass

    def step(self) -> bool:
        self.under_way = True
        self.go.acquire()
        self.steps += 1
        self.under_way = False
        return self.steps < 3

    def rest(self) -> None:
        pass

    def checkpoint(self) -> None:
        pass


def test_a_job_is_done_between_two_batches_on_the_workers_thread():
    worker, consumer = Worker(), Stepping()
    worker.start(consumer)
    consumer.go.release()
    done = worker.between(lambda: (consumer.under_way, threading.current_thread().name))
    failed = worker.between(lambda: 1 // 0)
    dropped = worker.between(list)
    assert dropped.cancel()
    consumer.go.release(10)
    assert done.result(30) == (False, "clew-pipeline")
    with pytest.raises(ZeroDivisionError):
        failed.result(30)
    assert worker.between(lambda: "idle").result(30) == "idle"
    assert worker.drain(10)


def test_a_worker_that_has_left_does_no_job():
    worker = Worker()
    worker.start(OneBatch())
    assert worker.drain(10)
    with pytest.raises(Stopped):
        worker.between(list).result(30)
