"""The record sequence: what is promised is read, what is not is not, and damage costs what it hits."""

from __future__ import annotations

import errno
import sys
import threading
from random import Random
from typing import TYPE_CHECKING

import pytest

from clew_processor.spool.files import BLOCK_BYTES, DiskFiles
from clew_processor.spool.log import SEGMENT_HEADER_BYTES, Log
from clew_processor.spool.record import HEADER_BYTES, Kind, Record, encoded
from shared.simulation import Crash, Disk, SimFile, SimFiles

if TYPE_CHECKING:
    from collections.abc import Callable

MUCH = 1 << 30


def record(body: bytes, *, spans: int = 1, tenant: str = "acme", kind: Kind = Kind.TRACES) -> Record:
    return Record(kind, 1_700_000_000 * 10**9, tenant, spans, body)


def disk() -> Disk:
    return Disk(Random(1))


def opened(where: Disk, *, segment_bytes: int = MUCH, recent_bytes: int = 0, **known: int) -> Log:
    """Reads all from the files unless something is to be kept in memory."""
    return Log(SimFiles(where), segment_bytes=segment_bytes, recent_bytes=recent_bytes, **known)


def bodies(log: Log, position: int = 0) -> list[bytes]:
    return [bytes(placed.record.body) for placed in log.read(position)]


def segments(where: Disk) -> list[str]:
    return [name for name in where.names() if name.endswith(".spool")]


def place(where: Disk, what: bytes) -> tuple[bytearray, int]:
    """The content of the file in which those bytes are, and where."""
    content = next(where.content(name) for name in segments(where) if what in where.content(name))
    return content, content.index(what)


def test_what_was_appended_is_read_in_order_with_places_and_span_counts(tmp_path):
    log = Log(DiskFiles(tmp_path), segment_bytes=MUCH)
    first = [record(b"one", spans=3), record(memoryview(b"two"), spans=2, tenant="tenant \N{SNOWMAN}")]
    log.append(first)
    log.append([record(b"", spans=0, tenant="", kind=Kind.TICK), record(bytes(3 << 20), spans=1)])
    placed = list(log.read(0))
    assert [one.record for one in placed[:2]] == first
    assert [one.spans_before for one in placed] == [0, 3, 5, 5]
    assert [one.end for one in placed] == [*(one.start for one in placed[1:]), log.end]
    assert placed[3].batch_start == placed[2].end > placed[2].batch_start == placed[0].batch_start
    assert [one.record.kind for one in log.read(placed[1].end)] == [Kind.TICK, Kind.TRACES]
    assert (log.spans, log.damage.places) == (6, 0)
    log.close()
    again = Log(DiskFiles(tmp_path), segment_bytes=MUCH)
    assert list(again.read(0)) == placed
    assert (again.spans, again.end, again.id) == (6, log.end, log.id)


def test_what_was_appended_last_is_read_from_memory_and_all_else_from_the_files():
    where = disk()
    log = opened(where, segment_bytes=400, recent_bytes=1000)
    everything = [bytes([number]) * 100 for number in range(20)]
    for body in everything:
        log.append([record(body)])
    reads = []
    where.during_read = lambda: reads.append(1)
    before = list(log.read(0))
    from_files = len(reads)
    assert [placed.record.body for placed in before] == everything
    assert list(log.read(0)) == before  # what was read once is no longer in memory
    assert 0 < from_files < len(reads) - from_files
    reads.clear()
    log.append([record(b"new")])
    assert bodies(log, before[-1].end) == [b"new"]
    assert not reads


def test_zeros_behind_the_last_record_are_no_damage():
    where = disk()
    where.block = 256
    log = opened(where)
    log.append([record(b"one")])
    where.kill()
    assert where.used % 256 == 0
    again = opened(where)
    assert bodies(again) == [b"one"]
    assert again.damage.places == 0
    again.append([record(b"two")])
    assert bodies(again) == [b"one", b"two"]


def test_whole_segments_are_deleted_and_the_one_that_takes_records_is_not():
    where = disk()
    log = opened(where, segment_bytes=300)
    for number in range(9):
        log.append([record(bytes([number]) * 100)])
    placed = list(log.read(0))
    assert len(segments(where)) == 5
    log.forget(placed[4].end)
    assert bodies(log) == [bytes([number]) * 100 for number in range(4, 9)]
    assert log.start_spans == 4
    log.forget(log.end)
    assert len(segments(where)) == 1
    log.append([record(b"more")])
    assert bodies(log)[-1] == b"more"
    assert log.size == where.used


def test_a_segment_that_cannot_be_deleted_is_deleted_later():
    where = disk()
    log = opened(where, segment_bytes=1)
    log.append([record(b"one")])
    log.append([record(b"two")])
    where.faults = {"names": 1}
    with pytest.raises(OSError, match="Input/output"):
        log.forget(log.end)
    where.faults = {}
    log.forget(log.end)
    assert len(segments(where)) == 1


