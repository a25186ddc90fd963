"""One record of the spool as bytes: header, tenant, body.

The header has a checksum of its own, so that a damaged body costs only itself: where the next record begins is known.
It covers the record's place and is seeded with the segment's salt, which no sender knows: bytes inside a request that
look like a record are never taken for one.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from xxhash import xxh3_64_intdigest

from clew_processor.spool.request import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC = b"\xf1clw"
"""Begins every record. The first byte occurs in no UTF-8 text with these after it, so few bodies hold it by chance."""
_HEADER = struct.Struct("<4sQQIIQQqHBx")
"""Magic, checksum of what follows and the tenant, checksum of the body, bytes of tenant and body, spans, spans of all
records before, where the batch begins, arrival, bytes of the tenant, kind."""
HEADER_BYTES = _HEADER.size
_COVERED = struct.calcsize("<4sQ")
"""From here on a header is covered by its checksum."""
MAX_TENANT_BYTES = 0xFFFF
_SEEDS = 2**64


class Kind(IntEnum):
    """What a record is."""

    TRACES = 1
    """An ExportTraceServiceRequest."""
    TICK = 2
    """Closes a batch and is its clock. With nothing since the last one: time that passed without data."""
    UNDECODABLE = 3
    """A request of spans that was refused at the door: only counted."""
    RETRY = 4
    """Dead letters to try again: their ids as JSON."""
    RULES = 5
    """What is in force from here on; a batch of its own."""
    LOGS = 6
    """An ExportLogsServiceRequest."""
    UNDECODABLE_LOGS = 7
    """A request of log records that was refused at the door: only counted."""
    PRICES = 10
    """The prices in force from the batch on in which it lies."""
    REPRICE = 11
    """Costs of stored spans that are others now."""

    @property
    def signal(self) -> Signal:
        """What a record of a request counts as."""
        return Signal.LOGS if self in (Kind.LOGS, Kind.UNDECODABLE_LOGS) else Signal.TRACES

    @classmethod
    def of(cls, signal: Signal, *, decodable: bool = True) -> Kind:
        """That of a request."""
        if signal is Signal.LOGS:
            return cls.LOGS if decodable else cls.UNDECODABLE_LOGS
        return cls.TRACES if decodable else cls.UNDECODABLE


class Record(NamedTuple):
    """What is spooled.

    Attributes:
        kind: what the body is.
        arrival_ns: Unix ns.
        tenant: whose it is.
        spans: how many spans, or log records, it counts as in the ledger.
        body: its bytes.
        weight: bytes it may become where that is more, as far as known; not written.
    """

    kind: Kind
    arrival_ns: int
    tenant: str = ""
    spans: int = 0
    body: bytes | memoryview = b""
    weight: int = 0


class Placed(NamedTuple):
    """A record and where it lies.

    Attributes:
        record: what was read.
        start, end: positions in the spool.
        spans_before: spans of all records before it, since the spool was made.
        batch_start: where its batch begins: the position behind the tick before it, even if that is damaged.
    """

    record: Record
    start: int
    end: int
    spans_before: int
    batch_start: int = 0


class Found(NamedTuple):
    """A record with an undamaged header.

    Attributes:
        record: what was read; None if its body is damaged.
        end: where in the data it ends.
        spans_before, batch_start: see `Placed`.
    """

    record: Record | None
    end: int
    spans_before: int
    batch_start: int


def encoded(
    record: Record, *, salt: int, offset: int, spans_before: int, batch_start: int
) -> Sequence[bytes | memoryview]:
    """The record's bytes, in parts to be written one after the other.

    Args:
        record: what to write.
        salt: of the segment.
        offset: where in the segment it will lie.
        spans_before: see `Placed`.
        batch_start: see `Placed`.
    """
    kind, arrival_ns, tenant_name, spans, body, _ = record
    tenant = tenant_name.encode()
    size = len(tenant) + len(body)
    rest = (xxh3_64_intdigest(body), size, spans, spans_before, batch_start, arrival_ns, len(tenant), kind)
    unsigned = _HEADER.pack(MAGIC, 0, *rest) + tenant
    checksum = xxh3_64_intdigest(unsigned[_COVERED:], seed=(salt + offset) % _SEEDS)
    return _HEADER.pack(MAGIC, checksum, *rest) + tenant, body


def decoded(data: memoryview, at: int, *, salt: int, offset: int) -> Found | int | None:
    """The record at `at`.

    Args:
        data: bytes of the segment; the body becomes a slice of it.
        at: where in `data` it begins.
        salt: of the segment.
        offset: where in the segment it begins.

    Returns:
        What was found; how many bytes from `at` on it needs when `data` is too short; None when there is no undamaged
        header.
    """
    if len(data) - at < HEADER_BYTES:
        return HEADER_BYTES
    size: int
    tenant_size: int
    header: tuple[Any, ...] = _HEADER.unpack_from(data, at)
    magic, checksum, body_checksum, size, spans, spans_before, batch_start, arrival_ns, tenant_size, number = header
    kind = _KINDS.get(number)
    if magic != MAGIC or tenant_size > size or kind is None:
        return None
    body_at = at + HEADER_BYTES + tenant_size
    if len(data) < body_at:
        return HEADER_BYTES + tenant_size
    if checksum != xxh3_64_intdigest(data[at + _COVERED : body_at], seed=(salt + offset) % _SEEDS):
        return None
    end = at + HEADER_BYTES + size
    if len(data) < end:
        return HEADER_BYTES + size
    body = data[body_at:end]
    if body_checksum != xxh3_64_intdigest(body):
        return Found(None, end, spans_before, batch_start)
    tenant = str(data[at + HEADER_BYTES : body_at], "utf-8") if tenant_size else ""
    return Found(Record(kind, arrival_ns, tenant, spans, body), end, spans_before, batch_start)


_KINDS = {int(kind): kind for kind in Kind}
