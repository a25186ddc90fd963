"""The door: requests are looked at, wait, are written together, and each sender hears what became of its own."""

from __future__ import annotations

import asyncio
import errno
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from clew_processor.errors import RefusalKind, Refused
from clew_processor.spool.batcher import Batcher, BatchLimits
from clew_processor.spool.files import DiskFiles
from clew_processor.spool.intake import Intake, IntakeLimits
from clew_processor.spool.log import Log
from clew_processor.spool.record import Kind, Record
from clew_processor.spool.request import Receipt, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MUCH = 1 << 30
ARRIVAL = 1_700_000_000 * 10**9


class Spool:
    """An intake that writes to a directory; writing waits until it is let go."""

    def __init__(
        self,
        path: Path,
        *,
        inspect: Callable[[Request], object] | None = None,
        waiting: int = MUCH,
        on_disk: int = MUCH,
        max_spans: int = 1000,
        max_wait_s: float = 3600,
        opening: Sequence[Record] = (),
    ) -> None:
        self.log = Log(DiskFiles(path), segment_bytes=MUCH)
        self.trouble: OSError | None = None
        self.go = threading.Event()
        self.go.set()
        self.entered = threading.Semaphore(0)
        append = self.log.append

        def gated(records: list[Record]) -> None:
            self.entered.release()
            assert self.go.wait(30)
            if self.trouble:
                raise self.trouble
            append(records)

        self.log.append = gated
        self.writes: list[list[Record]] = []
        batcher = Batcher(BatchLimits(max_spans=max_spans, max_wait_s=max_wait_s, tick_s=3600, settle_s=1))
        self.intake = Intake(
            self.log,
            batcher,
            IntakeLimits(max_waiting_bytes=waiting, max_spool_bytes=on_disk),
            opening=opening,
            inspect=inspect or (lambda request: verdict(spans=request.body[0])),
            written=lambda records: self.writes.append(list(records)),
        )
        self.intake.start()

    async def busy(self) -> None:
        await asyncio.to_thread(self.entered.acquire)

    def spooled(self) -> list[Record]:
        return [placed.record for placed in self.log.read(0)]

    def bodies(self) -> list[bytes]:
        return [bytes(record.body) for record in self.spooled() if record.kind is Kind.TRACES]


def verdict(*, spans: int = 1, error: str | None = None, rejected: tuple[tuple[str, int], ...] = (), message: str = ""):
    return SimpleNamespace(spans=spans, error=error, rejected=list(rejected), message=message, resource_bytes=0)


def request(spans: int, text: bytes = b"") -> Request:
    return Request(bytes([spans]) + text, "default", ARRIVAL)


async def queued(intake: Intake, *requests: Request) -> list[asyncio.Task[Receipt]]:
    """Submitted in this order, and waiting."""
    tasks = []
    for one in requests:
        tasks.append(asyncio.create_task(intake.submit(one)))
        await asyncio.sleep(0)
    return tasks


async def test_a_sender_waits_until_its_request_is_on_disk(tmp_path):
    spool = Spool(tmp_path)
    spool.go.clear()
    (task,) = await queued(spool.intake, request(1, b"a"))
    await spool.busy()
    assert not task.done()
    assert spool.bodies() == []
    spool.go.set()
    assert await task == Receipt()
    assert spool.bodies() == [b"\x01a"]
    await spool.intake.close()


async def test_what_waits_while_others_are_written_is_written_together_in_order(tmp_path):
    spool = Spool(tmp_path)
    spool.go.clear()
    tasks = await queued(spool.intake, request(1, b"a"))
    await spool.busy()
    tasks += await queued(spool.intake, request(1, b"b"), request(1, b"c"))
    assert spool.intake.waiting_bytes == 4
    spool.go.set()
    assert await asyncio.gather(*tasks) == [Receipt()] * 3
    assert [[bytes(record.body) for record in write] for write in spool.writes] == [[b"\x01a"], [b"\x01b", b"\x01c"]]
    assert spool.intake.waiting_bytes == 0
    await spool.intake.close()


async def test_each_sender_hears_of_its_own_request(tmp_path):
    verdicts = {
        b"\x01good": verdict(),
        b"\x01bad": verdict(spans=0, error="no protobuf"),
        b"\x01partly": verdict(spans=2, rejected=(("bad_time", 1),), message="one span is too old"),
        b"\x01empty": verdict(spans=0),
    }
    spool = Spool(tmp_path, inspect=lambda one: verdicts[one.body])
    good, bad, partly, empty = await asyncio.gather(
        *(spool.intake.submit(Request(body, "default", ARRIVAL)) for body in verdicts)
    )
    assert (good, partly, empty) == (Receipt(), Receipt(1, "one span is too old"), Receipt())
    assert (bad.kind, str(bad)) == (RefusalKind.MALFORMED, "no protobuf")
    await spool.intake.close()
    spooled = {(record.kind, bytes(record.body), record.spans) for record in spool.spooled()}
    assert spooled == {
        (Kind.TRACES, b"\x01good", 1),
        (Kind.UNDECODABLE, b"", 1),  # counted, not kept
        (Kind.TRACES, b"\x01partly", 3),
        (Kind.TICK, b"", 0),
    }