def test_a_full_device_takes_nothing_and_goes_on_when_there_is_room():
    where = disk()
    log = opened(where)
    log.append([record(b"before")])
    where.capacity = where.used + 500
    with pytest.raises(OSError, match="No space"):
        log.append([record(bytes(300)), record(bytes(300))])
    assert where.used == where.capacity - 500  # given back
    assert bodies(log) == [b"before"]
    where.capacity += 500
    log.append([record(b"after")])
    assert bodies(log) == [b"before", b"after"]
    where.kill()
    assert bodies(opened(where)) == [b"before", b"after"]
    assert opened(where).spans == 2


def test_a_full_device_with_no_room_for_a_new_file_is_left_as_it_was():
    where = disk()
    log = opened(where, segment_bytes=1)
    log.append([record(b"before")])
    names, where.capacity = where.names(), where.used + 10
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            log.append([record(b"one")])
    assert where.names() == names
    where.capacity = MUCH
    log.append([record(b"two")])
    assert bodies(log) == [b"before", b"two"]


@pytest.mark.parametrize("also", [(), ("truncate",)])
@pytest.mark.parametrize("goes_on", [True, False])
def test_what_a_failed_sync_left_behind_is_never_read(also, goes_on):
    where = disk()
    log = opened(where)
    log.append([record(b"before")])
    where.faults = dict.fromkeys(("sync", *also), 1)
    with pytest.raises(OSError, match="Input/output"):
        log.append([record(b"refused")])
    where.faults = {}
    assert bodies(log) == [b"before"]
    if goes_on:
        log.append([record(b"after")])
    where.kill()
    found = bodies(opened(where))
    # Without a file behind it that says so, and with the bytes still there, it cannot be told from what was promised;
    # then it is stored once, as if the acknowledgement had been lost.
    assert (
        found == [b"before", b"after"] if goes_on else found in ([b"before"], [b"before", b"refused"][: 1 + len(also)])
    )


def test_a_write_that_a_kill_cut_short_is_no_damage():
    for cut in range(1, HEADER_BYTES + 10):
        where = disk()
        log = opened(where)
        log.append([record(b"before")])
        name = segments(where)[0]
        size = len(where.content(name))
        log.append([record(b"0123456789")])
        del where.content(name)[size + cut :]
        again = opened(where)
        assert bodies(again) == [b"before"]
        again.append([record(b"after")])
        assert bodies(again) == [b"before", b"after"]
        assert again.damage.places == 0
        assert bodies(opened(where)) == [b"before", b"after"]


def test_a_killed_process_wrote_what_a_power_cut_does_not_take_away_once_it_was_read():
    where = disk()
    log = opened(where)
    log.append([record(b"before")])
    where.crash_after(2)  # in its sync
    with pytest.raises(Crash):
        log.append([record(b"written")])
    where.kill()
    assert bodies(opened(where)) == [b"before", b"written"]
    where.cut_power()
    assert bodies(opened(where)) == [b"before", b"written"]


def test_if_it_cannot_be_synced_it_is_written_again():
    where = disk()
    log = opened(where)
    log.append([record(b"before")])
    where.crash_after(2)
    with pytest.raises(Crash):
        log.append([record(b"written")])
    where.kill()
    where.faults = {"sync": 1}
    assert bodies(opened(where)) == [b"before", b"written"]
    where.cut_power()
    where.faults = {}
    assert bodies(opened(where)) == [b"before", b"written"]


@pytest.mark.parametrize("part", ["body", "header"])
def test_a_damaged_record_costs_only_itself(part):
    where = disk()
    log = opened(where)
    log.append([record(b"first"), record(b"second", spans=5), record(b"third")])
    content, at = place(where, b"second")
    content[at - (0 if part == "body" else HEADER_BYTES)] ^= 1
    for fresh in (log, opened(where)):
        for _ in range(2):
            assert bodies(fresh) == [b"first", b"third"]
        assert fresh.damage.places == 1
        assert fresh.damage.size == HEADER_BYTES + len("acme") + len("second")
        assert [placed.spans_before for placed in fresh.read(0)] == [0, 6]


def test_the_last_record_damaged_is_counted_and_what_follows_is_read():
    where = disk()
    log = opened(where)
    log.append([record(b"first"), record(b"last")])
    content, at = place(where, b"last")
    content[at] ^= 1
    again = opened(where)
    assert again.damage.places == 1
    again.append([record(b"more")])
    assert bodies(again) == [b"first", b"more"]


def test_damage_in_several_files_is_counted_wherever_it_is_noticed_first():
    where = disk()
    log = opened(where, segment_bytes=1)
    for text in (b"first", b"second", b"third"):
        log.append([record(text)])
    for text in (b"first", b"third"):
        content, at = place(where, text)
        content[at] ^= 1
    again = opened(where)
    assert bodies(again) == [b"second"]
    assert again.damage.places == 2


