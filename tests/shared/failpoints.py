"""A processor that kills itself at a chosen moment, or whose disk or patience is smaller than usual.

Run as a program: `python failpoints.py NAME ARGUMENT... -- FLAGS` is `clew up FLAGS` with the function in which that
moment lies wrapped. The processor itself has no hooks. SIGKILL leaves no handler, buffer or destructor a chance: it is
what `kill -9` and the out-of-memory killer do. (What a power cut does beyond that is the simulation's to show.)
"""

from __future__ import annotations

import errno
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TABLES = ("otel_traces", "otel_traces_trace_id_ts", "run_deltas", "usage_1m", "loop_versions", "gates", "ledger_1m")


def program(*arguments: object) -> tuple[str, ...]:
    """What `shared.processor.start` takes as its program."""
    return (__file__, *map(str, arguments), "--")


def die() -> None:
    """Ends this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # the signal may take another thread first; this one goes no further


class _Moment:
    """The n-th time something happens."""

    def __init__(self, times: int) -> None:
        self._left = times
        self._lock = threading.Lock()

    def has_come(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left == 0


def _wrap(owner: type, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    setattr(owner, name, make(getattr(owner, name)))


def _before(owner: type, name: str, times: int, wanted: Callable[..., bool] = lambda *_, **__: True) -> None:
    moment = _Moment(times)

    def make(real: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*args: Any, **named: Any) -> Any:
            if wanted(*args, **named) and moment.has_come():
                die()
            return real(*args, **named)

        return instead

    _wrap(owner, name, make)


def _after(owner: type, name: str, times: int, wanted: Callable[..., bool] = lambda *_, **__: True) -> None:
    moment = _Moment(times)

    def make(real: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*args: Any, **named: Any) -> Any:
            result = real(*args, **named)
            if wanted(*args, **named) and moment.has_come():
                die()
            return result

        return instead

    _wrap(owner, name, make)


def _after_receive(times: int, chance: random.Random) -> None:
    from clew_processor.spool.intake import Intake

    _before(Intake, "submit", times)


def _after_decode(times: int, chance: random.Random) -> None:
    from clew_processor.decode.decoder import Decoder

    _after(Decoder, "decode", times)


def _mid_spool_write(times: int, chance: random.Random) -> None:
    moment = _Moment(times)

    def make(real: Callable[..., None]) -> Callable[..., None]:
        def append(self: Any, parts: Any) -> None:
            if moment.has_come():
                whole = b"".join(map(bytes, parts))
                real(self, [whole[: chance.randint(1, len(whole) - 1)]])
                die()
            real(self, parts)

        return append

    _wrap_appending(make)


def _wrap_appending(make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    from clew_processor.spool.files import DirectFile, DiskFile

    for kind in (DiskFile, DirectFile):
        _wrap(kind, "append", make)


def _after_fsync_before_ack(times: int, chance: random.Random) -> None:
    from clew_processor.spool.log import Log

    _after(Log, "append", times)


def _mid_batch(times: int, chance: random.Random) -> None:
    """Some tables of the batch have their rows, the others have not."""
    from clew_processor.write.store import Store

    table = chance.choice(["usage_1m", "run_deltas", "otel_traces", "ledger_1m"])
    _before(Store, "put", times, lambda _self, name, *_, **__: name == table)


def _mid_insert(times: int, chance: random.Random) -> None:
    from clew_processor.write.store import Store

    moment = _Moment(4 * times + chance.randint(0, 6))  # a batch has about 7 inserts

    def make(real: Callable[..., None]) -> Callable[..., None]:
        usual_s = 0.01

        def put(*args: Any, **named: Any) -> None:
            nonlocal usual_s
            if moment.has_come():
                _die_in(chance.uniform(0, usual_s))
                real(*args, **named)
                die()
            began = time.perf_counter()
            real(*args, **named)
            usual_s = time.perf_counter() - began

        return put

    _wrap(Store, "put", make)


def _after_insert_before_mark(times: int, chance: random.Random) -> None:
    """Everything of the batch is stored, and nothing on the disk says so."""
    from clew_processor.spool.progress import Progress

    _before(Progress, "set", times)


def _after_insert_before_checkpoint(times: int, chance: random.Random) -> None:
    from clew_processor.spool.checkpoint import Checkpoints

    _before(Checkpoints, "save", times)


def _mid_checkpoint(times: int, chance: random.Random) -> None:
    from clew_processor.spool.files import DiskFiles

    moment = _Moment(times)

    def make(real: Callable[..., None]) -> Callable[..., None]:
        def replace(self: DiskFiles, name: str, parts: Sequence[bytes | memoryview]) -> None:
            if name.startswith("checkpoint-") and moment.has_come():
                data = b"".join(parts)
                real(self, f"{name}.new", [data[: chance.randint(0, len(data) - 1)]])
                die()
            real(self, name, parts)

        return replace

    _wrap(DiskFiles, "replace", make)


def _mid_garbage_collection(times: int, chance: random.Random) -> None:
    from clew_processor.spool.files import DiskFiles

    hook = chance.choice([_before, _after])
    hook(DiskFiles, "remove", times, lambda _self, name: name.endswith(".spool"))


def _during_merge(times: int, chance: random.Random) -> None:
    from clew_processor.write.store import Store

    def merge(self: Store) -> bool:
        _die_in(chance.uniform(0, 0.1))
        while True:
            for table in TABLES:
                self.client.command(f"OPTIMIZE TABLE {table} FINAL")

    _after_calling(Store, "put", times, merge, wanted=lambda table: table == "ledger_1m")


def _after_calling(
    owner: type, name: str, times: int, action: Callable[[Any], object], wanted: Callable[[str], bool]
) -> None:
    moment = _Moment(times)

    def make(real: Callable[..., None]) -> Callable[..., None]:
        def instead(self: Any, table: str, *args: Any, **named: Any) -> None:
            real(self, table, *args, **named)
            if wanted(table) and moment.has_come():
                action(self)

        return instead

    _wrap(owner, name, make)


def _die_in(seconds: float) -> None:
    def later() -> None:
        time.sleep(seconds)
        die()

    threading.Thread(target=later, daemon=True).start()


STAGES: dict[str, Callable[[int, random.Random], None]] = {
    "after receive": _after_receive,
    "after decode": _after_decode,
    "mid spool write": _mid_spool_write,
    "after fsync before ack": _after_fsync_before_ack,
    "mid batch": _mid_batch,
    "mid insert": _mid_insert,
    "after insert before mark": _after_insert_before_mark,
    "after insert before checkpoint": _after_insert_before_checkpoint,
    "mid checkpoint": _mid_checkpoint,
    "mid garbage collection": _mid_garbage_collection,
    "during merge": _during_merge,
}
"""Name -> arms it: arguments are how many times the moment passes before, and a source of chance."""


def _room(path: Path) -> None:
    """The spool's device has as many bytes as the file says, or room enough while there is no file."""
    from clew_processor.spool.files import DiskFiles

    places: list[Path] = []

    def remember(real: Callable[..., None]) -> Callable[..., None]:
        def init(self: DiskFiles, where: Path, **how: Any) -> None:
            places.append(where)
            real(self, where, **how)

        return init

    def left() -> int:
        try:
            room = int(path.read_text())
        except (FileNotFoundError, ValueError):
            return sys.maxsize
        return max(0, room - sum(file.stat().st_size for place in places for file in place.iterdir()))

    def bounded_append(real: Callable[..., None]) -> Callable[..., None]:
        def append(self: Any, parts: Any) -> None:
            whole = b"".join(map(bytes, parts))
            room = left()
            if room < len(whole):  # as a device does: what fits is written
                real(self, [whole[:room]])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(self, parts)

        return append

    def bounded_replace(real: Callable[..., None]) -> Callable[..., None]:
        def replace(self: DiskFiles, name: str, parts: Sequence[bytes | memoryview]) -> None:
            if left() < sum(map(len, parts)):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(self, name, parts)

        return replace

    _wrap(DiskFiles, "__init__", remember)
    _wrap_appending(bounded_append)
    _wrap(DiskFiles, "replace", bounded_replace)


