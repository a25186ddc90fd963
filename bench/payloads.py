"""Export requests out of spans, built before the clock starts and made new again for every time they are sent."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import captured
import shapes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shapes import Traced

# A trace's spans come in this many requests: exporters send what has ended, not what belongs together.
PARTS = 3
_MARK = re.compile(re.escape(shapes.MARK).encode())
_MARK_DIGITS = (2, 5)
_TRACES_FIELD, _SCOPES_FIELD, _SPANS_FIELD = 1, 2, 2
_ID_FIELDS = {1: 16, 2: 8, 4: 8}  # trace_id, span_id, parent_span_id: field number -> size
_LENGTH_DELIMITED = 2


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent.

    Attributes:
        name: Of the case.
        shape: A function of `shapes`.
        request_spans: Spans in a request.
        pool_spans: Distinct spans built; sent again, with new ids and texts, until there are enough.
        spans: Spans sent while the clock runs.
        bar: The most the processor may cost, as a multiple of the discarding server; None for no bar.
        genai_bar: Likewise, the most that telling what spans mean may cost: normalise, enrich, and what decode takes
            beyond the plain OTLP columns.
    """

    name: str
    shape: str
    request_spans: int
    pool_spans: int
    spans: int
    bar: float | None = None
    genai_bar: float | None = None


CASES = (
    Case("400 B x 512", "small", 512, 60_000, 480_000, bar=8.0),
    Case("400 B x 8192", "small", 8192, 60_000, 480_000),
    Case("400 B x 100", "small", 100, 60_000, 240_000),
    Case("400 B x 10", "small", 10, 30_000, 60_000),
    Case("4 kB x 512", "large", 512, 20_400, 100_000, bar=6.0),
    Case("growing x 64", "growing", 64, 6_100, 24_400),
    Case("dialects x 512", "captured", 512, 10_240, 81_920, genai_bar=1.5),
)


@dataclass(frozen=True, slots=True)
class Template:
    """A serialised request and where in it the ids and marked texts are."""

    body: bytes
    spans: int
    ids: np.ndarray
    id_bytes: np.ndarray
    marks: tuple[int, ...]

    def fresh(self, generation: int) -> bytes:
        """The same request with other ids and texts; generation 0 is the original."""
        buffer = np.frombuffer(self.body, np.uint8).copy()
        mask = np.frombuffer(random.Random(generation).randbytes(24), np.uint8)
        buffer[self.ids] ^= mask[self.id_bytes]
        digits = np.frombuffer(b"%03d" % (generation % 1000), np.uint8)
        first, last = _MARK_DIGITS
        for mark in self.marks:
            buffer[mark + first : mark + last] = digits
        return buffer.tobytes()


def templates(case: Case) -> list[Template]:
    """Builds a case's distinct requests.

    Returns:
        Requests of `case.request_spans` spans each (the last may have fewer), in order of sending.
    """
    return [_template(chunk) for chunk in _chunks(_stream(case), case.request_spans)]


def bodies(pool: list[Template], spans: int, generation: int) -> tuple[list[bytes], int]:
    """Requests of at least so many spans in all, the pool repeated as often as needed.

    Args:
        pool: The distinct requests.
        spans: How many spans at least.
        generation: Number of the first repetition; never use one twice against one store.

    Returns:
        The requests, and the next unused generation.
    """
    found: list[bytes] = []
    while True:
        for template in pool:
            if spans <= 0:
                return found, generation + 1
            found.append(template.fresh(generation))
            spans -= template.spans
        generation += 1


def span_count(pool: list[Template], requests: int) -> int:
    """Spans in the first so many requests of the pool, repeated."""
    rounds, rest = divmod(requests, len(pool))
    return rounds * sum(template.spans for template in pool) + sum(template.spans for template in pool[:rest])


def _stream(case: Case) -> Iterator[Traced]:
    if case.shape in ("growing", "captured"):
        for together in shapes.growing() if case.shape == "growing" else captured.runs(case.pool_spans):
            yield from together
        return
    build = {"small": shapes.small, "large": shapes.large}[case.shape]
    traces = build(case.pool_spans // shapes.SPANS_PER_TRACE)
    together = max(1, PARTS * case.request_spans // shapes.SPANS_PER_TRACE)
    while group := list(islice(traces, together)):
        # One agent process after the other: its requests carry one resource.
        group.sort(key=lambda trace: shapes.SENDERS.index(trace[0].sender))
        size = shapes.SPANS_PER_TRACE // PARTS
        for part in range(PARTS):
            for trace in group:
                yield from trace[part * size : (part + 1) * size]


def _chunks(stream: Iterator[Traced], size: int) -> Iterator[list[Traced]]:
    while chunk := list(islice(stream, size)):
        yield chunk


def _template(chunk: list[Traced]) -> Template:
    request = ExportTraceServiceRequest()
    groups = {}
    for sender, span in chunk:
        if sender not in groups:
            resource = request.resource_spans.add(resource=sender.resource)
            groups[sender] = resource.scope_spans.add(scope=sender.scope)
        groups[sender].spans.append(span)
    body = request.SerializeToString()
    ids = list(_ids(body))
    return Template(
        body=body,
        spans=len(chunk),
        ids=np.array([at + i for at, size, _ in ids for i in range(size)], np.int64),
        id_bytes=np.array([mask + i for _, size, mask in ids for i in range(size)], np.int64),
        marks=tuple(match.start() for match in _MARK.finditer(body)),
    )


def _ids(body: bytes) -> Iterator[tuple[int, int, int]]:
    """Offset, size and place in the mask (trace ids 0, span ids 16) of every id in a serialised request."""
    for resource in _fields(body, 0, len(body), _TRACES_FIELD):
        for scope in _fields(body, *resource, _SCOPES_FIELD):
            for span in _fields(body, *scope, _SPANS_FIELD):
                for number, size in _ID_FIELDS.items():
                    for start, _ in _fields(body, *span, number):
                        yield start, size, 0 if size == 16 else 16


def _fields(body: bytes, start: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Start and end of each length-delimited field of one number in the message between two offsets."""
    fixed = {1: 8, 5: 4}
    while start < end:
        key, start = _varint(body, start)
        number, wire_type = key >> 3, key & 7
        if wire_type == _LENGTH_DELIMITED:
            length, start = _varint(body, start)
            if number == wanted:
                yield start, start + length
            start += length
        elif wire_type in fixed:
            start += fixed[wire_type]
        else:
            _, start = _varint(body, start)


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
