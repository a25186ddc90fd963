"""The few file operations that durability rests on. All else takes them as an argument and runs in simulation."""

from __future__ import annotations

import mmap
import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class File(Protocol):
    """One open file. What was written but not synced may be lost, in part or whole, when the machine stops."""

    def append(self, parts: Sequence[bytes | memoryview]) -> None:
        """Writes the parts one after the other at the end. After a crash there may be zeros behind them.

        Raises:
            OSError: no room, or the device failed; any prefix of them may have been written.
        """

    def fill(self, size: int) -> None:
        """Takes room for so many zeros at the end.

        Raises:
            OSError: there is less, and that is taken.
        """

    def seal(self) -> None:
        """Nothing will be appended any more."""

    def write_at(self, offset: int, data: bytes) -> None:
        """Overwrites."""

    def sync(self) -> None:
        """Returns when everything written is on the device.

        Raises:
            OSError: what was written since the last sync may be lost, and a second sync would not tell.
        """

    def read(self, offset: int, size: int) -> bytes | memoryview:
        """At most that many bytes from there; fewer at the end. Nobody may write to them."""

    def truncate(self, size: int) -> None:
        """Cuts the file to that many bytes."""

    def size(self) -> int:
        """Bytes in it."""

    def close(self) -> None:
        """Lets it go; without a sync."""


class Files(Protocol):
    """One flat directory that is ours alone."""

    def names(self) -> list[str]:
        """Of all files in it, sorted."""

    def open(self, name: str, *, appending: bool = False) -> File:
        """Opens it for reading and writing; made if it is not there.

        Args:
            name: which.
            appending: whether much will be appended, by the one thread that does so in this directory.
        """

    def read(self, name: str) -> bytes:
        """All of it.

        Raises:
            FileNotFoundError: it is not there.
        """

    def replace(self, name: str, parts: Sequence[bytes | memoryview]) -> None:
        """Puts the parts there at once and on the device: after a crash there is the old or the new content.

        Raises:
            OSError: there is the old or the new content.
        """

    def remove(self, name: str) -> None:
        """Deletes it, if it is there."""

    def sync_names(self) -> None:
        """Returns when files made and deleted are so on the device too."""


class DiskFile:
    """A `File` of the operating system."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size

    def append(self, parts: Sequence[bytes | memoryview]) -> None:
        """See `File`."""
        for start in range(0, len(parts), _MOST_PARTS):
            some = parts[start : start + _MOST_PARTS]
            written = os.pwritev(self._fd, some, self._size)
            self._size += written
            if written < sum(map(len, some)):  # a device about to be full takes less; the rest tells why
                for part in some:
                    self._append_one(memoryview(part)[written:])
                    written = max(0, written - len(part))

    def _append_one(self, part: memoryview) -> None:
        while part:
            written = os.pwrite(self._fd, part, self._size)
            self._size += written
            part = part[written:]

    def fill(self, size: int) -> None:
        """See `File`."""
        end = self._size + size
        try:
            os.posix_fallocate(self._fd, self._size, size)  # nothing is written
        except OSError:
            self._size = os.fstat(self._fd).st_size
            self.append([bytes(end - self._size)])
        self._size = end

    def seal(self) -> None:
        """See `File`."""

    def write_at(self, offset: int, data: bytes) -> None:
        """See `File`."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            offset, view = offset + written, view[written:]
        self._size = max(self._size, offset)

    def sync(self) -> None:
        """See `File`."""
        os.fdatasync(self._fd)

    def read(self, offset: int, size: int) -> bytes | memoryview:
        """See `File`."""
        return os.pread(self._fd, size, offset)

    def truncate(self, size: int) -> None:
        """See `File`."""
        os.ftruncate(self._fd, size)
        self._size = size

    def size(self) -> int:
        """See `File`."""
        return self._size

    def close(self) -> None:
        """See `File`."""
        os.close(self._fd)