def test_bytes_that_look_like_a_record_are_not_taken_for_one():
    where = disk()
    log = opened(where)
    log.append([record(b"first")])
    stolen = bytes(where.content(segments(where)[0]))
    own = b"".join(encoded(record(b"forged"), salt=0, offset=0, spans_before=0, batch_start=0))
    log.append([record(stolen + own), record(b"last")])
    content, at = place(where, stolen)
    at = content.index(stolen, 1)
    content[at - HEADER_BYTES] ^= 1  # its header: what follows is searched for the next
    assert bodies(opened(where)) == [b"first", b"last"]


def test_the_first_block_of_a_file_costs_only_the_records_in_it():
    where = disk()
    log = opened(where)
    log.append([record(b"first" + bytes(BLOCK_BYTES)), *(record(bytes([n]) * 2000) for n in range(1, 5))])
    content = where.content(segments(where)[0])
    content[:BLOCK_BYTES] = bytes(BLOCK_BYTES)
    again = opened(where)
    assert bodies(again) == [bytes([n]) * 2000 for n in range(1, 5)]
    assert (again.spans, again.id, again.damage.places) == (5, log.id, 2)


def test_a_block_the_device_cannot_read_costs_only_the_records_in_it(monkeypatch):
    where = disk()
    log = opened(where)
    log.append([record(bytes([n]) * 3000) for n in range(1, 9)])
    read = SimFile.read

    def bad(file: SimFile, offset: int, size: int) -> bytes:
        if offset < 10_000 < offset + size:
            raise OSError(errno.EIO, "Input/output error")
        return read(file, offset, size)

    monkeypatch.setattr(SimFile, "read", bad)
    found = [body[0] for body in bodies(opened(where))]
    assert found == [1, 2, 5, 6, 7, 8]


def test_records_are_written_beyond_what_is_known_to_have_been_used():
    where = disk()
    log = opened(where, beyond=10**15, spans=77)
    assert log.end == 10**15
    log.append([record(b"one")])
    (placed,) = log.read(0)
    assert placed.start > 10**15
    assert placed.spans_before == log.start_spans == 77
    assert opened(where, beyond=10**15, spans=77).spans == 78


def test_a_process_does_not_use_positions_or_the_batch_of_the_one_before():
    where = disk()
    log = opened(where)
    log.append([record(b"one")])
    again = opened(where)
    again.append([record(b"two")])
    one, two = again.read(0)
    assert two.start > one.end
    assert two.batch_start > one.end > one.batch_start


def test_files_that_are_none_of_its_own_are_left_alone():
    where = disk()
    files = SimFiles(where)
    strange = (
        "x.spool",
        f"{10**18}.spool",
        f"{'9' * 19}-{'0' * 16}.spool",
        f"{'0' * 19}-{'z' * 16}.spool",
        "²-a.spool",
    )
    for name in strange:
        files.replace(name, [b"what?" * 50])
    log = opened(where)
    log.append([record(b"one")])
    assert bodies(opened(where)) == [b"one"]
    assert set(strange) < set(where.names())


def test_a_file_that_never_got_its_header_is_deleted():
    where = disk()
    log = opened(where)
    log.append([record(b"one")])
    SimFiles(where).replace(f"{10**15:019d}-{log.id:016x}.spool", [bytes(SEGMENT_HEADER_BYTES - 1)])
    again = opened(where)
    assert bodies(again) == [b"one"]
    assert (len(segments(where)), again.damage.places) == (1, 0)


class Interrupted:
    """A lock; the other thread comes in between at its n-th taking."""

    def __init__(self, moment: int, other: Callable[[], None]) -> None:
        self._left, self._other = moment, other

    def __enter__(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.interrupt()

    def interrupt(self) -> None:
        """Lets the other come now, if it has not been there."""
        other, self._other = self._other, lambda: None
        other()

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("moment", range(1, 12))
@pytest.mark.parametrize("segment_bytes", [1, 400])
def test_a_reader_misses_nothing_that_is_appended_at_any_moment(moment, segment_bytes):
    where = disk()
    log = opened(where, segment_bytes=segment_bytes)
    log.append([record(b"1"), record(b"2")])

    def other() -> None:
        log.append([record(b"3" * 200)])
        log.append([record(b"4" * 200)])
        log.append([record(b"5")])

    log._lock = lock = Interrupted(moment, other)
    found = list(log.read(0))
    lock.interrupt()
    found += log.read(found[-1].end)
    assert [bytes(placed.record.body)[:1] for placed in found] == [b"1", b"2", b"3", b"4", b"5"]


def test_one_thread_reads_while_another_appends_in_ever_new_segments(tmp_path):
    log = Log(DiskFiles(tmp_path), segment_bytes=200, sync=False)
    count = 3000

    def append() -> None:
        for number in range(count):
            log.append([record(number.to_bytes(4, "little"))])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=append)
    thread.start()
    try:
        found: list[int] = []
        position = 0
        while len(found) < count and (thread.is_alive() or position < log.end):
            for placed in log.read(position):
                found.append(int.from_bytes(placed.record.body, "little"))
                position = placed.end
            log.forget(position)
    finally:
        thread.join()
        sys.setswitchinterval(interval)
    assert found == list(range(count))
    assert log.damage.places == 0
