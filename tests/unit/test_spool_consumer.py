"""From the spool into the store: in order, once, over every failure of the stages and the sink."""

from __future__ import annotations

import logging
import struct
from random import Random
from typing import TYPE_CHECKING

import pytest

from clew_processor.errors import Stopped
from clew_processor.spool.consumer import EXCLUDED, TRIES, Consumer, Pace
from clew_processor.spool.opening import opened
from clew_processor.spool.record import Kind, Record
from shared.simulation import Disk, SimFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from clew_processor.spool.batches import Batch

MUCH = 1 << 30
TICK = Record(Kind.TICK, 50)


class Panic(BaseException):
    """As the kernel's are: no Exception."""


class Stages:
    """Remembers how many records it saw; fails where it is told to."""

    def __init__(self) -> None:
        self.seen = 0
        self.ticks: list[int] = []
        self.fails: Callable[[list[bytes]], BaseException | None] = lambda _: None
        self.tick_fails = False

    def process(self, batch: Batch, excluded: Collection[int]) -> list[str]:
        taken = [bytes(placed.record.body) for placed in batch.records if placed.start not in excluded]
        if error := self.fails(taken):
            raise error
        self.seen += len(taken)
        return [f"{self.seen}:" + " ".join(body.decode() for body in taken)]

    def tick(self, arrival_ns: int) -> None:
        if self.tick_fails:
            raise ValueError("poisoned tick")
        self.ticks.append(arrival_ns)

    def culprits(self, batch: Batch) -> list[int]:
        return [placed.start for placed in batch.records if self.fails([bytes(placed.record.body)])]

    def state(self) -> list[bytes | memoryview]:
        return [struct.pack("<Q", self.seen)]

    def restore(self, state: Sequence[bytes | memoryview] | None) -> None:
        self.seen = 0
        if state is not None:
            if [*map(len, state)] != [8]:
                raise ValueError("not ours")
            (self.seen,) = struct.unpack("<Q", state[0])


class Sink:
    def __init__(self) -> None:
        self.stored: dict[str, list[str]] = {}
        self.calls: list[str] = []
        self.fails: list[BaseException] = []

    def store(self, batch: Batch, processed: list[str]) -> None:
        self.calls.append(processed[0])
        if self.fails:
            raise self.fails.pop(0)
        self.stored.setdefault(batch.id, processed)

    @property
    def rows(self) -> list[str]:
        return [row for rows in self.stored.values() for row in rows]


class Line:
    """A spool, its consumer, and what became of it; `restart` is another process on the same disk."""

    def __init__(self, *, segment_bytes: int = MUCH, every_s: float = 1000, every_batches: int = 1000) -> None:
        self.disk = Disk(Random(1))
        self.sink = Sink()
        self.now = 0.0
        self.pauses = 0
        self._segment_bytes = segment_bytes
        self.pace = Pace(every_s=every_s, every_batches=every_batches)
        self.start(Stages())

    def start(self, stages: Stages) -> None:
        files = SimFiles(self.disk)
        self.stages = stages
        self.log, self.progress, self.checkpoints = opened(files, segment_bytes=self._segment_bytes)
        self.consumer = Consumer(
            self.log,
            files,
            self.progress,
            self.checkpoints,
            stages=stages,
            sink=self.sink,
            clock=lambda: self.now,
            pause=self._pause,
            pace=self.pace,
        )
        self.consumer.recover()

    def restart(self) -> None:
        fails = self.stages.fails
        self.disk.kill()
        self.start(Stages())
        self.stages.fails = fails

    def write(self, *batches: str) -> None:
        for batch in batches:
            self.log.append([*(Record(Kind.TRACES, 40, "acme", 1, word.encode()) for word in batch.split()), TICK])

    def run(self) -> list[str]:
        while self.consumer.step():
            pass
        return self.sink.rows

    def _pause(self, seconds: float) -> None:
        self.now += seconds
        self.pauses += 1
        if self.pauses > 100:
            raise Stopped("it waits for ever")


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("clew_processor.spool").setLevel(logging.CRITICAL)


def test_batches_are_stored_in_order_and_time_passes():
    line = Line()
    line.write("a b", "", "c")
    assert line.run() == ["2:a b", "3:c"]
    assert line.stages.ticks == [50]
    assert line.consumer.position == line.log.end
    assert line.progress.mark.spans == 3


