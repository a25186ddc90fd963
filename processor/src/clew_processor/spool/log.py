"""The spool's bytes: an append-only sequence of records in segment files.

A position is a byte offset in the whole sequence. A segment's name is the position at which it begins and the spool's
id, all that is needed to read its records. Positions are never used twice: each start of the process and each trouble
with a file begins a new segment beyond everything that may have been written. A segment says in its header where the
one before it ends, so that bytes which were written but never promised (a failed sync) are not read, now or in any
replay.
"""

from __future__ import annotations

import errno
import logging
import re
import secrets
import struct
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from xxhash import xxh3_64_intdigest

from clew_processor.spool.files import BLOCK_BYTES
from clew_processor.spool.record import HEADER_BYTES, MAGIC, Found, Kind, Placed, decoded, encoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clew_processor.spool.files import File, Files
    from clew_processor.spool.record import Record

log = logging.getLogger(__name__)

SUFFIX = ".spool"
CHUNK_BYTES = 8 * 1024 * 1024
"""Read at once; more where a record is larger. The part of a record at a chunk's end is read again with the next chunk:
1 MiB cost 2.3 us for a span of 4 kB in requests of 2 MB, 8 MiB 1.5."""
RECENT_BYTES = 64 * 1024 * 1024
"""More than a batch is closed at: a reader that keeps up finds everything in memory."""
JUMP_BITS = 32
"""A process begins at a random distance of up to this behind everything known: should files have been lost, the
positions in them are still not used again, and so no insert token either."""

_SEGMENT_MAGIC = b"clewlog1"
_SEGMENT = struct.Struct("<8sQQQQ")
"""Magic, the fields of `_Header`, checksum of these. Written twice: damage hits one."""
_COPIES = 2
SEGMENT_HEADER_BYTES = _SEGMENT.size * _COPIES


class _Header(NamedTuple):
    """What a segment says of itself.

    Attributes:
        before: end of the segment before, a position.
        spans: of all records before it.
        batch_start: of the batch that is open where it begins. A process begins its own: what an earlier one left open
            ends there, however much of it is found.
    """

    before: int
    spans: int
    batch_start: int


@dataclass(slots=True)
class _Segment:
    name: str
    base: int
    salt: int
    file: File
    header: _Header
    end: int  # position behind its last record

    @property
    def first(self) -> int:
        return self.base + SEGMENT_HEADER_BYTES


class _Gap(NamedTuple):
    """A stretch without an undamaged record.

    Attributes:
        start, end: positions.
        unfinished: whether it looks like the beginning of a record whose rest was never written.
    """

    start: int
    end: int
    unfinished: bool


class _Recent:
    """The records appended last, in memory until they are read or there are too many.

    Attributes:
        start: a position: what was appended from there on is here.
    """

    def __init__(self, start: int, max_bytes: int) -> None:
        self.start = start
        self._max_bytes = max_bytes
        self._records: deque[Placed] = deque()
        self._bytes = 0

    def add(self, records: Sequence[Placed]) -> None:
        """Keeps what was just appended instead of the oldest."""
        self._records += records
        self._bytes += sum(placed.end - placed.start for placed in records)
        while self._bytes > self._max_bytes:
            self._drop()

    def take(self, position: int) -> Placed | None:
        """The next record from the position on; it is no longer here then. None if it is not here."""
        if position < self.start:
            return None
        while self._records:
            placed = self._drop()
            if placed.start >= position:
                return placed
        return None

    def _drop(self) -> Placed:
        placed = self._records.popleft()
        self.start = placed.end
        self._bytes -= placed.end - placed.start
        return placed


@dataclass(slots=True)
class Damage:
    """What reading found damaged, since start.

    Attributes:
        places: stretches of bytes that held no undamaged record.
        size: their bytes.
    """

    places: int = 0
    size: int = 0
    _known: set[int] = field(default_factory=set, repr=False)

    def count(self, position: int, size: int) -> None:
        """Takes note of a stretch; once, however often it is read."""
        if position not in self._known:
            self._known.add(position)
            self.places += 1
            self.size += size
            log.error("spool: %d bytes at %d are damaged and were skipped", size, position)


