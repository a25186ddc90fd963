# ruff: noqa: PYI021 - a compiled module has no other Python text: what editors show is written here
"""clew's native kernel: OTLP wire bytes to Arrow columns."""

from typing import final

__all__ = [
    "Batch",
    "Decoded",
    "Decoder",
    "Verdict",
    "canonical_json",
    "content_hash",
    "count_spans",
    "version",
]

@final
class Batch:
    """One Arrow record batch; ``pyarrow.record_batch(batch)`` takes it over without copying."""

    def __len__(self) -> int: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...

@final
class Verdict:
    """What became of one body."""

    @property
    def spans(self) -> int:
        """Spans accepted."""
    @property
    def error(self) -> str | None:
        """Why the whole body was refused, or None. A refused body contributes no rows at all."""
    @property
    def rejected(self) -> list[tuple[str, int]]:
        """Spans refused one by one: (reason, count), only reasons that occurred.

        Reasons: too_large, too_deep, bad_utf8, bad_trace_id, bad_span_id, bad_time; a span counts once, under the
        first of these that holds.
        """
    @property
    def message(self) -> str:
        """A sentence naming the first refused span and why (at most 300 characters); "" when none was refused."""

@final
class Decoded:
    """What one call gives back."""

    @property
    def spans(self) -> Batch:
        """One row per accepted span, in the order of the bodies."""
    @property
    def contents(self) -> Batch:
        """One row per distinct content that was not given out within the plan's refresh time."""
    @property
    def verdicts(self) -> list[Verdict]:
        """One per body, in the order of the bodies."""

@final
class Decoder:
    """Decodes OTLP trace requests by an extraction plan; remembers which contents it gave out.

    ``plan`` is the plan's JSON text. Raises ValueError saying what is wrong with it.
    """

    def __new__(cls, plan: str) -> Decoder: ...
    def decode(
        self, bodies: list[bytes], keys: list[bytes], *, now_ns: int, min_time_ns: int, max_time_ns: int
    ) -> Decoded:
        """Decode serialized ExportTraceServiceRequest messages, with the GIL released.

        ``keys`` holds the 16-byte hash key of each body's tenant. Spans that start or end outside
        ``min_time_ns``..``max_time_ns`` are refused. Bad input never raises: the verdicts tell. ValueError is
        for arguments that are wrong themselves: lists of different lengths, a key of another length, or more than
        256 MiB of bodies in one call.
        """
    def forget(self) -> None:
        """Empty the memory of contents given out, so that each is given out again."""

def canonical_json(text: bytes) -> bytes:
    """The canonical form whose hash is a content's canonical hash (of kinds other than ``message``)."""

def content_hash(key: bytes, data: bytes) -> bytes:
    """SipHash-2-4 with 128 bits of output under a 16-byte key, as a little-endian UInt128.

    In ClickHouse: ``reinterpretAsUInt128(sipHash128ReferenceKeyed((k0, k1), data))``, where k0 and k1 are the
    key's halves as little-endian UInt64.
    """

def count_spans(body: bytes) -> int:
    """How many spans an ExportTraceServiceRequest holds, by its outer frames alone; too few where it is malformed."""

def version() -> str:
    """The kernel's version."""