def _impatient(seconds: float) -> None:
    """A store that is silent for so long has not answered: usually it is half a minute."""
    from clew_processor import app

    app.ANSWER_TIMEOUT_S = seconds


def _slow(seconds: float) -> None:
    """An insert takes so much longer, all of it inside the engine."""
    from clew_processor.write.store import Store

    naps = max(1, round(seconds))
    nap = f"SELECT sleepEachRow({seconds / naps}) FROM numbers({naps}) SETTINGS max_block_size = 1"

    def make(real: Callable[..., None]) -> Callable[..., None]:
        def put(self: Store, *args: Any, **named: Any) -> None:
            real(self, *args, **named)
            self.client.command(nap)

        return put

    _wrap(Store, "put", make)


def _mid_reprice(times: int) -> None:
    """Some tables say that costs are others, the rest does not."""
    from clew_processor.write.store import Store

    _before(Store, "put", times, lambda *_, token, **__: ":reprice:" in token)


def _main() -> None:
    here = str(Path(__file__).parent)
    sys.path[:] = [path for path in sys.path if path != here]  # its modules are not meant to be found by their names
    os.environ["TZ"] = "UTC"
    time.tzset()
    split = sys.argv.index("--")
    name, *arguments = sys.argv[1:split]
    if name == "room":
        _room(Path(arguments[0]))
    elif name == "impatient":
        _impatient(float(arguments[0]))
    elif name == "slow":
        _slow(float(arguments[0]))
    elif name == "mid reprice":
        _mid_reprice(int(arguments[0]))
    else:
        times, seed = map(int, arguments)
        STAGES[name](times, random.Random(seed))
    import typer

    from clew_processor.commands import up

    sys.argv[1:] = sys.argv[split + 1 :]
    typer.run(up)


if __name__ == "__main__":
    _main()