class Log:
    """The record sequence. One thread appends, one reads and forgets.

    Attributes:
        damage: what was found damaged.
        spans: spans of all records ever appended.
        id: a random number that no other spool has.
    """

    def __init__(
        self,
        files: Files,
        *,
        segment_bytes: int,
        beyond: int = 0,
        spans: int = 0,
        sync: bool = True,
        recent_bytes: int = RECENT_BYTES,
    ) -> None:
        """Opens what is there, whatever state it is in.

        Args:
            files: the directory.
            segment_bytes: a segment is closed once it is this large.
            beyond: a position that has been used, whatever the files say.
            spans: so many have been appended, likewise.
            sync: whether `append` waits for the device; else only for the operating system.
            recent_bytes: of what was appended last, so much is kept in memory for the reader.

        Raises:
            OSError: the directory cannot be read.
        """
        self._files = files
        self._segment_bytes = segment_bytes
        self._sync = sync
        self._lock = threading.Lock()
        self._open_for_append: _Segment | None = None
        self._jump = 1 + secrets.randbits(JUMP_BITS)  # once: what fails is tried again under the same name
        self._used = beyond
        self.damage = Damage()
        self.spans = 0
        self._batch_start = 0
        self.id = secrets.randbits(64)
        self._segments = self._found()
        if self._segments:
            self._find_end(self._segments[-1])
        self.spans = max(self.spans, spans)
        self._recent = _Recent(self._segments[-1].end if self._segments else 0, recent_bytes)

    @property
    def start(self) -> int:
        """Position of the oldest record that is still there."""
        with self._lock:
            return self._segments[0].base if self._segments else self._used

    @property
    def start_spans(self) -> int:
        """Spans of all records before `start`."""
        with self._lock:
            return self._segments[0].header.spans if self._segments else self.spans

    @property
    def end(self) -> int:
        """Position behind the last record that is promised."""
        with self._lock:
            return self._segments[-1].end if self._segments else self._used

    @property
    def size(self) -> int:
        """Bytes it takes on the device."""
        with self._lock:
            return sum(max(0, segment.end - segment.base) for segment in self._segments)

    def append(self, records: Sequence[Record]) -> None:
        """Writes records; when it returns they are promised.

        Raises:
            OSError: none of them is, and none will be read.
        """
        segment = self._open_for_append
        if segment is None or segment.end - segment.base >= self._segment_bytes:
            segment = self._new_segment()
        parts: list[bytes | memoryview] = []
        placed = []
        offset = segment.end - segment.base
        spans, batch_start = self.spans, self._batch_start
        for record in records:
            encoding = encoded(record, salt=segment.salt, offset=offset, spans_before=spans, batch_start=batch_start)
            parts += encoding
            start = segment.base + offset
            offset += sum(map(len, encoding))
            placed.append(Placed(record, start, segment.base + offset, spans, batch_start))
            spans += record.spans
            if record.kind is Kind.TICK:
                batch_start = segment.base + offset
        try:
            segment.file.append(parts)
            if self._sync:
                segment.file.sync()
        except Exception:  # memory may be out too
            self._abandon(segment)
            raise
        with self._lock:
            segment.end = segment.base + offset
            self.spans, self._batch_start = spans, batch_start
            self._recent.add(placed)

    def read(self, position: int) -> Iterator[Placed]:
        """The undamaged records from a position on, up to the end as it is when it is reached.

        Args:
            position: of a record's beginning or end.
        """
        while True:
            while (recent := self._take_recent(position)) is not None:
                position = recent.end
                yield recent
            segment = self._segment_at(position)
            if segment is None:
                return
            position = max(position, segment.first)
            for found in self._scan(segment, position):
                position = found.end
                if isinstance(found, Placed):
                    yield found
                else:
                    self.damage.count(found.start, found.end - found.start)
                if position >= self._recent.start:
                    break

    def forget(self, before: int) -> None:
        """Deletes the segments that end at or before a position and take no more records.

        Raises:
            OSError: one could not be deleted; it is still there.
        """
        while True:
            with self._lock:
                oldest = self._segments[0] if self._segments else None
                if oldest is None or oldest.end > before or oldest is self._segments[-1]:
                    return
            self._files.remove(oldest.name)
            with self._lock:
                del self._segments[0]
            oldest.file.close()

    def close(self) -> None:
        """Lets the files go."""
        for segment in self._segments:
            segment.file.close()

    def _take_recent(self, position: int) -> Placed | None:
        with self._lock:
            return self._recent.take(position)

    def _segment_at(self, position: int) -> _Segment | None:
        """The segment in which the next record from the position on lies, if one is there yet."""
        with self._lock:
            return next((segment for segment in self._segments if segment.end > max(position, segment.first)), None)

    def _scan(self, segment: _Segment, position: int) -> Iterator[Placed | _Gap]:
        """Its undamaged records, and the stretches that hold none."""
        data, origin = memoryview(b""), position
        salt = segment.salt
        while position < (end := segment.end):
            found = decoded(data, position - origin, salt=salt, offset=position - segment.base)
            if isinstance(found, int) and position + found <= end:
                size = min(max(found, CHUNK_BYTES), end - position)
                data, origin = memoryview(_read(segment.file, position - segment.base, size)), position
                if len(data) >= found:
                    continue
                found = None  # the file is shorter than it was
            if isinstance(found, Found):
                stop = origin + found.end
                if found.record is not None:
                    yield Placed(found.record, position, stop, found.spans_before, found.batch_start)
                else:
                    yield _Gap(position, stop, unfinished=False)
            else:
                stop = self._resume(segment, position + 1)
                unfinished = stop == end and (found is not None or self._is_blank(segment, position))
                yield _Gap(position, stop, unfinished=unfinished)
            position = stop

    def _resume(self, segment: _Segment, position: int) -> int:
        """Where the next undamaged header begins; the segment's end if there is none."""
        whole = bytes(_read(segment.file, position - segment.base, segment.end - position))
        rest = memoryview(whole)
        at = -1
        while (at := whole.find(MAGIC, at + 1)) >= 0:
            offset = position - segment.base + at
            if isinstance(decoded(rest, at, salt=segment.salt, offset=offset), Found):
                return position + at
        return segment.end

    def _is_blank(self, segment: _Segment, position: int) -> bool:
        """Whether there are only zeros from there on."""
        return not bytes(_read(segment.file, position - segment.base, segment.end - position)).strip(b"\0")

    def _new_segment(self) -> _Segment:
        with self._lock:
            before = self._segments[-1].end if self._segments else 0
            base = max(self._used, before) + self._jump
        batch_start = base if self._jump else self._batch_start
        header = _Header(before, self.spans, batch_start)
        name = _name(base, self.id)
        file = self._files.open(name, appending=True)
        try:
            file.truncate(0)
            file.append([_header_bytes(header)] * _COPIES)
            if self._sync:
                file.sync()
            self._files.sync_names()
        except Exception:
            file.close()
            self._files.remove(name)
            raise
        segment = _Segment(name, base, _salt(base, self.id), file, header, base + SEGMENT_HEADER_BYTES)
        with self._lock:
            self._segments.append(segment)
        if self._open_for_append is not None:
            self._open_for_append.file.seal()
        self._used = segment.end
        self._batch_start = batch_start
        self._open_for_append = segment
        self._jump = 0
        return segment

    def _abandon(self, segment: _Segment) -> None:
        """What was just written is not to be read; the header of the next segment will say so."""
        self._open_for_append = None
        try:
            self._used = max(self._used, segment.base + segment.file.size())
            segment.file.truncate(segment.end - segment.base)  # gives a full device its room back
            if self._sync:
                segment.file.sync()
        except OSError as error:
            log.warning("spool: cannot cut %s: %s", segment.name, error)
        segment.file.seal()

    def _found(self) -> list[_Segment]:
        """The segments in the directory, in order, each up to where the next one says it ends."""
        segments: list[_Segment] = []
        for name in self._files.names():
            parts = _NAME.fullmatch(name)
            if parts is None:
                continue
            base, self.id = int(parts[1]), int(parts[2], 16)
            file = self._files.open(name)
            size = file.size()
            self._used = max(self._used, base + size, base + SEGMENT_HEADER_BYTES)
            header = _read_header(bytes(_read(file, 0, SEGMENT_HEADER_BYTES)))
            segment = _Segment(name, base, _salt(base, self.id), file, header or _Header(0, 0, 0), base + size)
            if header is not None:
                if segments:
                    segments[-1].end = min(segments[-1].end, header.before)
            elif first := next(
                (found for found in self._scan(segment, segment.first) if isinstance(found, Placed)), None
            ):
                self.damage.count(base, SEGMENT_HEADER_BYTES)
                segment.header = _Header(0, first.spans_before, first.batch_start)
            else:
                if size > SEGMENT_HEADER_BYTES:  # otherwise a crash between making it and its first record
                    self.damage.count(base, size)
                file.close()
                self._files.remove(name)
                continue
            segments.append(segment)
        return segments

    def _find_end(self, last: _Segment) -> None:
        """Reads the last segment to where its undamaged records end; what follows was never promised, or is lost."""
        if self._sync:
            self._make_durable(last)
        written, last.end = last.end, max(last.end, last.first)
        self.spans, end = last.header.spans, last.first
        tail: list[_Gap] = []
        for found in self._scan(last, last.first):
            if isinstance(found, _Gap):
                tail.append(found)
                continue
            tail.clear()
            end = found.end
            self.spans = found.spans_before + found.record.spans
        last.end = end
        if end < written:
            log.warning("spool: %s ends in %d bytes without a whole record", last.name, written - end)
        for gap in tail:
            if not gap.unfinished:
                self.damage.count(gap.start, gap.end - gap.start)

    def _make_durable(self, segment: _Segment) -> None:
        """Puts what a killed process wrote on the device: it may be stored before the machine stops.

        Raises:
            OSError: it cannot be.
        """
        try:
            segment.file.sync()
        except OSError as error:  # a second sync would not tell: only what is written anew can be believed
            log.warning("spool: %s is written again: %s", segment.name, error)
            self._files.replace(segment.name, [_read(segment.file, 0, segment.file.size())])
            segment.file.close()
            segment.file = self._files.open(segment.name)