class DirectFile(DiskFile):
    """A `File` written to and read from the device without a copy in the page cache, whole blocks at a time.

    The last block is written again with what comes next; until then zeros fill it.
    """

    def __init__(self, path: Path, blocks: memoryview) -> None:
        """Opens it.

        Args:
            path: which.
            blocks: memory at a page's beginning, whole blocks, in which writes are put together.

        Raises:
            OSError: it cannot be opened, or not so.
        """
        super().__init__(path)
        self._blocks = blocks
        self._direct = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        self._sealed = False
        self._begun = b""  # of the last block

    def append(self, parts: Sequence[bytes | memoryview]) -> None:
        """See `File`."""
        blocks, used = self._blocks, len(self._begun)
        blocks[:used] = self._begun
        at = self._size - used
        try:
            for part in parts:
                rest = part
                while len(rest) > len(blocks) - used:
                    rest, some = memoryview(rest)[len(blocks) - used :], memoryview(rest)[: len(blocks) - used]
                    blocks[used:] = some
                    self._write(len(blocks), at)
                    at, used = at + len(blocks), 0
                blocks[used : used + len(rest)] = rest
                used += len(rest)
            begun = used % BLOCK_BYTES
            whole = used - begun + (BLOCK_BYTES if begun else 0)
            blocks[used:whole] = bytes(whole - used)
            self._write(whole, at)
        except BaseException:
            self._size = os.fstat(self._fd).st_size
            self._read_begun()
            raise
        self._size = at + used
        self._begun = bytes(blocks[used - begun : used])

    def read(self, offset: int, size: int) -> memoryview:
        """See `File`."""
        skipped = offset % BLOCK_BYTES
        stop = skipped + min(size, max(0, self._size - offset))
        memory = _blocks_for(stop)
        filled = 0
        while filled < stop and (count := os.preadv(self._direct, [memory[filled:]], offset - skipped + filled)):
            filled += count
            if filled % BLOCK_BYTES:  # the file's end
                break
        return memory[skipped : min(stop, filled)].toreadonly()

    def seal(self) -> None:
        """See `File`."""
        if not self._sealed:
            self._sealed = True
            with suppress(OSError):  # who reads it knows its end
                os.ftruncate(self._fd, self._size)

    def write_at(self, offset: int, data: bytes) -> None:
        """See `File`."""
        super().write_at(offset, data)
        self._read_begun()

    def truncate(self, size: int) -> None:
        """See `File`."""
        super().truncate(size)
        self._read_begun()

    def close(self) -> None:
        """See `File`."""
        self.seal()
        os.close(self._direct)
        super().close()

    def _write(self, size: int, at: int) -> None:
        assert not self._sealed
        written = 0
        while written < size:  # a device about to be full takes a part; the rest tells why
            written += os.pwrite(self._direct, self._blocks[written:size], at + written)

    def _read_begun(self) -> None:
        begun = self._size % BLOCK_BYTES
        self._begun = os.pread(self._fd, begun, self._size - begun)


class DiskFiles:
    """A directory of the operating system as `Files`."""

    def __init__(self, path: Path, *, direct: bool = False) -> None:
        """Makes the directory if need be.

        Args:
            path: where it is.
            direct: whether what is appended goes straight to the device, where the file system can do that.

        Raises:
            OSError: it cannot be made.
        """
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for unfinished in path.glob(f"*{_TEMPORARY}"):
            unfinished.unlink()
        self._path = path
        self._blocks = memoryview(mmap.mmap(-1, _DIRECT_BYTES)) if direct and _takes_direct_writes(path) else None

    def names(self) -> list[str]:
        """See `Files`."""
        return sorted(entry.name for entry in os.scandir(self._path) if entry.is_file(follow_symlinks=False))

    def open(self, name: str, *, appending: bool = False) -> DiskFile:
        """See `Files`."""
        if appending and self._blocks is not None:
            return DirectFile(self._path / name, self._blocks)
        return DiskFile(self._path / name)

    def read(self, name: str) -> bytes:
        """See `Files`."""
        return (self._path / name).read_bytes()

    def replace(self, name: str, parts: Sequence[bytes | memoryview]) -> None:
        """See `Files`."""
        temporary = self._path / f"{name}{_TEMPORARY}"
        try:
            with closing(self._new(temporary)) as file:
                file.append(parts)
                file.truncate(file.size())
                file.sync()
            temporary.replace(self._path / name)
        except OSError:
            temporary.unlink(missing_ok=True)  # a full device needs the room
            raise
        self.sync_names()

    def _new(self, path: Path) -> DiskFile:
        path.unlink(missing_ok=True)
        if self._blocks is None:
            return DiskFile(path)
        return DirectFile(path, memoryview(mmap.mmap(-1, _DIRECT_BYTES)))  # of its own: others write at the same time

    def remove(self, name: str) -> None:
        """See `Files`."""
        (self._path / name).unlink(missing_ok=True)

    def sync_names(self) -> None:
        """See `Files`."""
        directory = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _blocks_for(size: int) -> memoryview:
    """Memory for so many bytes: whole blocks that begin where one may.

    From the heap, which gives again what was freed: new pages of the system's cost more than reading.
    """
    blocks = -(-size // BLOCK_BYTES)
    memory = np.empty((blocks + 1) * BLOCK_BYTES, np.uint8)
    begin = -memory.ctypes.data % BLOCK_BYTES
    return memory.data[begin : begin + blocks * BLOCK_BYTES]


def _takes_direct_writes(path: Path) -> bool:
    """Whether whole blocks can be written past the page cache there; some file systems say so only when it is tried."""
    if not hasattr(os, "O_DIRECT"):
        return False
    probe = path / f"direct{_TEMPORARY}"
    try:
        with mmap.mmap(-1, BLOCK_BYTES) as block:
            file = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_DIRECT | os.O_CLOEXEC, 0o600)
            try:
                return os.pwrite(file, block, 0) == BLOCK_BYTES
            finally:
                os.close(file)
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)


BLOCK_BYTES = 4096
"""No device in use wants to be read or written directly in larger pieces (open(2) of Linux: the logical block size, 512
mostly)."""
_DIRECT_BYTES = 2 * 1024 * 1024
"""Written at once. Small enough to stay in a processor's cache between the copy and the device."""
_TEMPORARY = ".new"
_MOST_PARTS = 1024
"""The least IOV_MAX that systems have (limits.h of Linux says 1024)."""
