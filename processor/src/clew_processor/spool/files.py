"""The few file operations that durability rests on. All else takes them as an argument and runs in simulation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class File(Protocol):
    """One open file. What was written but not synced may be lost, in part or whole, when the machine stops."""

    def append(self, parts: Sequence[bytes | memoryview]) -> None:
        """Writes the parts one after the other at the end.

        Raises:
            OSError: no room, or the device failed; any prefix of them may have been written.
        """

    def write_at(self, offset: int, data: bytes) -> None:
        """Overwrites."""

    def sync(self) -> None:
        """Returns when everything written is on the device.

        Raises:
            OSError: what was written since the last sync may be lost, and a second sync would not tell.
        """

    def read(self, offset: int, size: int) -> bytes:
        """At most that many bytes from there; fewer at the end."""

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

    def open(self, name: str) -> File:
        """Opens it for reading and writing; made if it is not there."""

    def read(self, name: str) -> bytes:
        """All of it.

        Raises:
            FileNotFoundError: it is not there.
        """

    def replace(self, name: str, data: bytes) -> None:
        """Puts all of it there at once and on the device: after a crash there is the old or the new content.

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
            some = list(parts[start : start + _MOST_PARTS])
            left = sum(map(len, some))
            written = os.pwritev(self._fd, some, self._size)
            self._size += written
            if written < left:  # a device about to be full takes a part; the rest tells why
                rest = memoryview(b"".join(some))[written:]
                while rest:
                    written = os.pwrite(self._fd, rest, self._size)
                    self._size += written
                    rest = rest[written:]

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

    def read(self, offset: int, size: int) -> bytes:
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


class DiskFiles:
    """A directory of the operating system as `Files`."""

    def __init__(self, path: Path) -> None:
        """Makes the directory if need be.

        Raises:
            OSError: it cannot be made.
        """
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for unfinished in path.glob(f"*{_TEMPORARY}"):
            unfinished.unlink()
        self._path = path

    def names(self) -> list[str]:
        """See `Files`."""
        return sorted(entry.name for entry in os.scandir(self._path) if entry.is_file(follow_symlinks=False))

    def open(self, name: str) -> DiskFile:
        """See `Files`."""
        return DiskFile(self._path / name)

    def read(self, name: str) -> bytes:
        """See `Files`."""
        return (self._path / name).read_bytes()

    def replace(self, name: str, data: bytes) -> None:
        """See `Files`."""
        temporary = self._path / f"{name}{_TEMPORARY}"
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", buffering=0) as file:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
                os.fsync(file.fileno())
            temporary.replace(self._path / name)
        except OSError:
            temporary.unlink(missing_ok=True)  # a full device needs the room
            raise
        self.sync_names()

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


_TEMPORARY = ".new"
_MOST_PARTS = 1024
"""The least IOV_MAX that systems have (limits.h of Linux says 1024)."""
