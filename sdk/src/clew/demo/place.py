"""The demo's directory: emptied only when a demo made it, and only while no other demo uses it."""

from __future__ import annotations

import fcntl
import os
import shutil
from typing import TYPE_CHECKING

from clew.demo.errors import DemoError

if TYPE_CHECKING:
    from pathlib import Path

MARKER = "made-by-clew-demo"


class DemoPlace:
    """A directory that is the demo's own while this object lives.

    Args:
        directory: Where; made if it is not there. Whatever an earlier demo left in it is removed.

    Attributes:
        emptied: Whether there was anything to remove.
        lock: A file descriptor that holds the directory. A process that inherits it holds the directory too,
            so that a processor which outlives its demo keeps its data.

    Raises:
        DemoError: The directory holds something else, or a demo is running in it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.processor_log = directory / "processor.log"
        self.agents_log = directory / "agents.log"
        marker = directory / MARKER
        if directory.exists() and not marker.exists() and any(directory.iterdir()):
            raise DemoError(
                f"{directory} is not empty and was not made by `clew demo`, so nothing in it was touched.\n"
                "Run the demo in another directory, or move that one away."
            )
        directory.mkdir(parents=True, exist_ok=True)
        self.lock = os.open(marker, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self.lock, 32, 0).decode(errors="replace").strip()
            os.close(self.lock)
            processor = f" (its processor is process {holder})" if holder else ""
            raise DemoError(
                f"another `clew demo` is using {directory}{processor}.\n"
                "Stop it first, or run this one in another directory."
            ) from None
        os.ftruncate(self.lock, 0)
        self.emptied = self._empty()

    def held_by(self, process: int) -> None:
        """Notes the process that inherited `lock`, for the message to whoever finds the directory taken."""
        os.pwrite(self.lock, f"{process}\n".encode(), 0)

    def close(self) -> None:
        """Gives the directory back; what is in it stays."""
        os.close(self.lock)

    def _empty(self) -> bool:
        left = [entry for entry in self.directory.iterdir() if entry.name != MARKER]
        for entry in left:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        return bool(left)
