"""The durable path in one thread, on a disk, a clock and a store that fail by a seeded schedule.

`Disk` keeps apart what the operating system has (survives `kill -9`) and what the device has (survives a power cut);
`simulate(seed)` interleaves clients, group commits, the consumer, checkpoints and crashes, and looks at every step
whether what was promised holds. The same seed is the same story; `BrokenPromiseError` tells its end.
"""

from __future__ import annotations

import errno
import logging
import struct
from collections import Counter, OrderedDict, deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import mock

import clew_processor.spool.log as log_module
from clew_processor.errors import Stopped
from clew_processor.spool.batcher import Batcher, BatchLimits
from clew_processor.spool.commit import Committer
from clew_processor.spool.consumer import Consumer, Pace
from clew_processor.spool.opening import opened
from clew_processor.spool.record import Kind, Record
from clew_processor.spool.reserve import NAME as RESERVE
from clew_processor.spool.reserve import Reserve

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from clew_processor.spool.batches import Batch


class Crash(BaseException):
    """The process is gone; whatever it does after that has no effect."""


class BrokenPromiseError(AssertionError):
    """A promise was broken.

    Attributes:
        noticed: all of one story, as the processor may have taken one for a fault of its own and gone on.
    """

    noticed: ClassVar[list[BrokenPromiseError]] = []

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.noticed.append(self)


@dataclass(eq=False)
class Inode:
    """Contents: as the operating system has it, as the device has it, and the writes between the two."""

    cache: bytearray = field(default_factory=bytearray)
    device: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def write(self, offset: int, data: bytes) -> None:
        _apply(self.cache, offset, data)
        self.pending.append((offset, data))

    def truncate(self, size: int) -> None:
        _apply(self.cache, size, None)
        self.pending.append((size, None))

    def flush(self) -> None:
        self.device = bytearray(self.cache)
        self.pending.clear()

    def flush_some(self, chance: Random) -> None:
        """Any part of what is pending gets to the device, torn at any byte; the rest never will."""
        mood = chance.random()
        for offset, data in self.pending:
            if mood < 0.2 or (mood > 0.4 and chance.random() < 0.3):
                continue
            if data is None or mood > 0.8:
                _apply(self.device, offset, data)
                continue
            cuts = sorted(chance.randint(0, len(data)) for _ in range(3))
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                if chance.random() < 0.7 and end > start:
                    _apply(self.device, offset + start, data[start:end])
        self.pending.clear()


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


class Disk:
    """A directory, as it is before and after the machine stops.

    Attributes:
        faults: how likely an operation fails: `sync`, `full`, `truncate`, `replace`, `names`.
        capacity: bytes; None is no limit.
        block: bytes that are written at once where much is appended; zeros fill the last.
    """

    def __init__(self, chance: Random, *, capacity: int | None = None) -> None:
        self.chance = chance
        self.capacity = capacity
        self.block = 1
        self.faults: dict[str, float] = {}
        self.during_read: Callable[[], None] = lambda: None
        self.life = 0
        self._names: dict[str, Inode] = {}
        self._durable: dict[str, Inode] = {}
        self._history: dict[str, list[Inode | None]] = {}
        self._crash_in: int | None = None

    def crash_after(self, operations: int) -> None:
        """The process ends in the middle of the n-th operation from now."""
        self._crash_in = operations

    def kill(self) -> None:
        """`kill -9`: what was written stays."""
        self._crash_in = None
        self.life += 1
        for name in [name for name in self._names if name.endswith(".new")]:  # as DiskFiles does when it starts
            self._set(name, None)

    def cut_power(self) -> None:
        """What was not synced is lost, in whole or in part; names too, each for itself."""
        for name, states in self._history.items():
            state = self.chance.choice(states)
            if state is None:
                self._durable.pop(name, None)
            else:
                self._durable[name] = state
        self._history.clear()
        self._names = dict(self._durable)
        for inode in self._names.values():
            inode.flush_some(self.chance)
            inode.cache = bytearray(inode.device)
        self.kill()

    def content(self, name: str) -> bytearray:
        """Of a file, to be looked at or damaged."""
        return self._names[name].cache

    # What the files use

    def begin(self, life: int, what: str = "") -> str:
        """Before each operation: "fail", or "in" or "after" if the process ends in or after it."""
        if life != self.life:
            raise Crash
        if self._crash_in is not None:
            self._crash_in -= 1
            if self._crash_in <= 0:
                self._crash_in = None
                moment = self.chance.choice(("before", "in", "after"))
                if moment == "before":
                    self.crash()
                return moment
        if what and self.chance.random() < self.faults.get(what, 0):
            return "fail"
        return ""

    def crash(self) -> None:
        self.life += 1
        raise Crash

    @property
    def used(self) -> int:
        return sum(len(inode.cache) for inode in self._names.values())

    def room(self) -> int:
        return 1 << 40 if self.capacity is None else max(0, self.capacity - self.used)

    def names(self) -> list[str]:
        return sorted(self._names)

    def inode(self, name: str) -> Inode | None:
        return self._names.get(name)

    def link(self, name: str, inode: Inode | None) -> None:
        self._set(name, inode)

    def _set(self, name: str, inode: Inode | None) -> None:
        self._history.setdefault(name, [self._durable.get(name)]).append(inode)
        if inode is None:
            self._names.pop(name, None)
        else:
            self._names[name] = inode

    def sync_names(self) -> None:
        self._durable = dict(self._names)
        self._history.clear()


