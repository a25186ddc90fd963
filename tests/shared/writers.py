"""A `Writer` over a store that does as it is told, with files, clock and chance of the test's own."""

from __future__ import annotations

import decimal
import hashlib
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from clew_processor.errors import Stopped
from clew_processor.write.trouble import Kind, StoreFault
from clew_processor.write.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from clew_processor.write.store import Store
    from clew_processor.write.writer import Sink

ARRIVAL_NS = 1_790_000_000 * 10**9
"""2026-09-21T14:13:20Z"""


class Crash(BaseException):
    """The process ends here. Nothing in it can catch that."""


class MemoryFiles:
    """`Files` in memory, as far as the writer uses them; what `steps` raises happens before or after a write."""

    def __init__(self, steps: Callable[[str], None] = lambda _: None) -> None:
        self.content: dict[str, bytes] = {}
        self.steps = steps

    def read(self, name: str) -> bytes:
        if name not in self.content:
            raise FileNotFoundError(name)
        return self.content[name]

    def replace(self, name: str, parts: Sequence[bytes | memoryview]) -> None:
        self.steps("file is about to be written")
        self.content[name] = b"".join(parts)
        self.steps("file is written")


class FakeSink:
    """A store: keeps rows by table, each token once, and refuses blocks by a rule.

    Attributes:
        rows: of each table, as dicts.
        puts: (table, rows, token, views skipped) of every call.
        refuse: what is wrong with a row of a table, or None.
        steps: told before and after rows are taken; what it raises ends the call there.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.puts: list[tuple[str, int, str, bool]] = []
        self.refuse: Callable[[str, dict[str, Any]], StoreFault | None] = lambda _table, _row: None
        self.steps: Callable[[str], None] = lambda _: None
        self._tokens: set[tuple[str, str]] = set()

    def put(self, table: str, rows: pa.Table, *, token: str, skip_views: bool = False) -> None:
        self.puts.append((table, rows.num_rows, token, skip_views))
        self.steps("rows are about to be taken")
        for row in rows.to_pylist():
            fault = self.refuse(table, row)
            if fault is not None and not (fault.in_view and skip_views):
                raise fault
        if (table, token) not in self._tokens:
            self._tokens.add((table, token))
            self.rows.setdefault(table, []).extend(rows.to_pylist())
        self.steps("rows are taken")

    def read(self, sql: str, parameters: dict[str, Any], *, as_bytes: Sequence[str] = ()) -> list[Sequence[Any]]:
        raise AssertionError("nothing is read here")

    def names(self, table: str = "gates") -> list[str]:
        """`gate_name` of the rows of `gates`, stored or, with table `dead_letters`, in letters; sorted."""
        if table == "dead_letters":
            return sorted(in_letter(letter["bytes"])["gate_name"] for letter in self.rows.get(table, []))
        return sorted(row["gate_name"] for row in self.rows.get(table, []))


class Tally:
    """A `Watch` that counts."""

    def __init__(self) -> None:
        self.failures: Counter[tuple[str, str]] = Counter()
        self.dead: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()

    def count_insert_failure(self, table: str, kind: str) -> None:
        self.failures[table, kind] += 1

    def count_dead_letters(self, table: str, rows: int) -> None:
        self.dead[table] += rows

    def count_lost(self, table: str, rows: int) -> None:
        self.lost[table] += rows


class Time:
    """A clock that only waiting moves on."""

    def __init__(self, *, end: float = float("inf")) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        self.end = 1000.0 + end

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        """Waits; told to leave once the end is reached."""
        self.pauses.append(seconds)
        self.now += seconds
        if self.now > self.end:
            raise Stopped("enough")


def writer(
    sink: Sink, files: MemoryFiles | None = None, *, time: Time | None = None, watch: Tally | None = None
) -> Writer:
    time = time or Time()
    return Writer(
        sink,
        files or MemoryFiles(),
        clock=time.clock,
        pause=time.pause,
        random=random.Random(1).random,
        watch=watch or Tally(),
    )


def gates(*names: str, day: int = 20_000, tenant: str = "default") -> pa.Table:
    """Rows of gates on a day since 1970, told apart by their names."""
    count = len(names)
    return pa.table(
        {
            "tenant_id": pa.array([tenant] * count).dictionary_encode(),
            "trace_id": pa.array([f"{i:032x}" for i in range(count)]).dictionary_encode(),
            "span_id": pa.array([f"{i:016x}" for i in range(count)]),
            "gate_name": pa.array(names).dictionary_encode(),
            "requested_at": pa.array([day * 86_400 * 10**9 + i for i in range(count)], pa.timestamp("ns", "UTC")),
            "wait_ms": pa.array(range(count), pa.uint64()),
        }
    )


def refuses(*names: str, kind: Kind = Kind.REFUSED, code: int = 469, in_view: bool = False) -> Any:
    """A rule for `FakeSink.refuse`: gates of these names are at fault."""

    def rule(table: str, row: dict[str, Any]) -> StoreFault | None:
        if table == "gates" and row["gate_name"] in names:
            return StoreFault(f"{row['gate_name']} is bad", kind, code=code, in_view=in_view)
        return None

    return rule


def in_letter(content: bytes) -> dict[str, Any]:
    """The row in a dead letter."""
    with pa.ipc.open_stream(content) as reader:
        (row,) = reader.read_all().to_pylist()
    return row


def crash_at(number: int) -> Callable[[str], None]:
    """A `steps` that crashes at the number-th step."""
    left = iter(range(number))

    def step(_: str) -> None:
        if next(left, None) is None:
            raise Crash

    return step


def every_crash(run: Callable[[Callable[[str], None]], None]) -> Iterator[int]:
    """Calls ``run`` with a crash at step 0, 1, 2 ... until it ends by itself; yields after each crash."""
    number = 0
    while True:
        try:
            run(crash_at(number))
        except Crash:
            yield number
            number += 1
        else:
            return


def spans(*names: str, day: int = 20_000, cost: dict[str, str] | None = None) -> pa.Table:
    """Rows of otel_traces on a day since 1970, told apart by their names; each a trace of its own.

    Args:
        cost: CostUsd by name, with which a span may go beyond what the column holds.
    """
    count = len(names)
    costs = [decimal.Decimal((cost or {}).get(name, "0.25")) for name in names]
    traces = [hashlib.md5(name.encode()).hexdigest() for name in names]
    return pa.table(
        {
            "Timestamp": pa.array([day * 86_400 * 10**9 + i for i in range(count)], pa.timestamp("ns", "UTC")),
            "TraceId": pa.array(traces).dictionary_encode(),
            "SpanId": pa.array([trace[:16] for trace in traces]),
            "SpanName": pa.array(names).dictionary_encode(),
            "TenantId": pa.array(["default"] * count).dictionary_encode(),
            "SpanAttributes": pa.array([[("k", name), ("k2", "ä")] for name in names], pa.map_(pa.utf8(), pa.utf8())),
            "CostUsd": pa.array(costs, pa.decimal128(38, 9)),
            "InputMessages": pa.array([[bytes(range(16))]] * count, pa.list_(pa.binary(16))),
            "IngestedAt": pa.array([ARRIVAL_NS // 10**6] * count, pa.timestamp("ms", "UTC")),
        }
    )


class SteppedStore:
    """A real store with a `steps` as `FakeSink` has."""

    def __init__(self, store: Store, steps: Callable[[str], None] = lambda _: None) -> None:
        self.store = store
        self.steps = steps

    def put(self, table: str, rows: pa.Table, *, token: str, skip_views: bool = False) -> None:
        self.steps("rows are about to be taken")
        self.store.put(table, rows, token=token, skip_views=skip_views)
        self.steps("rows are taken")

    def read(self, sql: str, parameters: dict[str, Any], *, as_bytes: Sequence[str] = ()) -> list[Sequence[Any]]:
        self.steps("rows are about to be read")
        return self.store.read(sql, parameters, as_bytes=as_bytes)
