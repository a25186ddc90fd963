"""How far the store is: the mark that tells a replay what to insert and what only to remember."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from xxhash import xxh3_64_intdigest

if TYPE_CHECKING:
    from clew_processor.spool.files import Files

NAME = "progress"
_SLOT = struct.Struct("<8sQQQQ")
_MAGIC = b"clewmrk1"
"""Magic, serial number, the numbers of a mark, checksum. Two slots, written in turn: a torn write hits one."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Positions.

    Attributes:
        stored: up to there everything is stored, sampled out, rejected or a dead letter.
        spans: of all records up to there.
    """

    stored: int = 0
    spans: int = 0


class Progress:
    """The mark on disk. Not synced at every step: losing the latest costs a replay, which the store's tokens absorb."""

    def __init__(self, files: Files) -> None:
        """Reads what is there; damaged slots are skipped."""
        self._file = files.open(NAME)
        missing = 2 * _SLOT.size - self._file.size()
        if missing > 0:
            with suppress(OSError):  # later there may be no room
                self._file.append([bytes(missing)])
        slots = [slot for at in (0, _SLOT.size) if (slot := _read(bytes(self._file.read(at, _SLOT.size))))]
        self._serial, self.mark = max(slots, key=lambda slot: slot[0], default=(0, Mark()))

    def set(self, mark: Mark) -> None:
        """Writes a mark.

        Raises:
            OSError: it is not written; the one before is there.
        """
        serial = self._serial + 1
        self._file.write_at(serial % 2 * _SLOT.size, _written(serial, mark))
        self._serial, self.mark = serial, mark

    def settle(self, stored: int, spans: int) -> None:
        """Takes over what is known from elsewhere, if it is farther; it is written with the next mark."""
        if stored > self.mark.stored:
            self.mark = Mark(stored, spans)

    def sync(self) -> None:
        """Returns when the mark is on the device."""
        self._file.sync()

    def close(self) -> None:
        """Lets the file go."""
        self._file.close()


def _written(serial: int, mark: Mark) -> bytes:
    body = _SLOT.pack(_MAGIC, serial, *astuple(mark), 0)[:-8]
    return body + xxh3_64_intdigest(body).to_bytes(8, "little")


def _read(slot: bytes) -> tuple[int, Mark] | None:
    if len(slot) != _SLOT.size:
        return None
    _, serial, *numbers, _ = _SLOT.unpack(slot)
    mark = Mark(*numbers)
    return (serial, mark) if slot == _written(serial, mark) else None