def test_a_process_that_ends_between_two_batches_goes_on_with_the_next():
    line = Line()
    line.write("a", "b")
    line.consumer.step()
    line.restart()
    assert line.run() == ["1:a", "2:b"]
    assert line.sink.calls == ["1:a", "2:b"]  # the first was only remembered


def test_a_batch_is_stored_again_the_same_way_if_its_mark_was_not_written():
    line = Line()
    line.write("a", "b")
    line.sink.fails = [Panic()]
    with pytest.raises(Panic):
        line.consumer.step()
    line.restart()
    assert line.run() == ["1:a", "2:b"]
    assert line.sink.calls == ["1:a", "1:a", "2:b"]


def test_a_mark_that_cannot_be_written_is_waited_for():
    line = Line()
    line.write("a")
    line.disk.faults = {"full": 0.5}
    assert line.run() == ["1:a"]
    assert line.progress.mark.spans == 1


def test_what_is_remembered_comes_from_the_checkpoint_and_what_it_made_needless_is_deleted():
    line = Line(segment_bytes=1)
    line.write("a", "b", "c", "d")
    line.run()
    line.consumer.checkpoint()
    line.write("e")
    line.run()
    line.consumer.checkpoint()
    assert line.log.start_spans == 4  # what is behind the older checkpoint is kept
    line.restart()
    assert line.stages.seen == 5
    line.write("f")
    assert line.run()[-1] == "6:f"


def test_one_checkpoint_alone_lets_nothing_go_and_an_idle_spool_lets_everything_go():
    line = Line(segment_bytes=1, every_s=1)
    line.write("a", "b", "c")
    line.run()
    files = len(line.disk.names())
    line.consumer.checkpoint()
    assert len(line.disk.names()) == files + 1
    for _ in range(5):
        line.now += 1
        line.consumer.rest()
    assert sum(name.endswith(".spool") for name in line.disk.names()) == 1
    assert len([*line.checkpoints.load()]) == 2


def test_checkpoints_come_after_so_much_time_or_so_many_batches():
    line = Line(every_s=10, every_batches=3)
    line.write(*"abcdefg")
    line.run()
    assert next(line.checkpoints.load()).spans == 6
    line.now += 10
    line.consumer.rest()
    assert next(line.checkpoints.load()).spans == 7


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_damaged_checkpoint_costs_a_longer_replay(damaged):
    line = Line(segment_bytes=1)
    for word in "abc":
        line.write(word)
        line.run()
        line.consumer.checkpoint()
    for name in [name for name in line.disk.names() if name.startswith("checkpoint")][-damaged:]:
        line.disk.content(name)[-1] ^= 1
    line.write("d")
    line.restart()
    # With both gone what the deleted segments told is not remembered any more; nothing is stored twice or lost.
    assert line.run() == ["1:a", "2:b", "3:c", "4:d" if damaged == 1 else "2:d"]


def test_a_checkpoint_of_another_version_is_not_used_and_nothing_is_stored_twice():
    line = Line()
    line.write("a", "b")
    line.run()
    line.stages.state = lambda: [b"another form"]
    line.consumer.checkpoint()
    line.write("c")
    line.restart()
    assert line.run() == ["1:a", "2:b", "3:c"]
    assert line.sink.calls == ["1:a", "2:b", "3:c"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError(), ValueError("a bug")])
def test_a_checkpoint_that_cannot_be_made_is_made_later(error):
    line = Line(every_s=1)
    line.write("a")
    line.stages.state = lambda: (_ for _ in ()).throw(error)
    line.run()
    line.consumer.checkpoint()
    assert list(line.checkpoints.load()) == []
    del line.stages.state
    line.now += 1
    line.consumer.rest()
    assert next(line.checkpoints.load()).spans == 1


def test_no_checkpoint_is_made_while_a_replay_is_behind_the_mark():
    line = Line()
    line.write("a", "b")
    line.run()
    line.restart()
    line.consumer.step()
    line.consumer.checkpoint()
    assert list(line.checkpoints.load()) == []


