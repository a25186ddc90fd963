"""What the consumer keeps on disk: how far it is, what the stages remember, and room to write that down."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import tracemalloc
from random import Random

import pytest
from xxhash import xxh3_64_intdigest

from clew_processor.spool.checkpoint import Checkpoint, Checkpoints
from clew_processor.spool.files import BLOCK_BYTES, DirectFile, DiskFiles
from clew_processor.spool.opening import opened
from clew_processor.spool.progress import NAME, Mark, Progress
from clew_processor.spool.record import Kind, Record
from clew_processor.spool.reserve import Reserve
from shared.simulation import Disk, SimFiles

MUCH = 1 << 30


def disk() -> Disk:
    return Disk(Random(1))


def names(where: Disk, beginning: str) -> list[str]:
    return [name for name in where.names() if name.startswith(beginning)]


# How far it is


def test_the_last_mark_is_read_again():
    where = disk()
    progress = Progress(SimFiles(where))
    assert progress.mark == Mark(0, 0)
    for number in range(1, 4):
        progress.set(Mark(100 * number, number))
    assert Progress(SimFiles(where)).mark == Mark(300, 3)


@pytest.mark.parametrize("byte", range(0, 80, 5))
def test_damage_to_the_mark_costs_the_last_one_at_most(byte):
    where = disk()
    progress = Progress(SimFiles(where))
    progress.set(Mark(100, 1))
    progress.set(Mark(200, 2))
    where.content(NAME)[byte] ^= 4
    assert Progress(SimFiles(where)).mark in (Mark(100, 1), Mark(200, 2))


@pytest.mark.parametrize("size", range(0, 80, 7))
def test_a_mark_cut_short_is_none(size):
    where = disk()
    progress = Progress(SimFiles(where))
    progress.set(Mark(100, 1))
    progress.set(Mark(200, 2))
    del where.content(NAME)[size:]
    assert Progress(SimFiles(where)).mark in (Mark(), Mark(200, 2))


def test_a_mark_that_could_not_be_written_is_not_set():
    where = disk()
    progress = Progress(SimFiles(where))
    progress.set(Mark(100, 1))
    where.faults = {"full": 1}
    with pytest.raises(OSError, match="No space"):
        progress.set(Mark(200, 2))
    assert progress.mark == Mark(100, 1)
    assert Progress(SimFiles(where)).mark == Mark(100, 1)


def test_marks_need_no_room_once_the_file_is_there():
    where = disk()
    progress = Progress(SimFiles(where))
    where.capacity = where.used
    for number in range(4):
        progress.set(Mark(number, number))
    assert where.used == where.capacity


def test_a_mark_is_only_raised():
    progress = Progress(SimFiles(disk()))
    progress.set(Mark(100, 7))
    progress.settle(50, 3)
    assert progress.mark == Mark(100, 7)
    progress.settle(150, 9)
    assert progress.mark == Mark(150, 9)


# What the stages remember


def saved(where: Disk, *positions: int) -> list[int]:
    checkpoints = Checkpoints(SimFiles(where))
    return [checkpoints.save(Checkpoint(position, position // 10, [b"state %d" % position])) for position in positions]


def test_the_newest_two_are_kept_and_the_spool_is_needed_from_the_older_one():
    where = disk()
    assert saved(where, 100, 200, 300) == [0, 100, 200]
    assert list(Checkpoints(SimFiles(where)).load()) == [
        Checkpoint(300, 30, [b"state 300"]),
        Checkpoint(200, 20, [b"state 200"]),
    ]
    assert len(names(where, "checkpoint")) == 2


def test_saved_twice_at_one_position_there_are_two_of_it():
    where = disk()
    assert saved(where, 100, 200, 200, 200) == [0, 100, 200, 200]
    assert [checkpoint.position for checkpoint in Checkpoints(SimFiles(where)).load()] == [200, 200]


@pytest.mark.parametrize("spoil", [lambda data: data.__delitem__(slice(20, None)), lambda data: data.clear()])
def test_the_older_one_serves_where_the_newest_is_damaged(spoil):
    where = disk()
    saved(where, 100, 200)
    spoil(where.content(names(where, "checkpoint")[-1]))
    checkpoints = Checkpoints(SimFiles(where))
    assert [checkpoint.position for checkpoint in checkpoints.load()] == [100]
    assert (checkpoints.newest, checkpoints.newest_spans) == (200, 20)  # its name is known all the same
    assert checkpoints.save(Checkpoint(300, 30, [b""])) == 100  # the damaged one is no second
    assert [checkpoint.position for checkpoint in checkpoints.load()] == [300, 100]


@pytest.mark.parametrize("bit", [*range(0, 48 * 8, 13), 49 * 8, 56 * 8])
def test_no_changed_bit_goes_unnoticed(bit):
    where = disk()
    saved(where, 100)
    where.content(names(where, "checkpoint")[0])[bit // 8] ^= 1 << bit % 8
    assert list(Checkpoints(SimFiles(where)).load()) == []


def test_state_comes_back_in_the_parts_it_was_given_in():
    where = disk()
    parts = [b"one", memoryview(b"two"), b"", b"three"]
    Checkpoints(SimFiles(where)).save(Checkpoint(100, 10, parts))
    assert next(Checkpoints(SimFiles(where)).load()).state == parts


def forged(count: int, sizes: list[int], state: bytes) -> bytes:
    """A checkpoint at 100 whose checksum is right, whatever it says of its parts."""
    body = struct.pack(f"<QQQ{len(sizes)}Q", 100, 10, count, *sizes) + state
    return b"clewchk2" + xxh3_64_intdigest(body).to_bytes(8, "little") + body


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (1, [8]), (1, [10]), (2, [9]), (3, [9, 0]), (0, []), (2, [2**64 - 1, 10]), (1, [2**63]), (2**61, [9]),
        (2**64 - 1, [9]), (10**9, []),
    ],
)  # fmt: skip
def test_parts_that_the_file_does_not_have_are_not_believed(count, sizes):
    where = disk()
    saved(where, 100)
    content = where.content(names(where, "checkpoint")[0])
    content[:] = forged(1, [9], b"state 100")
    assert [checkpoint.state for checkpoint in Checkpoints(SimFiles(where)).load()] == [[b"state 100"]]
    content[:] = forged(count, sizes, b"state 100")
    assert list(Checkpoints(SimFiles(where)).load()) == []


@pytest.mark.parametrize("size", range(0, 41, 4))
def test_a_file_that_ends_too_early_with_the_right_checksum_is_not_believed(size):
    where = disk()
    saved(where, 100)
    body = forged(1, [9], b"state 100")[16:][:size]
    where.content(names(where, "checkpoint")[0])[:] = b"clewchk2" + xxh3_64_intdigest(body).to_bytes(8, "little") + body
    assert [checkpoint.state for checkpoint in Checkpoints(SimFiles(where)).load()] == []


@pytest.mark.parametrize("direct", [False, True])
def test_state_is_not_put_together_to_be_written(tmp_path, direct):
    checkpoints = Checkpoints(DiskFiles(tmp_path, direct=direct))
    parts = [memoryview(Random(n).randbytes(3_000_001)) for n in range(5)]
    tracemalloc.start()
    try:
        checkpoints.save(Checkpoint(100, 10, parts))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert next(checkpoints.load()).state == parts


def test_one_that_the_device_cannot_read_is_skipped(monkeypatch):
    where = disk()
    saved(where, 100, 200)
    read = SimFiles.read

    def bad(files: SimFiles, name: str) -> bytes:
        if f"{200:019d}" in name:
            raise OSError(errno.EIO, "Input/output error")
        return read(files, name)

    monkeypatch.setattr(SimFiles, "read", bad)
    assert [checkpoint.position for checkpoint in Checkpoints(SimFiles(where)).load()] == [100]


def test_one_that_cannot_be_written_leaves_those_before():
    where = disk()
    saved(where, 100, 200)
    where.faults = {"replace": 1}
    with pytest.raises(OSError, match="Input/output"):
        saved(where, 300)
    where.faults = {}
    assert [checkpoint.position for checkpoint in Checkpoints(SimFiles(where)).load()][-2:] == [200, 100]


def test_room_that_is_needed_more_than_a_second_one_is_given():
    where = disk()
    checkpoints = Checkpoints(SimFiles(where))
    assert checkpoints.settle_for_one() == 0
    for position in (100, 200):
        checkpoints.save(Checkpoint(position, 1, [b""]))
    assert checkpoints.settle_for_one() == 200
    assert [checkpoint.position for checkpoint in checkpoints.load()] == [200]


# Room


def test_a_full_device_has_room_for_what_frees_it():
    where = disk()
    files = Reserve(SimFiles(where), least_bytes=1000)
    where.capacity = where.used
    files.replace("important", [bytes(600)])
    assert bytes(where.content("important")) == bytes(600)
    assert "reserve" not in files.names()
    with pytest.raises(OSError, match="No space"):
        files.replace("more", [bytes(600)])
    files.remove("important")  # what comes free is kept again
    files.replace("more", [bytes(900)])


def test_the_reserve_grows_with_what_is_written():
    where = disk()
    files = Reserve(SimFiles(where), least_bytes=100)
    files.replace("state", [bytes(5000)])
    where.capacity = where.used
    files.replace("next state", [bytes(9000)])


def test_other_trouble_than_a_full_device_does_not_touch_the_reserve():
    where = disk()
    files = Reserve(SimFiles(where), least_bytes=100)
    where.faults = {"replace": 1}
    with pytest.raises(OSError, match="Input/output"):
        files.replace("state", [b""])
    assert len(where.content("reserve")) == 100


# All of it together


def test_what_is_known_from_one_file_makes_up_for_another():
    where = disk()
    spool = opened(SimFiles(where), segment_bytes=MUCH)
    spool.log.append([Record(Kind.TRACES, 1, "acme", 5, b"x"), Record(Kind.TICK, 1)])
    position = spool.log.end
    spool.checkpoints.save(Checkpoint(position, 5, [b""]))
    for name in where.names():
        if not name.startswith("checkpoint"):
            where.content(name).clear()
    again = opened(SimFiles(where), segment_bytes=MUCH)
    assert again.progress.mark == Mark(position, 5)
    assert again.log.spans == 5
    again.log.append([Record(Kind.TICK, 1)])
    (placed,) = again.log.read(0)
    assert placed.start > position
    assert placed.spans_before == 5


# The operating system's files


@pytest.mark.parametrize("direct", [False, True])
def test_files_of_the_operating_system_do_what_they_should(tmp_path, direct):
    files = DiskFiles(tmp_path / "spool", direct=direct)
    file = files.open("a", appending=True)
    file.append([b"one", memoryview(b"two"), b""])
    file.append([bytes([n % 256]) for n in range(3000)])  # more parts than one call takes
    assert file.read(0, 8) == b"onetwo\0\1"
    assert file.size() == 3006
    file.write_at(3004, b"12345")
    assert (file.size(), file.read(3000, 100)[4:]) == (3009, b"12345")
    file.truncate(4)
    file.append([b"X"])
    file.sync()
    assert file.read(0, 100) == b"onetX"
    file.close()
    files.replace("b", [b"new"])
    files.sync_names()
    assert files.names() == ["a", "b"]
    assert files.read("b") == b"new"
    files.remove("a")
    files.remove("a")
    assert files.names() == ["b"]
    with pytest.raises(FileNotFoundError):
        files.read("a")


@pytest.mark.parametrize("taken", range(10))
def test_what_a_write_did_not_take_is_written_after_it(tmp_path, monkeypatch, taken):
    monkeypatch.setattr("os.pwritev", lambda where, parts, at: os.pwrite(where, b"".join(parts)[:taken], at))
    file = DiskFiles(tmp_path).open("log")
    file.append([b"one", b"", memoryview(b"two"), b"four"])
    assert (file.size(), file.read(0, 99)) == (10, b"onetwofour")


@pytest.fixture
def file(tmp_path):
    """Open to be appended to, past the page cache."""
    file = DiskFiles(tmp_path, direct=True).open("log", appending=True)
    assert isinstance(file, DirectFile), "the file system of the temporary directory takes no direct writes"
    yield file
    file.close()


def test_what_is_appended_past_the_page_cache_is_there_whatever_its_size(file, tmp_path):
    chance, whole = Random(7), b""
    for size in (1, 4095, 4096, 0, 1, 5000, 3 << 20, 7, (5 << 20) + 1, 4094, 2 << 20):
        parts = [chance.randbytes(size), b"", memoryview(chance.randbytes(size % 5000))]
        file.append(parts)
        file.sync()
        whole += b"".join(parts)
        assert file.size() == len(whole)
        written = (tmp_path / "log").read_bytes()
        assert written.startswith(whole)
        assert len(written) - len(whole) < BLOCK_BYTES
        assert not written[len(whole) :].strip(b"\0")
    file.seal()
    assert (tmp_path / "log").read_bytes() == whole


def test_what_is_read_past_the_page_cache_is_what_stands_there_wherever_it_begins(file, monkeypatch):
    chance = Random(8)
    whole = chance.randbytes((5 << 20) + 1234)
    file.append([whole])
    read = os.preadv

    def a_block_at_a_time(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        return read(descriptor, [buffers[0][:BLOCK_BYTES]], offset)

    places = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, len(whole) - 1235, len(whole) - 1, len(whole), len(whole) + 9]
    places += [chance.randrange(len(whole)) for _ in range(20)]
    for sealed in (False, True):
        for at in places:
            for size in (0, 1, 100, BLOCK_BYTES, 70_000, 3 << 20):
                found = file.read(at, size)
                assert found == whole[at : at + size]
                assert memoryview(found).readonly
        if not sealed:
            file.append([b"more"])
            whole += b"more"
            file.seal()
            monkeypatch.setattr("os.preadv", a_block_at_a_time)


def test_after_a_failed_write_past_the_page_cache_the_file_is_cut_and_goes_on(file, tmp_path, monkeypatch):
    file.append([b"a" * 5000])
    write, calls = os.pwrite, []

    def full(descriptor: int, data: memoryview, offset: int) -> int:
        calls.append(len(data))
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:BLOCK_BYTES], offset)

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(OSError, match="No space"):
        file.append([b"b" * 9000])
    monkeypatch.undo()
    assert file.size() == (tmp_path / "log").stat().st_size == 2 * BLOCK_BYTES
    file.truncate(5000)
    file.append([b"c"])
    file.seal()
    assert (tmp_path / "log").read_bytes() == b"a" * 5000 + b"c"


def test_where_nothing_can_be_written_past_the_page_cache_files_are_as_always(tmp_path, monkeypatch):
    write = os.pwrite

    def refuse(descriptor: int, data: memoryview, offset: int) -> int:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return write(descriptor, data, offset)

    monkeypatch.setattr("os.pwrite", refuse)
    file = DiskFiles(tmp_path, direct=True).open("log", appending=True)
    assert not isinstance(file, DirectFile)
    file.append([b"x"])
    assert file.read(0, 9) == b"x"
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, 3_000_001])
def test_a_replacement_past_the_page_cache_has_no_zeros_behind_it(tmp_path, size):
    files = DiskFiles(tmp_path, direct=True)
    files.replace("b", [b"longer" * 1_000_000])
    files.replace("b", [b"x" * size])
    assert (files.names(), files.read("b")) == (["b"], b"x" * size)


def test_room_is_taken_even_where_it_is_not_enough(tmp_path, monkeypatch):
    file = DiskFiles(tmp_path).open("reserve")
    file.append([b"x"])
    file.fill(9000)
    assert file.size() == (tmp_path / "reserve").stat().st_size == 9001
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= 9001

    write = os.pwrite

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    monkeypatch.setattr("os.pwritev", lambda where, parts, at: write(where, b"".join(parts)[: 12_000 - at], at))
    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(OSError, match="No space"):
        file.fill(9000)
    assert file.size() == 12_000


def test_a_replacement_that_fails_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch):
    files = DiskFiles(tmp_path)
    files.replace("b", [b"old"])
    monkeypatch.setattr("os.fdatasync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        files.replace("b", [b"new"])
    assert (files.names(), files.read("b")) == (["b"], b"old")


def test_what_a_crash_left_half_written_is_deleted_at_the_next_start(tmp_path):
    DiskFiles(tmp_path).replace("b", [b"old"])
    (tmp_path / "b.new").write_bytes(b"ne")
    assert DiskFiles(tmp_path).names() == ["b"]