class SimFile:
    """A `File` on it."""

    def __init__(self, disk: Disk, inode: Inode, *, block: int = 1) -> None:
        self._disk, self._inode, self._life = disk, inode, disk.life
        self._block, self._size = block, len(inode.cache)

    def append(self, parts: Sequence[bytes | memoryview]) -> None:
        moment = self._disk.begin(self._life, "full")
        begun = self._size % self._block
        start = self._size - begun
        content = bytes(self._inode.cache[start : self._size]) + b"".join(parts)
        whole = content + bytes(-len(content) % self._block)
        room = self._disk.room() + len(self._inode.cache) - start
        if moment in ("fail", "in"):
            room = min(room, self._disk.chance.randint(0, max(0, len(whole) - 1)))
        if taken := whole[: room - room % self._block]:
            self._inode.write(start, taken)
        self._end(moment)
        if len(taken) < len(whole):
            self._size = len(self._inode.cache)
            raise OSError(errno.ENOSPC, "No space left on device")
        self._size = start + len(content)

    def fill(self, size: int) -> None:
        self.append([bytes(size)])

    def seal(self) -> None:
        if self._disk.begin(self._life, "truncate") != "fail":
            self._inode.truncate(self._size)

    def write_at(self, offset: int, data: bytes) -> None:
        moment = self._disk.begin(self._life, "full")
        if moment in ("fail", "in"):
            data = data[: self._disk.chance.randint(0, len(data))]
        self._inode.write(offset, bytes(data))
        self._size = max(self._size, offset + len(data))
        self._end(moment)
        if moment == "fail":
            raise OSError(errno.ENOSPC, "No space left on device")

    def sync(self) -> None:
        moment = self._disk.begin(self._life, "sync")
        if moment == "fail":
            self._inode.flush_some(self._disk.chance)
            raise OSError(errno.EIO, "Input/output error")
        if moment != "in":
            self._inode.flush()
        self._end(moment)

    def read(self, offset: int, size: int) -> bytes:
        self._disk.begin(self._life)
        self._disk.during_read()
        return bytes(self._inode.cache[offset : offset + size])

    def truncate(self, size: int) -> None:
        moment = self._disk.begin(self._life, "truncate")
        if moment == "fail":
            raise OSError(errno.EIO, "Input/output error")
        if moment != "in":
            self._inode.truncate(size)
        self._size = size
        self._end(moment)

    def size(self) -> int:
        return self._size

    def close(self) -> None:
        pass

    def _end(self, moment: str) -> None:
        if moment in ("in", "after"):
            self._disk.crash()


class SimFiles:
    """`Files` on a `Disk`, for one life of a process."""

    def __init__(self, disk: Disk) -> None:
        self._disk, self._life = disk, disk.life

    def names(self) -> list[str]:
        self._disk.begin(self._life)
        return self._disk.names()

    def open(self, name: str, *, appending: bool = False) -> SimFile:
        moment = self._disk.begin(self._life)
        inode = self._disk.inode(name)
        if inode is None:
            inode = Inode()
            self._disk.link(name, inode)
        self._end(moment)
        return SimFile(self._disk, inode, block=self._disk.block if appending else 1)

    def read(self, name: str) -> bytes:
        self._disk.begin(self._life)
        inode = self._disk.inode(name)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, name)
        return bytes(inode.cache)

    def replace(self, name: str, parts: Sequence[bytes | memoryview]) -> None:
        data = b"".join(parts)
        moment = self._disk.begin(self._life, "replace")
        if moment == "in" and self._disk.chance.random() < 0.5:  # before it gets its name
            unfinished = Inode()
            unfinished.write(0, data[: self._disk.chance.randint(0, len(data))])
            self._disk.link(f"{name}.new", unfinished)
            self._disk.crash()
        if moment == "fail" and self._disk.chance.random() < 0.7:
            raise OSError(errno.EIO, "Input/output error")
        if len(data) > self._disk.room():
            raise OSError(errno.ENOSPC, "No space left on device")
        inode = Inode()
        inode.write(0, data)
        inode.flush()
        self._disk.link(name, inode)
        if moment == "fail":
            raise OSError(errno.EIO, "Input/output error")
        if moment != "in":
            self._disk.sync_names()
        self._end(moment)

    def remove(self, name: str) -> None:
        moment = self._disk.begin(self._life, "names")
        if moment == "fail":
            raise OSError(errno.EIO, "Input/output error")
        if self._disk.inode(name) is not None:
            self._disk.link(name, None)
        self._end(moment)

    def sync_names(self) -> None:
        moment = self._disk.begin(self._life, "names")
        if moment == "fail":
            raise OSError(errno.EIO, "Input/output error")
        if moment != "in":
            self._disk.sync_names()
        self._end(moment)

    def _end(self, moment: str) -> None:
        if moment in ("in", "after"):
            self._disk.crash()