def _read(file: File, offset: int, size: int) -> bytes | memoryview:
    """Reads; zeros where the device cannot."""
    try:
        return file.read(offset, size)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    blocks = []
    at, end = offset, min(offset + size, file.size())
    while at < end:
        stop = min(end, at - at % BLOCK_BYTES + BLOCK_BYTES)
        try:
            blocks.append(file.read(at, stop - at))
        except OSError:
            blocks.append(bytes(stop - at))
        at = stop
    return b"".join(blocks)


def _header_bytes(header: _Header) -> bytes:
    body = _SEGMENT.pack(_SEGMENT_MAGIC, *header, 0)[:-8]
    return body + xxh3_64_intdigest(body).to_bytes(8, "little")


def _read_header(data: bytes) -> _Header | None:
    """From the first undamaged copy."""
    for start in range(0, SEGMENT_HEADER_BYTES, _SEGMENT.size):
        copy = data[start : start + _SEGMENT.size]
        if len(copy) == _SEGMENT.size:
            header = _Header(*_SEGMENT.unpack(copy)[1:-1])
            if copy == _header_bytes(header):
                return header
    return None


def _name(base: int, spool_id: int) -> str:
    return f"{base:019d}-{spool_id:016x}{SUFFIX}"


def _salt(base: int, spool_id: int) -> int:
    return xxh3_64_intdigest(base.to_bytes(8, "little"), seed=spool_id)


_NAME = re.compile(rf"([0-8][0-9]{{18}})-([0-9a-f]{{16}}){re.escape(SUFFIX)}")
"""Positions have 63 bits; a name beyond them is none of ours."""
assert HEADER_BYTES < CHUNK_BYTES
