"""What the stages remember, on disk, together with the position it belongs to."""

from __future__ import annotations

import logging
import re
import struct
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

from xxhash import xxh3_64

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clew_processor.spool.files import Files

log = logging.getLogger(__name__)

KEPT = 2
"""The newest and the one before: damage to one costs a longer replay, not what was remembered."""
_MAGIC = b"clewchk2"
_CHECKSUM = struct.Struct("<Q")
_HEAD = struct.Struct("<QQQ")
"""Magic, checksum of what follows; position, spans, how many parts of state; the size of each (u64); the parts."""
_NAME = re.compile(r"checkpoint-([0-8][0-9]{18})-([0-8][0-9]{18})-([01])")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A moment between two batches.

    Attributes:
        position: where the next batch begins.
        spans: of all records before it.
        state: what the stages remember, in parts of their own form.
    """

    position: int
    spans: int
    state: Sequence[bytes | memoryview]


class _Name(NamedTuple):
    """What the name of a checkpoint's file tells; newer ones compare greater.

    Attributes:
        copy: tells two of one position apart.
    """

    position: int
    spans: int
    copy: int

    def __str__(self) -> str:
        return f"checkpoint-{self.position:019d}-{self.spans:019d}-{self.copy}"


class Checkpoints:
    """The last few of them, each a file."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._damaged: set[_Name] = set()
        self._good: _Name | None = None

    def save(self, checkpoint: Checkpoint) -> int:
        """Writes one and deletes those no longer kept.

        Returns:
            From which position on the spool is needed: that of the oldest that is kept; 0 while there is but one, whose
            loss would be that of everything remembered. Saved twice at one position, there are two of it.

        Raises:
            OSError: it is not written, or those before could not be deleted.
        """
        same = [name for name in self._names() if name[:2] == (checkpoint.position, checkpoint.spans)]
        name = _Name(checkpoint.position, checkpoint.spans, 1 - same[0].copy if same else 0)
        self._files.replace(str(name), _written(checkpoint))
        self._damaged.discard(name)
        self._good = name
        names = self._names()
        others = [one for one in names if one != name and one.position <= name.position and one not in self._damaged]
        kept = [name, *others[: KEPT - 1]]
        for one in names:
            if one not in kept:
                self._files.remove(str(one))
        return kept[-1].position if len(kept) == KEPT else 0

    def settle_for_one(self) -> int:
        """Deletes all but the last that was saved or loaded.

        Returns:
            Its position; 0 if there is none.

        Raises:
            OSError: they could not be deleted.
        """
        if self._good is None:
            return 0
        for name in self._names():
            if name != self._good:
                self._files.remove(str(name))
        return self._good.position

    @property
    def newest(self) -> int:
        """Position of the newest, damaged or not; 0 if there is none. Everything before it is stored."""
        return max((name.position for name in self._names()), default=0)

    @property
    def newest_spans(self) -> int:
        """Spans of all records before that."""
        return max((name.spans for name in self._names()), default=0)

    def load(self) -> Iterator[Checkpoint]:
        """The undamaged ones, newest first."""
        for name in self._names():
            try:
                data = self._files.read(str(name))
            except OSError as error:
                log.warning("spool: %s cannot be read: %s", name, error)
                data = b""
            checkpoint = _read(memoryview(data))
            if checkpoint is not None and (checkpoint.position, checkpoint.spans) == name[:2]:
                self._good = name
                yield checkpoint
            else:
                log.error("spool: %s is damaged, or of another version", name)
                self._damaged.add(name)

    def _names(self) -> list[_Name]:
        """Newest first."""
        parts = [match for name in self._files.names() if (match := _NAME.fullmatch(name))]
        return sorted((_Name(*map(int, match.groups())) for match in parts), reverse=True)


def _written(checkpoint: Checkpoint) -> list[bytes | memoryview]:
    """Its file, not put together: it may be large."""
    sizes = [len(part) for part in checkpoint.state]
    head = _HEAD.pack(checkpoint.position, checkpoint.spans, len(sizes)) + struct.pack(f"<{len(sizes)}Q", *sizes)
    return [_MAGIC, _checksum(head, *checkpoint.state), head, *checkpoint.state]


def _read(data: memoryview) -> Checkpoint | None:
    """What was written; None if that is not what this is."""
    at = len(_MAGIC) + _CHECKSUM.size
    if data[:at] != _MAGIC + _checksum(data[at:]):
        return None
    try:
        position, spans, count = _HEAD.unpack_from(data, at)
        sizes = struct.unpack_from(f"<{count}Q", data, at + _HEAD.size)
    except struct.error:
        return None
    ends = [*accumulate(sizes, initial=at + _HEAD.size + count * 8)]
    if ends[-1] != len(data):
        return None
    return Checkpoint(position, spans, [data[start:end] for start, end in pairwise(ends)])


def _checksum(*parts: bytes | memoryview) -> bytes:
    checksum = xxh3_64()
    for part in parts:
        checksum.update(part)
    return _CHECKSUM.pack(checksum.intdigest())