class StoreDownError(Exception):
    """An insert failed, or so it seems."""


class SimStore:
    """Tables that keep one copy of each token, among the last so many.

    Attributes:
        tables: rows by table.
        faults: how likely an insert fails: `refuse`, `lose` (taken, the answer lost), `late` (taken later).
        is_down: whether all fail.
        may_repeat: spans that were stored and whose record was then damaged: a replay does not know that they came, and
            takes one that was sent again for new.
        takes_other_rows: whether a token may stand for other rows than before, as those of a damaged batch are.
    """

    def __init__(self, chance: Random, *, window: int) -> None:
        self.tables: dict[str, list[tuple[Any, ...]]] = {}
        self.faults: dict[str, float] = {}
        self.is_down = False
        self.takes_other_rows = False
        self.may_repeat: set[int] = set()
        self.spans: set[int] = set()
        self.dead: set[int] = set()
        self.settled = 0
        self._chance = chance
        self._window = window
        self._tokens: dict[str, OrderedDict[str, int]] = {}
        self._known: dict[str, int] = {}
        self._late: deque[tuple[str, str, list[tuple[Any, ...]]]] = deque()

    def put(self, table: str, token: str, rows: list[tuple[Any, ...]]) -> None:
        digest = hash(tuple(rows))
        if self._known.setdefault(token, digest) != digest and not self.takes_other_rows:
            raise BrokenPromiseError(f"token {token} stands for other rows than before")
        fault = next((fault for fault, likely in self.faults.items() if self._chance.random() < likely), "")
        if len(self._late) > 5:
            self._take(*self._late.popleft())
        if self.is_down or fault == "refuse":
            raise StoreDownError
        if fault == "late":
            self._late.append((table, token, rows))
            raise StoreDownError
        self._take(table, token, rows)
        if fault == "lose":
            raise StoreDownError

    def catch_up(self) -> None:
        """What was late arrives."""
        while self._late:
            self._take(*self._late.popleft())

    def _take(self, table: str, token: str, rows: list[tuple[Any, ...]]) -> None:
        tokens = self._tokens.setdefault(table, OrderedDict())
        if token in tokens:
            return
        tokens[token] = 1
        if len(tokens) > self._window:
            tokens.popitem(last=False)
        self.tables.setdefault(table, []).extend(rows)
        for row in rows:
            if table == "spans":
                if row[0] in self.spans and row[0] not in self.may_repeat:
                    raise BrokenPromiseError(f"span {row[0]} is stored twice")
                self.spans.add(row[0])
            elif table == "dead":
                self.dead.add(row[0])
            elif table == "ledger":
                self.settled += row[0]


POISON, GRUMPY = 37, 11
"""Spans whose number is a multiple: the first fails alone, four of the second fail together."""
RUNS = 5
MINUTE = 60 * 10**9


def body_of(spans: Sequence[int], filler: bytes = b"") -> bytes:
    return struct.pack(f"<H{len(spans)}I", len(spans), *spans) + filler


def spans_of(body: bytes | memoryview) -> list[int]:
    (count,) = struct.unpack_from("<H", body)
    return list(struct.unpack_from(f"<{count}I", body, 2))


@dataclass
class Made:
    """What the simulated stages make of a batch."""

    tables: dict[str, list[tuple[Any, ...]]]