async def test_a_disk_that_cannot_be_written_is_not_acknowledged_and_later_requests_are_taken(tmp_path):
    spool = Spool(tmp_path)
    spool.trouble = OSError(errno.ENOSPC, "No space left on device")
    refusals = await asyncio.gather(*(spool.intake.submit(request(1)) for _ in range(2)))
    assert {refusal.kind for refusal in refusals} == {RefusalKind.UNAVAILABLE}
    assert all("No space left on device" in str(refusal) for refusal in refusals)
    spool.trouble = None
    assert await spool.intake.submit(request(1, b"later")) == Receipt()
    assert spool.bodies() == [b"\x01later"]
    await spool.intake.close()


async def test_a_full_spool_refuses_says_what_the_limit_is_and_takes_what_still_fits(tmp_path):
    spool = Spool(tmp_path, on_disk=3000)
    assert await spool.intake.submit(request(1, bytes(2000))) == Receipt()
    large, small = await asyncio.gather(
        spool.intake.submit(request(1, bytes(2000))), spool.intake.submit(request(1, b"small"))
    )
    assert isinstance(large, Refused)
    assert (large.kind, "the limit is 3000" in str(large)) == (RefusalKind.UNAVAILABLE, True)
    assert small == Receipt()
    await spool.intake.close()


async def test_more_bytes_than_may_wait_are_refused(tmp_path):
    spool = Spool(tmp_path, waiting=4)
    spool.go.clear()
    tasks = await queued(spool.intake, request(1, b"a"))
    await spool.busy()
    tasks += await queued(spool.intake, request(1, b"b"), request(1, b"c"))
    refusal = await spool.intake.submit(request(1, b"d"))
    assert refusal.kind is RefusalKind.UNAVAILABLE
    assert str(refusal).startswith("4 bytes wait to be written to disk, the limit is 4")
    spool.go.set()
    assert await asyncio.gather(*tasks) == [Receipt()] * 3
    await spool.intake.close()


async def test_a_request_larger_than_all_that_may_wait_is_taken_when_nothing_does(tmp_path):
    spool = Spool(tmp_path, waiting=1)
    assert await spool.intake.submit(request(1, b"large")) == Receipt()
    await spool.intake.close()


async def test_closing_writes_what_waits_ends_its_batch_and_refuses_what_comes(tmp_path):
    spool = Spool(tmp_path)
    spool.go.clear()
    tasks = await queued(spool.intake, request(1, b"a"))
    await spool.busy()
    tasks += await queued(spool.intake, request(1, b"b"))
    closed = asyncio.create_task(spool.intake.close())
    await asyncio.sleep(0)
    refusal = await spool.intake.submit(request(1, b"c"))
    assert (refusal.kind, "shutting down" in str(refusal)) == (RefusalKind.UNAVAILABLE, True)
    spool.go.set()
    await closed
    assert await asyncio.gather(*tasks) == [Receipt()] * 2
    assert spool.bodies() == [b"\x01a", b"\x01b"]
    assert spool.spooled()[-1].kind is Kind.TICK


async def test_what_a_sender_that_went_away_left_is_written_all_the_same(tmp_path):
    """Its resend is known by its spans."""
    spool = Spool(tmp_path)
    spool.go.clear()
    first = await queued(spool.intake, request(1, b"a"))
    await spool.busy()
    gone, stays = await queued(spool.intake, request(1, b"b"), request(1, b"c"))
    gone.cancel()
    spool.go.set()
    assert await asyncio.gather(*first, stays) == [Receipt()] * 2
    assert spool.bodies() == [b"\x01a", b"\x01b", b"\x01c"]
    await spool.intake.close()


async def test_a_batch_is_closed_when_its_first_request_has_waited_long_enough(tmp_path):
    spool = Spool(tmp_path, max_wait_s=0.01)
    await spool.intake.submit(request(1))
    await spool.busy()
    await spool.busy()
    await spool.intake.close()
    assert [record.kind for record in spool.writes[1]] == [Kind.TICK]


async def test_what_is_in_force_is_written_before_all_requests_as_a_batch_of_its_own(tmp_path):
    rules = Record(Kind.RULES, ARRIVAL, body=b"{}")
    spool = Spool(tmp_path, opening=[rules])
    await spool.intake.submit(request(1))
    await spool.intake.close()
    assert [record.kind for record in spool.spooled()] == [Kind.RULES, Kind.TICK, Kind.TRACES, Kind.TICK]


async def test_an_order_to_try_dead_letters_again_is_spooled(tmp_path):
    spool = Spool(tmp_path)
    assert await spool.intake.retry(b'["a"]', "default") == Receipt()
    (record,) = (record for record in spool.spooled() if record.kind is Kind.RETRY)
    assert (bytes(record.body), record.spans) == (b'["a"]', 0)
    await spool.intake.close()


@pytest.mark.parametrize("count", [1, 3])
async def test_spans_of_all_records_are_counted(tmp_path, count):
    spool = Spool(tmp_path)
    for number in range(count):
        await spool.intake.submit(request(number + 1))
    assert spool.log.spans == sum(range(1, count + 1))
    await spool.intake.close()