@pytest.mark.parametrize("kind", [ValueError, Panic])
def test_the_record_at_fault_is_set_aside_and_the_others_go_on(kind):
    line = Line()
    line.write("a", "b bad c", "d")
    line.stages.fails = lambda taken: kind("poison") if b"bad" in taken else None
    assert line.run() == ["1:a", "3:b c", "4:d"]
    line.restart()
    line.write("e")
    assert line.run()[-1] == "5:e"
    assert line.sink.calls == ["1:a", "3:b c", "4:d", "5:e"]


def test_a_batch_of_which_no_record_fails_alone_is_set_aside_whole():
    line = Line()
    line.write("a", "b c", "d")
    line.stages.fails = lambda taken: ValueError("together") if len(taken) > 1 else None
    assert line.run() == ["1:a", "1:", "2:d"]


def test_a_batch_that_fails_even_without_its_culprits_is_set_aside_whole():
    line = Line()
    line.write("a", "b bad c", "d")
    line.stages.fails = lambda taken: (
        ValueError("both") if b"bad" in taken or (b"c" in taken and len(taken) > 1) else None
    )
    assert line.run() == ["1:a", "1:", "2:d"]


def test_if_nobody_can_tell_the_culprits_the_batch_is_set_aside_whole():
    line = Line()
    line.write("b bad c", "d")
    line.stages.fails = lambda taken: ValueError("poison") if b"bad" in taken else None
    line.stages.culprits = lambda _: (_ for _ in ()).throw(Panic())
    assert line.run() == ["0:", "1:d"]


def test_a_tick_that_fails_is_left_out():
    line = Line()
    line.write("a", "", "b")
    line.stages.tick_fails = True
    assert line.run() == ["1:a", "2:b"]


def test_what_was_set_aside_is_so_after_a_restart_and_forgotten_with_its_segment():
    line = Line(segment_bytes=1)
    line.write("a bad")
    line.stages.fails = lambda taken: ValueError("poison") if b"bad" in taken else None
    line.run()
    line.stages.fails = lambda _: None
    line.restart()
    line.write("b")
    assert line.run() == ["1:a", "2:b"]
    line.consumer.checkpoint()
    line.write("c")
    line.run()
    line.consumer.checkpoint()
    assert len(line.disk.content(EXCLUDED)) == 8


@pytest.mark.parametrize("spoil", [lambda data: data.__setitem__(9, data[9] ^ 1), lambda data: data.clear()])
def test_a_damaged_list_of_what_was_set_aside_is_found_out_again(spoil):
    line = Line()
    line.write("a bad", "b")
    line.stages.fails = lambda taken: ValueError("poison") if b"bad" in taken else None
    line.run()
    spoil(line.disk.content(EXCLUDED))
    line.write("c")
    line.restart()
    assert line.run() == ["1:a", "2:b", "3:c"]


def test_memory_that_is_out_for_a_moment_costs_nothing():
    line = Line()
    line.write("a", "b")
    errors = [MemoryError(), MemoryError()]
    line.stages.fails = lambda _: errors.pop() if errors else None
    assert line.run() == ["1:a", "2:b"]
    assert line.pauses == 2


def test_a_batch_for_which_memory_is_never_enough_is_set_aside_in_the_end():
    line = Line()
    line.write("a", "huge", "b")
    line.stages.fails = lambda taken: MemoryError() if b"huge" in taken else None
    assert line.run() == ["1:a", "1:", "2:b"]
    assert line.pauses == TRIES - 1


def test_a_sink_that_stumbles_is_tried_again_and_a_batch_it_always_stumbles_over_is_set_aside():
    line = Line()
    line.write("a", "b")
    line.sink.fails = [TypeError("a bug")] * TRIES
    assert line.run() == ["0:", "1:b"]
    line.write("c")
    line.sink.fails = [TypeError("a bug")]
    assert line.run()[-1] == "2:c"


@pytest.mark.parametrize("order", [Stopped("leave"), OSError(5, "Input/output error")])
def test_a_sink_that_is_told_to_leave_or_whose_disk_fails_takes_the_batch_again(order):
    line = Line()
    line.write("a")
    line.sink.fails = [order]
    with pytest.raises(type(order)):
        line.consumer.step()
    line.consumer.recover()
    assert line.run() == ["1:a"]
    assert line.pauses == 0


def test_failing_without_any_record_left_waits_instead_of_spinning():
    line = Line()
    line.write("a")
    line.stages.fails = lambda _: ValueError("whatever it is given")
    with pytest.raises(Stopped):
        line.run()
