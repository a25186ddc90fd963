"""Where batches end: decided once, when they are written, and found again in every replay."""

from __future__ import annotations

from random import Random

import pytest

from clew_processor.errors import RefusalKind
from clew_processor.spool.batcher import MAX_BATCH_BYTES, Batcher, BatchLimits
from clew_processor.spool.batches import Batch, BatchReader
from clew_processor.spool.commit import Committer
from clew_processor.spool.log import Log
from clew_processor.spool.record import HEADER_BYTES, Kind, Record
from shared.simulation import Disk, SimFiles

MUCH = 1 << 30
TICK = Record(Kind.TICK, 50)


def traces(body: bytes = b"x", *, spans: int = 1) -> Record:
    return Record(Kind.TRACES, 40, "acme", spans, body)


def kinds(records: list[Record]) -> str:
    return "".join("." if record.kind is Kind.TICK else "r" for record in records)


def batcher(max_spans: int = 10, max_wait_s: float = 1, tick_s: float = 10, settle_s: float = 25) -> Batcher:
    return Batcher(BatchLimits(max_spans=max_spans, max_wait_s=max_wait_s, tick_s=tick_s, settle_s=settle_s))


class Times:
    """One batcher, and the time that passes."""

    def __init__(self, **limits: float) -> None:
        self.batcher, self.now = batcher(**limits), 0.0

    def write(self, *records: Record, after: float = 0, close: bool = False) -> str:
        self.now += after
        return kinds(self.batcher.with_ticks(records, now=self.now, now_ns=7, close=close))


def test_a_batch_is_closed_by_spans():
    times = Times(max_spans=10)
    assert times.write(*[traces(spans=4)] * 4) == "rr.rr"
    assert times.write(traces(spans=2)) == "r."  # exactly full
    assert times.write(traces(spans=11)) == "r."