class SimStages:
    """Remembers what runs had, which spans came, and an open minute; what it makes depends on that and the clock."""

    def __init__(self, world: World | None) -> None:
        self._world = world
        self._forget()

    def _forget(self) -> None:
        self._runs = [0] * RUNS
        self._seen: dict[int, None] = {}
        self._version = 0
        self._minute = self._in_minute = 0

    def process(self, batch: Batch, excluded: Collection[int]) -> Made:
        if self._world is not None:
            self._world.look_at(batch)
        spans, runs, dead, minutes = [], Counter[int](), [], []
        stored = duplicate = failed = undecodable = 0
        self._time(batch.arrival_ns, minutes)
        self._version = max(self._version + 1, batch.arrival_ns)
        taken: list[int] = []
        for placed in batch.records:
            record = placed.record
            if record.kind is Kind.UNDECODABLE:
                undecodable += 1
            elif record.kind is not Kind.TRACES:
                continue
            elif placed.start in excluded:
                dead += [(span, placed.start) for span in spans_of(record.body)]
                failed += record.spans
            else:
                taken += spans_of(record.body)
        if any(span % POISON == 0 for span in taken):
            raise ValueError("poison")
        if sum(span % GRUMPY == 0 for span in taken) > 3:
            raise ValueError("too many grumpy ones")
        for span in taken:
            if span in self._seen:
                duplicate += 1
                continue
            self._seen[span] = None
            run = span % RUNS
            self._runs[run] += 1
            runs[run] += 1
            spans.append((span, run, self._runs[run], self._version))
            stored += 1
            self._in_minute += 1
        lost = batch.lost_spans
        received = stored + duplicate + failed + undecodable + lost
        return Made(
            {
                "runs": [(run, count, self._version) for run, count in sorted(runs.items())],
                "minutes": minutes,
                "dead": dead,
                "spans": spans,
                "totals": [(run, self._runs[run], self._version) for run in sorted(runs)],
                "ledger": [(received, stored, duplicate, failed, undecodable, lost, batch.arrival_ns // MINUTE)],
            }
        )

    def _time(self, arrival_ns: int, minutes: list[tuple[int, ...]]) -> None:
        if arrival_ns // MINUTE > self._minute:
            if self._in_minute:
                minutes.append((self._minute, self._in_minute, self._version))
            self._minute, self._in_minute = arrival_ns // MINUTE, 0

    def tick(self, arrival_ns: int) -> None:
        self._version = max(self._version, arrival_ns)

    def culprits(self, batch: Batch) -> list[int]:
        found = []
        for placed in batch.records:
            try:
                SimStages(None).process(_Alone(placed, batch.arrival_ns), ())
            except ValueError:
                found.append(placed.start)
        return found

    def state(self) -> list[bytes | memoryview]:
        numbers = [*self._runs, self._version, self._minute, self._in_minute]
        return [struct.pack(f"<{len(some)}Q", *some) for some in (numbers, self._seen)]

    def restore(self, state: Sequence[bytes | memoryview] | None) -> None:
        self._forget()
        if state is None:
            return
        if len(state) != 2 or len(state[0]) != 8 * (RUNS + 3):
            raise ValueError("not ours")
        numbers, seen = (struct.unpack(f"<{len(part) // 8}Q", part) for part in state)
        self._runs = list(numbers[:RUNS])
        self._version, self._minute, self._in_minute = numbers[RUNS:]
        self._seen = dict.fromkeys(seen)

    @property
    def in_minute(self) -> int:
        return self._in_minute


class _Alone:
    def __init__(self, placed: Any, arrival_ns: int) -> None:
        self.records, self.arrival_ns, self.lost_spans = [placed], arrival_ns, 0


class SimSink:
    """Inserts table by table, and again until it is told that it succeeded."""

    def __init__(self, world: World) -> None:
        self._world = world

    def store(self, batch: Batch, processed: Made) -> None:
        world = self._world
        world.furthest = max(world.furthest, batch.end)
        for table, rows in processed.tables.items():
            if not rows:
                continue
            while True:
                world.meanwhile(0.1)
                try:
                    world.store.put(table, f"{batch.id}:{table}", rows)
                    break
                except StoreDownError:
                    world.pause(0.5)


class World:
    """One story.

    Attributes:
        furthest: end of the last batch whose rows may be in the store.
        hit: spans in records that were damaged.
        hit_spans: how many those records count.
        is_tail_hit: whether the last record was; it may look as if it had never been finished.
    """

    def __init__(self, seed: int, *, tell: Callable[[str], None] | None = None) -> None:
        chance = self.chance = Random(seed)
        self.tell = tell or (lambda _: None)
        self.now, self.now_ns = 100.0, 1_700_000_000 * 10**9
        self.segment_bytes = chance.choice((1, 400, 1500, 6000))
        self.max_spool_bytes = chance.choice((4000, 20_000, 1 << 30)) + 4 * self.segment_bytes
        self.sync = chance.random() < 0.85
        capacity = chance.choice((None, None, 12_000, 25_000))
        self.disk = Disk(chance, capacity=capacity and capacity + 2 * self.segment_bytes)
        self.disk.block = chance.choice((1, 64, 256)) if self.sync else 1
        self.recent_bytes = chance.choice((0, 500, 1 << 20))
        self.most_spans = capacity // 80 if capacity else 10_000  # of which the last checkpoints and the next have room
        self.limits = BatchLimits(
            max_spans=chance.choice((1, 5, 20)), max_wait_s=chance.choice((0, 0.05, 1)), tick_s=10, settle_s=30
        )
        self.pace = Pace(every_s=chance.choice((0.01, 2, 10)), every_batches=chance.choice((3, 20, 1000)))
        # Of those since the last two checkpoints and of a few that were late, with some that could not be made.
        self.store = SimStore(chance, window=20 + 6 * self.pace.every_batches)
        self.disk.during_read = lambda: self.meanwhile(0.02)
        self.acknowledged: set[int] = set()
        self.pending: list[int] = []
        """Spans whose sender has not heard that they are taken."""
        self.made = self.crashes = 0
        self.furthest = 0
        self.batches: dict[int, tuple[str, int]] = {}
        self.promised_end = 0
        self.power_was_cut = self.is_damaged = False
        self.hit: set[int] = set()
        self.hit_spans = 0
        self.is_tail_hit = False
        self._waiting: list[tuple[Record, list[int]]] = []
        self._busy = False
        self._is_calm = False
        self._calm_pauses = 0
        self._is_up = False
        self._wanted_faults = {
            "disk": {
                what: chance.choice((0, 0, 0.02, 0.1)) for what in ("sync", "full", "truncate", "replace", "names")
            },
            "store": {what: chance.choice((0, 0, 0.1, 0.3)) for what in ("refuse", "lose", "late")},
        }
        self._crashes = chance.choice((0, 0.03, 0.1))
        self._power_cuts = chance.choice((0, 0.5, 1)) if self.sync else 0

    # The processor

    def start(self) -> None:
        """A process starts, as `app` does it. It may end while doing so."""
        self.tell("starts")
        self.disk.faults = {}
        self.store.catch_up()
        files = self.files = Reserve(SimFiles(self.disk), least_bytes=2500)
        if self.chance.random() < 0.5:
            self._trouble()
        self.log, self.progress, self.checkpoints = opened(
            files, segment_bytes=self.segment_bytes, sync=self.sync, recent_bytes=self.recent_bytes
        )
        self._trouble()
        if self.log.end < self.promised_end and not self.is_damaged:
            raise BrokenPromiseError(f"the log ends at {self.log.end}, promised was up to {self.promised_end}")
        batcher = Batcher(self.limits)
        if self.log.end:
            batcher.reopened(self.now)
        self.committer = Committer(
            self.log,
            batcher,
            max_spool_bytes=self.max_spool_bytes,
            opening=[Record(Kind.RULES, self.now_ns, body=b"{}")],
            clock=lambda: self.now,
            clock_ns=lambda: self.now_ns,
        )
        self.stages = SimStages(self)
        self.consumer = Consumer(
            self.log,
            files,
            self.progress,
            self.checkpoints,
            stages=self.stages,
            sink=SimSink(self),
            clock=lambda: self.now,
            pause=self.pause,
            pace=self.pace,
        )
        self._recovered = False
        self._is_up = True

    def _trouble(self) -> None:
        if not self._is_calm:
            self.disk.faults, self.store.faults = self._wanted_faults["disk"], self._wanted_faults["store"]

    def crash(self) -> None:
        """The process, or the machine, stops."""
        if self.chance.random() < self._power_cuts:
            self.tell("power cut")
            self.disk.cut_power()
            self.power_was_cut = True
        else:
            self.tell("killed")
            self.disk.kill()
        self.crashes += 1
        self._is_up, self._busy = False, False
        for _, spans in self._waiting:
            self.pending += spans
        self._waiting.clear()

    def submit(self) -> None:
        """A client sends: something new, or again what it has not heard of, the same way or in other company."""
        spans: list[int] = []
        if self.pending and self.chance.random() < 0.5:
            self.chance.shuffle(self.pending)
            count = self.chance.randint(1, 6)
            spans, self.pending = self.pending[:count], self.pending[count:]
        if (not spans or self.chance.random() < 0.3) and not self._is_calm and self.made < self.most_spans:
            count = self.chance.randint(1, 5)
            spans += range(self.made + 1, self.made + 1 + count)
            self.made += count
        if not spans:
            return
        filler = b""
        if self._is_calm:
            pass
        elif self.chance.random() < 0.2:
            filler = self._stolen()
        elif self.chance.random() < 0.1:
            filler = bytes(self.chance.randint(0, 800))
        record = Record(Kind.TRACES, self.now_ns, "acme", len(spans), body_of(spans, filler))
        self._waiting.append((record, spans))
        if self.chance.random() < 0.1:
            self._waiting.append((Record(Kind.UNDECODABLE, self.now_ns, "acme", 1), []))

    def _stolen(self) -> bytes:
        """Bytes as they lie in the spool: a body that looks like records."""
        names = [name for name in self.disk.names() if name.endswith(".spool")]
        if not names:
            return b""
        content = self.disk.content(self.chance.choice(names))
        start = self.chance.randint(0, len(content))
        return bytes(content[start : start + 300])

    def commit(self, *, close: bool = False) -> None:
        """What waits is written, and answered."""
        group, self._waiting = self._waiting, []
        due_in = self.committer.due_in()
        if not group and not close and (due_in is None or due_in > 0):
            return
        before = self.log.end
        try:
            answers, written = self.committer.commit([record for record, _ in group], close=close)
        except Crash:
            self._waiting = group
            raise
        self.tell(f"commit of {[spans for _, spans in group]}: {answers}, end {self.log.end}")
        if written:
            if self.log.end <= (before if self.is_damaged else max(before, self.promised_end)):
                raise BrokenPromiseError("a position is used twice")
            self.promised_end = self.log.end
        for (record, spans), answer in zip(group, answers, strict=True):
            if answer is not None:
                self.pending += spans
                continue
            if record.kind is Kind.TRACES:
                self.acknowledged.update(spans)
                if self.chance.random() < 0.15 and not self._is_calm:  # the answer is lost
                    self.pending += spans

    def step(self) -> bool:
        """The worker's thread for a moment."""
        self._busy = True
        try:
            if not self._recovered:
                self.consumer.recover()
                self._recovered = True
            if self.consumer.step():
                self._check_ledger()
                return True
            self.consumer.rest()
            return False
        except Stopped:
            self._recovered = False
            return False
        except OSError as error:
            self.tell(f"the worker stumbles: {error}")
            self._recovered = False
            return True
        finally:
            self._busy = False
            if BrokenPromiseError.noticed:
                raise BrokenPromiseError.noticed[0]

    # What happens while the worker waits

    def pause(self, seconds: float) -> None:
        self.now += seconds
        self.now_ns += int(seconds * 1e9)
        if self._is_calm:
            self._calm_pauses += 1
            if self._calm_pauses > 1000:
                raise BrokenPromiseError("waits for ever")
            return
        if self.chance.random() < 0.3:
            self.store.is_down = False
        if self.chance.random() < 0.3:
            self.store.catch_up()
        if self.chance.random() < 0.05:
            raise Stopped
        self.meanwhile(0.5)

    def meanwhile(self, likely: float) -> None:
        """The other thread."""
        if not self._busy or self.chance.random() >= likely or not self._is_up:
            return
        self._busy = False
        try:
            if not self._is_calm:
                self.submit()
            self.commit()
        finally:
            self._busy = True

    def happen(self) -> None:
        """One more thing happens."""
        chance = self.chance
        if chance.random() < self._crashes:
            if chance.random() < 0.3:
                raise Crash
            self.disk.crash_after(chance.randint(1, 25))
        match chance.choices(range(7), (6, 6, 8, 1, 2, 0.5, 0.5))[0]:
            case 0:
                self.submit()
            case 1:
                self.commit()
            case 2:
                self.step()
            case 3:
                if self._recovered:
                    self.tell("checkpoint")
                    self.consumer.checkpoint()
            case 4:
                seconds = chance.choice((0.01, 1, 20))
                self.now += seconds
                self.now_ns += int(seconds * 1e9)
            case 5:
                self.now_ns += chance.choice((-1, 1)) * chance.randint(1, 10**13)
            case 6:
                self.store.is_down = chance.random() < 0.5
                self.store.catch_up()

    @property
    def may_lose(self) -> bool:
        """Records may be damaged, if only those of a write that was under way when the power was cut."""
        return self.power_was_cut or self.is_damaged

    # What must hold

    def look_at(self, batch: Batch) -> None:
        """A batch is the same in every replay."""
        records = ((placed.start, placed.record.kind, bytes(placed.record.body)) for placed in batch.records)
        if self.is_damaged:
            return  # several may have become one
        content = hash((batch.arrival_ns, *records))
        if self.batches.setdefault(batch.end, (batch.id, content)) != (batch.id, content):
            raise BrokenPromiseError(f"batch {batch.id} is another than before: {self.batches[batch.end]}")
        if batch.lost_spans and not self.may_lose:  # else they may be of a write that was under way
            raise BrokenPromiseError(f"{batch.lost_spans} spans of batch {batch.id} are said to be lost")

    def _check_ledger(self) -> None:
        mark = self.progress.mark
        if mark.spans > self.store.settled + self.hit_spans:
            raise BrokenPromiseError(f"{mark.spans} spans are settled by the mark, {self.store.settled} by the ledger")
        if mark.stored >= self.furthest and mark.spans != self.store.settled and not self.is_damaged:
            raise BrokenPromiseError(f"{self.store.settled} spans are settled by the ledger, {mark.spans} by the mark")

    def check(self) -> None:
        """Every span acknowledged is stored or in flight, and in flight is what positions say."""
        mark = self.progress.mark
        in_flight: set[int] = set()
        count = 0
        for placed in self.log.read(mark.stored):
            count += placed.record.spans
            if placed.record.kind is Kind.TRACES:
                in_flight.update(spans_of(placed.record.body))
        if count != self.log.spans - mark.spans and not (count < self.log.spans - mark.spans and self.may_lose):
            raise BrokenPromiseError(f"{count} spans are in flight, positions say {self.log.spans - mark.spans}")
        if lost := self.acknowledged - self.store.spans - self.store.dead - in_flight - self.hit:
            raise BrokenPromiseError(f"spans {sorted(lost)} were acknowledged and are nowhere")
        if self.log.damage.places and not self.may_lose:
            raise BrokenPromiseError(f"damage is reported where there is none: {self.log.damage}")

    def check_drained(self) -> None:
        """In the end everything is in every table once, and the disk is empty again."""
        self.check()
        tables = self.store.tables
        if self.log.spans != self.progress.mark.spans:
            raise BrokenPromiseError(f"of {self.log.spans} spans {self.progress.mark.spans} are settled")
        if abs(self.log.spans - self.store.settled) > self.hit_spans:
            raise BrokenPromiseError(f"of {self.log.spans} spans {self.store.settled} are settled by the ledger")
        for row in tables.get("ledger", []):
            if row[0] != sum(row[1:6]):
                raise BrokenPromiseError(f"a row of the ledger does not add up: {row}")
        if not self.is_damaged:
            self._check_tables()
        names = self.disk.names()
        allowed = {"progress", "excluded", RESERVE}
        segments = [name for name in names if name.endswith(".spool")]
        checkpoints = [name for name in names if name.startswith("checkpoint-")]
        if others := set(names) - allowed - set(segments) - set(checkpoints):
            raise BrokenPromiseError(f"files are left: {others}")
        if len(segments) > 1 or len(checkpoints) > 2:
            raise BrokenPromiseError(f"{segments} and {checkpoints} are left")

    def _check_tables(self) -> None:
        tables = self.store.tables
        stored = sum(row[1] for row in tables.get("ledger", []))
        if stored != len(self.store.spans):
            raise BrokenPromiseError(f"{stored} spans are stored by the ledger, {len(self.store.spans)} are there")
        for run in range(RUNS):
            ordinals = sorted(row[2] for row in tables.get("spans", []) if row[1] == run)
            delta = sum(row[1] for row in tables.get("runs", []) if row[0] == run)
            newest = max(((row[2], row[1]) for row in tables.get("totals", []) if row[0] == run), default=(0, 0))[1]
            if not ordinals == list(range(1, len(ordinals) + 1)) or not len(ordinals) == delta == newest:
                raise BrokenPromiseError(f"run {run} has {ordinals}, its rows say {delta}, its total {newest}")
        minutes = sum(row[1] for row in tables.get("minutes", [])) + self.stages.in_minute
        if minutes != len(self.store.spans):
            raise BrokenPromiseError(f"by minute there are {minutes} spans of {len(self.store.spans)}")

    def drain(self) -> None:
        """All trouble ends; everything there is gets through."""
        self._is_calm = True
        self.disk.faults, self.store.faults, self.store.is_down = {}, {}, False
        self.store.catch_up()
        for _ in range(400):
            while self.pending and len(self._waiting) < 3:
                self.submit()
            self.commit()
            self.now += 1
            self.now_ns += 10**9
            while self.step():
                pass
            if not self.pending and not self._waiting:
                break
        else:
            raise BrokenPromiseError(f"{len(self.pending)} spans are refused for ever")
        self.commit(close=True)
        while self.step():
            pass
        for _ in range(8):  # idle
            self.now += 100 + self.pace.every_s
            self.commit()  # it may have been full
            while self.step():
                pass

    def run(self, happenings: int) -> None:
        """From the first start on, for a while; it is up in the end, and no more trouble comes."""
        left = happenings
        while left > 0 or not self._is_up:
            try:
                if not self._is_up:
                    self.start()
                while left > 0:
                    left -= 1
                    self.happen()
                    if self.chance.random() < 0.05:
                        self.check()
            except Crash:
                self.crash()
            except OSError as error:
                if self._is_up:
                    raise
                self.tell(f"does not start: {error}")
                self.disk.kill()
            if left <= 0:
                self._crashes, self._is_calm = 0, True
                self.disk.faults = {}
                self.disk.crash_after(1 << 30)

    def be_damaged(self) -> str:
        """The process is killed; one of its files is cut short, or some bits of it change.

        Returns:
            What was done.
        """
        placed = list(self.log.read(0))
        bases = {segment.name: segment.base for segment in self.log._segments}
        self.crash()
        self.pending.clear()  # nobody repeats what was hit
        self.is_damaged = self.store.takes_other_rows = True
        kinds = sorted({name.split("-")[0].removesuffix(".spool") for name in self.disk.names()} - {RESERVE})
        kind = self.chance.choice(["spool", "spool", *(kind for kind in kinds if not kind.isdecimal())])
        names = [name for name in self.disk.names() if (name in bases if kind == "spool" else name.startswith(kind))]
        if not names:
            return f"there is no {kind} yet"
        name = self.chance.choice(names)
        content = self.disk.content(name)
        if not content:
            return f"{name} is empty"
        if self.chance.random() < 0.5:
            at = self.chance.randrange(len(content))
            del content[at:]
            hit = [(at, 1 << 62)]
            done = f"{name} is cut to {at} bytes"
        else:
            hit = []
            for _ in range(self.chance.choice((1, 1, 3))):
                at = self.chance.randrange(len(content))
                size = self.chance.choice((1, 1, 200))
                for byte in range(at, min(len(content), at + size)):
                    content[byte] ^= 1 << self.chance.randrange(8)
                hit.append((at, at + size))
            done = f"{name} is changed at {hit}"
        base = bases.get(name, 1 << 62)
        struck = [one for one in placed if any(base + start < one.end and one.start < base + end for start, end in hit)]
        # What a power cut had torn before is in no record, and may count as well.
        self.hit_spans = 1 << 60 if self.power_was_cut else sum(one.record.spans for one in struck)
        self.is_tail_hit = placed[-1:] == struck[-1:]
        for one in struck:
            if one.record.kind is Kind.TRACES:
                self.hit.update(spans_of(one.record.body))
        self.store.may_repeat = self.hit
        return done


@contextmanager
def quiet(seed: int) -> Iterator[None]:
    """No log, and random numbers of the seed."""
    chance = Random(f"salt {seed}")
    BrokenPromiseError.noticed.clear()
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with mock.patch.object(log_module, "secrets", SimpleNamespace(randbits=chance.getrandbits)):
            yield
    finally:
        logging.disable(level)


def simulate(seed: int, *, tell: Callable[[str], None] | None = None) -> World:
    """Runs the story of a seed.

    Raises:
        BrokenPromiseError: a promise was.
    """
    with quiet(seed):
        world = World(seed, tell=tell)
        world.run(world.chance.randint(20, 150))
        if world.chance.random() < 0.5:
            world.crash()
            world.start()
        world.drain()
        world.check_drained()
        return world


def simulate_damage(seed: int, *, tell: Callable[[str], None] | None = None) -> World:
    """Runs the story of a seed to a point where a file is damaged, and to its end.

    Raises:
        BrokenPromiseError: more was lost than was hit, or something is stored twice.
    """
    with quiet(seed):
        world = World(seed, tell=tell)
        world.disk.capacity, world.max_spool_bytes = None, 1 << 30
        world.run(world.chance.randint(5, 80))
        done = world.be_damaged()
        world.tell(done)
        world.start()
        lost = world.acknowledged - world.store.spans - world.store.dead
        world.drain()
        world.check_drained()
        lost &= world.acknowledged - world.store.spans - world.store.dead
        counted = sum(row[5] for row in world.store.tables.get("ledger", []))
        if lost and not counted and not world.log.damage.places and not world.is_tail_hit:
            raise BrokenPromiseError(f"{lost} are lost and nobody says so: {done}")
        return world
