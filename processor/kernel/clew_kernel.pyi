# ruff: noqa: PYI021 - a compiled module has no other Python text: what editors show is written here
"""clew's native kernel: OTLP wire bytes to Arrow columns."""

from typing import Any, final

__all__ = [
    "Batch",
    "Beside",
    "Decoded",
    "DecodedLogs",
    "Decoder",
    "Groups",
    "KeySet",
    "KeyTable",
    "SeenChunk",
    "Verdict",
    "canonical_json",
    "canonical_message",
    "content_hash",
    "inspect",
    "inspect_logs",
    "version",
    "windows",
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
        """Spans, or log records, accepted."""
    @property
    def error(self) -> str | None:
        """Why the whole body was refused, or None. A refused body contributes no rows at all."""
    @property
    def rejected(self) -> list[tuple[str, int]]:
        """Spans refused one by one: (reason, count), only reasons that occurred.

        Reasons: too_large, too_deep, bad_utf8, bad_trace_id, bad_span_id, bad_time, duplicate; a span counts once,
        under the first of these that holds. A duplicate was sent before, within the horizon, and accepted then.
        """
    @property
    def message(self) -> str:
        """A sentence naming the first refused span and why (at most 300 characters); "" when none was refused.

        It says nothing of duplicates, whose sender has succeeded.
        """
    @property
    def late(self) -> int:
        """Of the spans accepted, those that were accepted before, longer ago than the horizon, and still remembered."""
    @property
    def resource_bytes(self) -> int:
        """Bytes of resource attributes that the spans' rows repeat: 8 for each attribute and row.

        A span whose row would be beyond 256 MiB in its body is refused as too_large. The same holds for all bodies of
        one call together, so who cuts calls keeps the sum below that; then the verdict at the door stands.
        """

@final
class Decoded:
    """What one call gives back."""

    @property
    def spans(self) -> Batch:
        """One row per accepted span, in the order of the bodies.

        A content column of the plan, say ``c``, that asks for ``sizes`` has two more beside it, aligned with it:
        ``c.roles``, who speaks (UInt8: 1 system, 2 user, 3 assistant, 4 tool; another role counts as the one the
        content has where none is said), and ``c.bytes``, how many bytes of text a model has to read there (UInt32;
        words, names and arguments of calls, answers; images and the like count nothing). Both are 0 where a column of
        single contents has none; of contents that are no messages only the bytes mean something.
        """
    @property
    def contents(self) -> Batch:
        """One row per distinct content that was not given out within the plan's refresh time."""
    @property
    def verdicts(self) -> list[Verdict]:
        """One per body, in the order of the bodies."""
    @property
    def forgotten(self) -> int:
        """Spans within the horizon that were dropped for lack of room: sent again they would be accepted."""
    @property
    def start_rows(self) -> list[int]:
        """Rows of ``spans``, in order, that are start records (``clew.pending``): of spans that are open.

        The parent row of a start record is one as well, that of a span that ended never is.
        """
    @property
    def ended_rows(self) -> list[int]:
        """Those of ``start_rows`` whose span's end came before them, as far as spans are remembered."""

@final
class DecodedLogs:
    """What one call of `Decoder.decode_logs` gives back."""

    @property
    def logs(self) -> Batch:
        """One row per accepted log record, in the order of the bodies.

        Columns: ``request`` (number of the body) and those of the Collector's ``otel_logs``, texts that repeat as
        dictionaries. A structured body is JSON text. A record that tells no time of its own has the one at which it
        was observed, else ``now_ns``.
        """
    @property
    def messages(self) -> Batch:
        """One row per log record that holds messages of a span and names it by its ids.

        Columns: ``request``, and those of ``span_messages`` but for the tenant and version.
        """
    @property
    def contents(self) -> Batch:
        """Their contents: one row per distinct one that was not given out lately, as in `Decoded`."""
    @property
    def verdicts(self) -> list[Verdict]:
        """One per body, in the order of the bodies. Log records are never duplicates."""
    @property
    def spans(self) -> list[bytes | None]:
        """For each body an ExportTraceServiceRequest of the spans that the plan's `logs` make of its records, if any.

        The same records give the same spans, in whatever bodies and order they come; their attribute
        ``clew.from_log`` is true. One call makes at most 128 MiB of them; records beyond it become none.
        """

@final
class SeenChunk:
    """What a decoder's memory of spans learned between two exports."""

    @property
    def data(self) -> bytes:
        """For `Decoder.import_seen`: 16 bytes a span and some 130 more, with a checksum."""
    @property
    def generation(self) -> int:
        """The newest generation of spans it may hold.

        Once a later chunk's `oldest` is greater, this chunk is of no use any more.
        """
    @property
    def oldest(self) -> int:
        """The oldest generation still remembered at the time of the export."""

@final
class Decoder:
    """Decodes OTLP trace requests by an extraction plan; remembers contents it gave out and spans it accepted.

    ``plan`` is the plan's JSON text; the head of ``plan.rs`` tells what stands in it. A span, which is the same when
    tenant key, trace id, span id and being a start record (its attribute ``clew.pending`` is true) are, is rejected as
    ``duplicate`` when it was accepted within ``resend_horizon_ns`` before (rounded up to seconds; 0: never, nothing is
    remembered). At most ``max_remembered_spans`` are remembered, and never less than the last half as many; they take
    21 bytes each, the memory growing as needed. Raises ValueError saying what is wrong with an argument.
    """

    def __new__(cls, plan: str, *, resend_horizon_ns: int = 0, max_remembered_spans: int = 8_000_000) -> Decoder: ...
    def decode(
        self,
        bodies: list[bytes] | list[memoryview] | list[bytes | memoryview],
        keys: list[bytes],
        *,
        now_ns: int,
        min_time_ns: int,
        max_time_ns: int,
    ) -> Decoded:
        """Decode serialized ExportTraceServiceRequest messages, with the GIL released.

        ``bodies`` are bytes, or read-only contiguous buffers (``memoryview`` slices of bytes), which are not copied;
        nobody may write to a buffer's memory, by another way, before the call returns. ``keys`` holds the 16-byte hash
        key of each body's tenant. ``now_ns`` is the time of arrival, for contents and the resend horizon; where it goes
        back by up to the horizon, time stands still for resends until it has caught up, and where it goes back further,
        time goes on from where it was. Spans that start or end outside ``min_time_ns``..``max_time_ns`` are refused.
        Bad input never raises: the verdicts tell. A body refused as a whole leaves no memory. ValueError is for
        arguments that are wrong themselves: lists of different lengths, a key of another length, more than 256 MiB of
        bodies in one call, a buffer that is writable or has gaps.

        Decoding the same bodies again makes duplicates of their spans, whatever became of the rows.
        """
    def decode_logs(
        self,
        bodies: list[bytes] | list[memoryview] | list[bytes | memoryview],
        keys: list[bytes],
        *,
        now_ns: int,
        min_time_ns: int,
        max_time_ns: int,
    ) -> DecodedLogs:
        """Decode serialized ExportLogsServiceRequest messages: arguments, limits and promises are those of `decode`."""
    def forget(self) -> None:
        """Empty the memory of contents given out, so that each is given out again. Spans stay remembered."""
    def export_seen(self) -> SeenChunk:
        """The spans remembered since the last export (the first time, all), and the state all exports lead to."""
    def import_seen(self, chunks: list[bytes]) -> int:
        """Remember what was exported instead of what is remembered now.

        Given all chunks of use, in the order of their export, verdicts go on as if there had been no interruption, and
        the next export follows the last of these. Returns how many spans the last chunk speaks of that none holds: 0
        unless chunks are missing. ValueError, which changes nothing, when one is damaged or they are out of order.
        """

@final
class Beside:
    """Calls that agree in something and ended at about the same time: in one run, or one of the two a root.

    Some calls are a tuple of columns, buffers all of a length: number (int64), what they agree in and the same with the
    run in it (uint64, 0 for nothing), when they ended (int64, ns), and whether they are a root (uint8).
    """

    def __new__(cls, first: int, *, slot_bits: int, apart_ns: int, crowd: int) -> Beside:
        """None yet. They are put in rows of a column, which goes on at row ``first``.

        Time is cut in slots of 2 to the power ``slot_bits`` ns; calls agree in one slot, or in two of which one ended
        up to ``apart_ns`` from the other's slot. Where more than ``crowd`` agree in a slot nothing is told.
        """
    def add(self, some: tuple[object, object, object, object, object]) -> bytes:
        """Puts calls at the end, numbered by their rows. Numbers of those that agree with others, and of these."""
    def find(self, some: tuple[object, object, object, object, object]) -> bytes:
        """Rows of the calls that agree with some."""
    def without_crowds(self, some: tuple[object, object, object, object, object]) -> tuple[bytes, bytes]:
        """What they agree in, both columns, 0 where too many of their slot do."""
    def forget(self, oldest: int) -> None:
        """Forgets the rows before this one."""

@final
class KeyTable:
    """Where each of some 64-bit keys stands, in a column that grows at its end and is forgotten from its beginning.

    The key 0 is nowhere. Columns come as buffers of uint64 (numpy arrays), numbers go as bytes of int64, both in the
    machine's order. A row takes 12 bytes and 8 for each of its 2 to 4 slots.
    """

    def __new__(cls, first: int = 0) -> KeyTable:
        """Empty; the column goes on at row ``first``."""
    def find(self, wanted: object) -> tuple[bytes, bytes]:
        """All places of some keys: index in ``wanted``, and row."""
    def add(self, column: object) -> bytes:
        """Puts keys at the end. Returns, in order, the index of those that stand there twice among themselves."""
    def forget(self, oldest: int) -> None:
        """Forgets the rows before this one."""

@final
class KeySet:
    """A set of 64-bit keys; columns come as for `KeyTable`. A key takes 11 to 22 bytes."""

    def __new__(cls) -> KeySet: ...
    def __len__(self) -> int: ...
    def add(self, column: object) -> None:
        """Adds keys."""
    def among(self, column: object) -> bytes:
        """For each key one byte: 1 if it is there, else 0."""
    def sorted(self) -> bytes:
        """All of them, as uint64, in order."""

@final
class Groups:
    """Rows grouped by several columns of codes: equal where all columns are.

    Columns come as buffers (numpy arrays) of one value for each row, also for those in no group, else ValueError.
    Numbers go as bytes of int64, one for each group in the order in which groups first occur.
    """

    def __new__(cls, columns: list[Any], counts: list[int], among: object | None = None) -> Groups:
        """Groups rows.

        Args:
            columns: int32 or int64.
            counts: for each column how many different codes there may be; they are 0 to below that.
            among: uint8, 0 for rows that are in no group; None where all are in one.
        """
    def of_row(self) -> bytes:
        """For each row the number of its group, without gaps from 0; -1 for none."""
    def first(self) -> bytes:
        """The first row."""
    def count(self, flags: object) -> bytes:
        """How many of these flags are set: uint8, 0 or 1."""
    def sum(self, values: object) -> bytes:
        """The sum of int64 values, modulo 2^64."""
    def least(self, values: object, *ties: object) -> bytes:
        """The row with the least int64 value; where several have it, the least by `ties` in turn, then the first."""

def windows(
    *,
    system: tuple[object, object],
    tools: tuple[object, object],
    messages: tuple[object, object],
    roles: object,
    counts: object,
    tokens: object,
    start_ns: object,
    run: object,
    known: list[KeySet],
) -> tuple[list[bytes], bytes]:
    """What each model call's window was made of, and which part of it had been read before.

    Args:
        system: for each span its instructions' 16-byte hash, as two uint64 (0 for none), and their length, uint32.
        tools: the same of the tool definitions.
        messages: the same of all spans' messages, those of a span together.
        roles: who speaks in each of them, uint8, as in a column ``c.roles``.
        counts: how many of them each span has, uint32.
        tokens: of its prompt, int64; not above 0 where it has no window.
        start_ns: when it began, int64.
        run: key of its run, uint64.
        known: the blocks that batches before had read.

    Returns:
        As bytes of int64, one for each span: tokens that are system instructions, tool definitions, the user's words,
        the model's, results of tools, those in blocks that stand in the same window before, and those in blocks that
        an earlier call of the run had. And the blocks that were read now, as uint64.
    """

def canonical_json(text: bytes) -> bytes:
    """The canonical form whose hash is a content's canonical hash (of other kinds than messages and results).

    Objects and arrays, also those that are encoded in a string or written as Python does, with sorted keys and without
    nulls; anything else is a string.
    """

def canonical_message(text: bytes, role: str = "user") -> bytes:
    """The canonical form whose hash is a message's canonical hash: ``{"parts":[...],"role":"..."}``.

    ``text`` is one message in any shape the kernel knows, or plain words, which ``role`` says; the parts are those of
    OpenTelemetry. ValueError when ``role`` is none of system, user, assistant and tool.
    """

def content_hash(key: bytes, data: bytes) -> bytes:
    """HighwayHash with 128 bits of output under a 16-byte key (stretched to its 32), as a little-endian UInt128."""

def inspect(
    body: bytes | memoryview, *, max_span_bytes: int, min_time_ns: int, max_time_ns: int, max_depth: int = 64
) -> Verdict:
    """The verdict `Decoder.decode` would give on this body alone, duplicates apart, at a fraction of the cost.

    The limits are those of the plan and of the call. Makes nothing and remembers nothing. From 256 KiB on the GIL is
    released; what `Decoder.decode` asks of buffers is asked here too. ValueError is for wrong arguments.
    """

def inspect_logs(
    body: bytes | memoryview, *, max_span_bytes: int, min_time_ns: int, max_time_ns: int, max_depth: int = 64
) -> Verdict:
    """The same for log records: the verdict of `Decoder.decode_logs`."""

def version() -> str:
    """The kernel's version."""