def test_a_batch_is_closed_by_bytes():
    times = Times(max_spans=MUCH)
    body = memoryview(bytes(MAX_BATCH_BYTES // 2))
    assert times.write(*[traces(body)] * 3) == "rr.r"


def test_a_batch_is_closed_once_its_first_request_has_waited():
    times = Times(max_wait_s=1)
    assert times.write(traces()) == "r"
    assert times.batcher.due_in(times.now) == 1
    assert times.write(traces(), after=0.7) == "r"
    assert times.write(after=0.4) == "."
    assert times.write() == ""


def test_the_last_batch_is_closed_when_told_and_only_if_there_is_one():
    times = Times()
    assert times.write(traces(), close=True) == "r."
    assert times.write(close=True) == ""


def test_time_is_written_while_somebody_may_wait_for_it_and_then_no_more():
    times = Times(tick_s=10, settle_s=25)
    times.write(traces(), close=True)
    ticks = 0
    while (due_in := times.batcher.due_in(times.now)) is not None:
        assert times.write(after=due_in) == "."
        ticks += 1
    assert 25 <= times.now <= 45
    assert ticks == times.now / 10
    assert times.write(traces(), after=1000, close=True) == "r."
    assert times.batcher.due_in(times.now) == 10


def test_a_process_that_starts_lets_time_go_on_for_those_who_waited_when_the_last_one_ended():
    times = Times(max_wait_s=1, tick_s=10, settle_s=25)
    times.batcher.reopened(times.now)
    assert times.write(after=1) == "."
    assert times.batcher.due_in(times.now) == 10


def test_the_tick_carries_the_clock():
    _, tick = batcher().with_ticks([traces()], now=0, now_ns=123, close=True)
    assert tick == Record(Kind.TICK, 123)


class Spool:
    def __init__(self) -> None:
        self.disk = Disk(Random(1))
        self.log = self.opened()

    def opened(self) -> Log:
        return Log(SimFiles(self.disk), segment_bytes=MUCH)

    def batches(self, position: int = 0, spans_before: int = 0, **known: tuple[int, int]) -> list[Batch]:
        reader = BatchReader(self.log, position, spans_before=spans_before, **known)
        return list(iter(reader.next, None))

    def damage(self, *nths: int) -> None:
        """Headers of records."""
        (name,) = self.disk.names()
        placed = list(self.log.read(0))
        for nth in nths:
            self.disk.content(name)[placed[nth].start - int(name.split("-")[0]) + 1] ^= 1


def shape(batches: list[Batch]) -> list[str]:
    return [b"".join(bytes(placed.record.body) for placed in batch.records).decode() for batch in batches]


def test_batches_lie_between_ticks_and_an_empty_one_is_time():
    spool = Spool()
    spool.log.append([traces(b"a", spans=2), traces(b"b", spans=3), TICK, TICK, traces(b"c"), TICK, traces(b"open")])
    first, idle, last = batches = spool.batches()
    assert shape(batches) == ["ab", "", "c"]
    assert (first.arrival_ns, first.spans_after, first.lost_spans) == (50, 5, 0)
    assert (idle.start, last.start) == (first.end, idle.end)
    assert len({batch.id for batch in batches}) == 3
    assert shape(spool.batches(first.end, 5)) == ["", "c"]
    assert [batch.id for batch in spool.batches(first.end, 5)] == [idle.id, last.id]


def test_an_open_batch_is_given_once_it_is_closed():
    spool = Spool()
    reader = BatchReader(spool.log, 0, spans_before=0)
    for body in (b"a", b"b"):
        spool.log.append([traces(body)])
        assert reader.next() is None
    spool.log.append([TICK])
    assert shape([reader.next()]) == ["ab"]
    assert reader.next() is None
    assert (reader.position, reader.spans) == (spool.log.end, 2)


def test_what_a_process_left_open_is_a_batch_of_its_own():
    spool = Spool()
    spool.log.append([traces(b"a")])
    spool.log = spool.opened()
    spool.log.append([traces(b"b"), TICK])
    left, new = spool.batches()
    assert shape([left, new]) == ["a", "b"]
    assert left.arrival_ns == 40
    spool.log = spool.opened()
    assert [batch.id for batch in spool.batches()] == [left.id, new.id]


def test_a_damaged_record_is_counted_and_its_batch_is_still_that_batch():
    spool = Spool()
    spool.log.append([traces(b"a", spans=2), traces(b"b", spans=3), TICK, traces(b"c"), TICK])
    before = spool.batches()
    spool.damage(1)
    after = spool.batches()
    assert shape(after) == ["a", "c"]
    assert [batch.id for batch in after] == [batch.id for batch in before]
    assert [batch.lost_spans for batch in after] == [3, 0]
    assert [batch.spans_after for batch in after] == [5, 6]


def test_a_damaged_tick_does_not_make_two_batches_one():
    spool = Spool()
    spool.log.append([traces(b"a"), TICK, traces(b"b"), TICK])
    before = spool.batches()
    spool.damage(1)
    after = spool.batches()
    assert shape(after) == ["a", "b"]
    assert [(batch.id, batch.end) for batch in after] == [(batch.id, batch.end) for batch in before]
    assert [batch.lost_spans for batch in after] == [0, 0]


def test_a_batch_of_which_nothing_is_left_is_counted():
    spool = Spool()
    spool.log.append([traces(b"a"), TICK, traces(b"b", spans=7), TICK, traces(b"c"), TICK])
    spool.damage(2, 3)
    first, lost, last = spool.batches()
    assert shape([first, lost, last]) == ["a", "", "c"]
    assert (lost.lost_spans, first.lost_spans, last.lost_spans) == (7, 0, 0)


def test_spans_lost_before_the_mark_and_behind_it_are_told_apart():
    spool = Spool()
    spool.log.append([traces(b"a"), TICK, traces(b"b", spans=7), TICK, traces(b"c", spans=5), TICK, traces(b"d"), TICK])
    mark = spool.batches()[1]
    spool.damage(2, 3, 4, 5)
    batches = spool.batches(cut=(mark.end, mark.spans_after))
    assert shape(batches) == ["a", "", "", "d"]
    assert [batch.lost_spans for batch in batches] == [0, 7, 5, 0]
    assert batches[1].end == mark.end


def test_what_is_left_of_a_batch_whose_first_part_was_deleted_is_still_that_batch():
    spool = Spool()
    spool.log = Log(SimFiles(spool.disk), segment_bytes=1)
    spool.log.append([traces(b"a"), TICK, traces(b"b")])
    spool.log.append([traces(b"c"), TICK])
    _, batch = spool.batches()
    spool.log.forget(next(placed.end for placed in spool.log.read(0) if placed.record.body == b"b"))
    (rest,) = spool.batches(spool.log.start, spool.log.start_spans)
    assert shape([rest]) == ["c"]
    assert (rest.id, rest.lost_spans) == (batch.id, 0)


class Door:
    def __init__(self, *, max_spool_bytes: int = MUCH, opening: tuple[Record, ...] = ()) -> None:
        self.disk = Disk(Random(1))
        self.now = 0.0
        self.log = Log(SimFiles(self.disk), segment_bytes=1000)
        self.committer = Committer(
            self.log,
            batcher(max_wait_s=1),
            max_spool_bytes=max_spool_bytes,
            opening=opening,
            clock=lambda: self.now,
            clock_ns=lambda: 9,
        )

    def spooled(self) -> str:
        return kinds([placed.record for placed in self.log.read(0)])


def test_what_opens_the_spool_is_a_batch_of_its_own_and_is_written_even_if_the_first_time_fails():
    rules = Record(Kind.RULES, 1, body=b"{}")
    door = Door(opening=(rules,))
    assert door.committer.due_in() == 0
    door.disk.faults = {"sync": 1}
    assert door.committer.commit([]) == ([], ())
    assert door.committer.due_in() == 0
    door.disk.faults = {}
    answers, written = door.committer.commit([traces()])
    assert answers == [None]
    assert kinds(written).endswith("r.r")
    assert rules in written
    door.now += 1
    door.committer.commit([])
    assert door.spooled().endswith("r.r.")


def test_the_spool_is_bounded_and_small_requests_still_fit():
    door = Door(max_spool_bytes=3 * HEADER_BYTES + 300)
    big, small = traces(bytes(290)), traces(bytes(10))
    (taken, refused, fits), _ = door.committer.commit([big, big, small])
    assert (taken, fits) == (None, None)
    assert refused.kind is RefusalKind.UNAVAILABLE
    assert "limit" in str(refused)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError()])
def test_nothing_of_a_group_that_cannot_be_written_is_taken_and_the_next_is(error, monkeypatch):
    door = Door()
    monkeypatch.setattr(type(door.log), "append", lambda *_: (_ for _ in ()).throw(error))
    answers, written = door.committer.commit([traces(), traces()])
    assert [answer.kind for answer in answers] == [RefusalKind.UNAVAILABLE] * 2
    assert written == ()
    monkeypatch.undo()
    assert door.committer.commit([traces()])[0] == [None]
    door.now += 1
    assert door.committer.due_in() == 0
    door.committer.commit([])
    assert door.spooled() == "r."
