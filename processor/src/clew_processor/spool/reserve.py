"""Room on the device for what must be written to free it: without a checkpoint no segment can be deleted."""

from __future__ import annotations

import errno
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clew_processor.spool.files import File, Files

log = logging.getLogger(__name__)

NAME = "reserve"
LEAST_BYTES = 1024 * 1024
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of errors that say so."""


class Reserve:
    """`Files` that hold a file of no use, given up when `replace` finds the device full, and filled up again later.

    It is twice as large as the largest that was ever replaced: a checkpoint is written beside the one before. Whatever
    room comes free goes to it first, even if it is not enough.
    """

    def __init__(self, files: Files, *, least_bytes: int = LEAST_BYTES) -> None:
        """Takes the room, or what there is of it.

        Args:
            files: the directory.
            least_bytes: so much at least.
        """
        self._files = files
        self._wanted = least_bytes
        self._file = files.open(NAME)
        self._lock = threading.Lock()
        self._fill()

    def names(self) -> list[str]:
        """See `Files`."""
        return [name for name in self._files.names() if name != NAME]

    def open(self, name: str, *, appending: bool = False) -> File:
        """See `Files`."""
        return self._files.open(name, appending=appending)

    def read(self, name: str) -> bytes:
        """See `Files`."""
        return self._files.read(name)

    def replace(self, name: str, parts: Sequence[bytes | memoryview]) -> None:
        """See `Files`."""
        with self._lock:
            self._wanted = max(self._wanted, 2 * sum(map(len, parts)))
            try:
                self._files.replace(name, parts)
            except OSError as error:
                if error.errno not in FULL:
                    raise
                log.warning("spool: the device is full; %s is written to room that was kept for it", name)
                self._file.truncate(0)
                self._files.replace(name, parts)
            finally:
                self._fill()

    def remove(self, name: str) -> None:
        """See `Files`."""
        with self._lock:
            self._files.remove(name)
            self._fill()

    def sync_names(self) -> None:
        """See `Files`."""
        self._files.sync_names()

    def _fill(self) -> None:
        missing = self._wanted - self._file.size()
        if missing > 0:
            with suppress(OSError):
                self._file.fill(missing)
