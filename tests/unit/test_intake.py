"""Requests wait, become batches, and each sender hears what became of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from clew_processor.errors import RefusalKind, Refused, StoreError
from clew_processor.spool.intake import Intake, IntakeLimits, Outcome
from clew_processor.spool.request import Receipt, Request
from shared.otlp import request, span
from shared.pipeline import arrived

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMITS = IntakeLimits(max_batch_spans=100, max_batch_wait_s=0.0, max_waiting_bytes=1 << 20)


class Stages:
    """Stands where the pipeline does: holds batches back until it is let go."""

    def __init__(self, answer=lambda body: Receipt()) -> None:
        self.batches: list[list[bytes]] = []
        self.go = threading.Event()
        self.entered = threading.Semaphore(0)
        self._answer = answer

    def __call__(self, requests: Sequence[Request]) -> list[Outcome]:
        self.batches.append([request.body for request in requests])
        self.entered.release()
        assert self.go.wait(30)
        return [self._answer(request.body) for request in requests]

    async def busy(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.entered.acquire)


def body(*numbers: int) -> Request:
    return arrived(request(*(span(span_id=number) for number in numbers)))


def started(stages: Stages, limits: IntakeLimits = LIMITS) -> Intake:
    intake = Intake(stages, limits)
    intake.start()
    return intake


async def queued(intake: Intake, *requests: Request) -> list[asyncio.Task[Receipt]]:
    """Submitted in this order, and waiting."""
    tasks = []
    for one in requests:
        tasks.append(asyncio.create_task(intake.submit(one)))
        await asyncio.sleep(0)
    return tasks


async def test_what_waits_while_a_batch_is_stored_becomes_the_next_one_in_order():
    stages = Stages()
    intake = started(stages)
    first = await queued(intake, body(1))
    await stages.busy()
    later = [body(number) for number in (2, 3, 4)]
    tasks = await queued(intake, *later)
    assert intake.waiting_bytes == sum(len(one.body) for one in later)
    stages.go.set()
    assert await asyncio.gather(*first, *tasks) == [Receipt()] * 4
    assert stages.batches[1] == [one.body for one in later]
    assert intake.waiting_bytes == 0
    assert await intake.drain(5)


async def test_a_batch_is_cut_before_it_holds_too_many_spans():
    stages = Stages()
    intake = started(stages, IntakeLimits(max_batch_spans=4, max_batch_wait_s=0.0, max_waiting_bytes=1 << 20))
    tasks = await queued(intake, body(1))
    await stages.busy()
    sizes = [3, 1, 1, 9, 2, 2]
    tasks += await queued(intake, *(body(*range(1, size + 1)) for size in sizes))
    stages.go.set()
    await asyncio.gather(*tasks)
    assert [len(batch) for batch in stages.batches] == [1, 2, 1, 1, 2]
    assert await intake.drain(5)


async def test_senders_wait_until_their_batch_is_stored():
    stages = Stages()
    intake = started(stages)
    (task,) = await queued(intake, body(1))
    await stages.busy()
    assert not task.done()
    stages.go.set()
    assert await task == Receipt()
    assert await intake.drain(5)


async def test_each_sender_hears_of_its_own_request():
    refused = Refused(RefusalKind.MALFORMED, "no")
    good, bad, partly = body(1), body(2), body(3)
    answers = {good.body: Receipt(), bad.body: refused, partly.body: Receipt(1, "one span too old")}
    stages = Stages(answers.__getitem__)
    stages.go.set()
    intake = started(stages)
    outcomes = await asyncio.gather(*(intake.submit(one) for one in (good, bad, partly)))
    assert outcomes == [Receipt(), refused, Receipt(1, "one span too old")]
    assert await intake.drain(5)


@pytest.mark.parametrize("trouble", [StoreError("the store is down"), ZeroDivisionError("a bug")])
async def test_a_batch_that_was_not_stored_is_asked_for_again(trouble):
    def fail(_: Sequence[Request]) -> list[Outcome]:
        raise trouble

    intake = Intake(fail, LIMITS)
    intake.start()
    outcomes = await asyncio.gather(*(intake.submit(body(i)) for i in (1, 2)))
    assert {outcome.kind for outcome in outcomes} == {RefusalKind.UNAVAILABLE}
    assert all(str(trouble) in str(outcome) for outcome in outcomes)
    assert isinstance(await intake.submit(body(3)), Refused)  # and the thread lives on
    assert await intake.drain(5)


async def test_more_bytes_than_may_wait_are_refused_and_say_what_the_limit_is():
    stages = Stages()
    size = len(body(1).body)
    intake = started(stages, IntakeLimits(max_batch_spans=100, max_batch_wait_s=0.0, max_waiting_bytes=2 * size))
    tasks = await queued(intake, body(1))
    await stages.busy()
    tasks += await queued(intake, body(2), body(3))
    refusal = await intake.submit(body(4))
    assert refusal.kind is RefusalKind.UNAVAILABLE
    assert str(refusal).startswith(f"{2 * size} bytes are waiting for the store, the limit is {2 * size}")
    stages.go.set()
    assert len(await asyncio.gather(*tasks)) == 3
    assert await intake.drain(5)


async def test_a_request_larger_than_all_that_may_wait_is_taken_when_nothing_does():
    stages = Stages()
    stages.go.set()
    intake = started(stages, IntakeLimits(max_batch_spans=100, max_batch_wait_s=0.0, max_waiting_bytes=1))
    assert await intake.submit(body(1)) == Receipt()
    assert await intake.drain(5)


async def test_draining_stores_what_waits_and_refuses_what_comes():
    stages = Stages()
    intake = started(stages)
    tasks = await queued(intake, body(1))
    await stages.busy()
    tasks += await queued(intake, body(2))
    drained = asyncio.create_task(intake.drain(30))
    await asyncio.sleep(0)
    refusal = await intake.submit(body(3))
    assert (refusal.kind, "shutting down" in str(refusal)) == (RefusalKind.UNAVAILABLE, True)
    stages.go.set()
    assert await drained
    assert await asyncio.gather(*tasks) == [Receipt()] * 2


async def test_what_is_left_when_draining_takes_too_long_is_asked_for_again():
    stages = Stages()
    intake = started(stages)
    tasks = await queued(intake, body(1))
    await stages.busy()
    tasks += await queued(intake, body(2))
    assert not await intake.drain(0.01)
    left = await asyncio.gather(*tasks)
    stages.go.set()
    assert {refusal.kind for refusal in left} == {RefusalKind.UNAVAILABLE}


async def test_what_a_sender_that_went_away_left_waiting_is_not_stored():
    """It will send it again: storing it would store it twice."""
    stages = Stages()
    intake = started(stages)
    first = await queued(intake, body(1))
    await stages.busy()
    gone, stays = await queued(intake, body(2), body(3))
    gone.cancel()
    await asyncio.sleep(0)
    stages.go.set()
    assert await stays == Receipt()
    assert await asyncio.gather(*first) == [Receipt()]
    assert stages.batches == [[body(1).body], [body(3).body]]
    assert intake.waiting_bytes == 0
    assert await intake.drain(5)
