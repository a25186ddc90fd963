"""A full disk: senders are told to try again, nothing acknowledged is lost, and it goes on once there is room.

`--long` also looks at how long that takes.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest
from google.rpc.status_pb2 import Status

from shared.failpoints import program
from shared.grpc_status import retry_seconds
from shared.processor import Processor, processor
from shared.workload import Workload, finish, sent
from shared.writable_clickhouse import WritableClickHouse, writable_clickhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urllib3 import BaseHTTPResponse

ROOM, STORE_ROOM = 6 * 1024**2, 64 * 1024**2
RESUMES_S = 5
SETTINGS = {"batch": {"max_wait_ms": 20}, "spool": {"segment_bytes": 512 * 1024, "checkpoint_s": 0.5}}

MOUNT = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'
OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh")
"""A command that runs another with a small file system of its own: it needs no rights where the system lets users have
namespaces."""


def can_mount() -> bool:
    try:
        return subprocess.run([*OWN_MOUNTS, "1m", "/tmp", "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


class Disk(NamedTuple):
    """How a processor comes to a small disk, and how that is given more room."""

    options: dict[str, Any]
    free: Callable[[Processor], object]
    fill: Callable[[Processor], object] = lambda _: None


def small_file_system(directory: Path) -> Disk:
    """A real one, in memory, a half of which something else takes up."""
    data = directory / "data"
    data.mkdir()
    ballast = 'head -c "$1" /dev/zero > "$2/ballast" && shift 2 && exec "$@"'
    launcher = (*OWN_MOUNTS, str(ROOM), str(data), "sh", "-c", ballast, "sh", str(ROOM // 2), str(data))
    return Disk(
        {"launcher": launcher, "data": data},
        lambda running: Path(f"/proc/{running.process.pid}/root{data}/ballast").unlink(),
    )


def small_for_all(directory: Path) -> Disk:
    """The same, with room for the embedded store too; the processor fills it together with something else."""
    data = directory / "data"
    data.mkdir()

    def at(running: Processor) -> Path:
        return Path(f"/proc/{running.process.pid}/root{data}")

    def fill(running: Processor) -> None:
        state = os.statvfs(at(running))
        (at(running) / "ballast").write_bytes(bytes(state.f_bavail * state.f_frsize - ROOM // 4))

    return Disk(
        {"launcher": (*OWN_MOUNTS, str(STORE_ROOM), str(data)), "data": data},
        lambda running: (at(running) / "ballast").unlink(),
        fill,
    )


def small_by_failpoint(directory: Path) -> Disk:
    """A spool whose every write beyond so many bytes fails as it does on a full disk."""
    room = directory / "room"
    room.write_text(str(ROOM // 2))
    return Disk({"program": program("room", room)}, lambda _: room.write_text(str(ROOM)))


DISKS = [small_by_failpoint, *([small_file_system] if can_mount() else [])]
SHARED_DISK = small_for_all if can_mount() else small_by_failpoint


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WritableClickHouse]:
    with writable_clickhouse(tmp_path_factory.mktemp("disk") / "clickhouse") as server:
        yield server


def fill(load: Workload, running: Processor) -> grpc.RpcError:
    """Sends until it is refused."""
    for _ in range(2_000):
        try:
            sent(load, running)
        except grpc.RpcError as refused:
            return refused
    raise AssertionError("it takes more than there is room for")


def fill_over_http(load: Workload, running: Processor) -> BaseHTTPResponse:
    """The same over HTTP: a checkpoint made meanwhile may have left a little room."""
    for _ in range(2_000):
        parcel = load.take()
        assert parcel is not None
        answer = running.post(parcel.body())
        if answer.status != 200:
            load.failed(parcel)
            return answer
        load.succeeded(parcel)
    raise AssertionError("it takes more than there is room for")


def take_again(load: Workload, running: Processor) -> float:
    """Sends until it is taken, as senders do; how many seconds that took."""
    began = time.monotonic()
    while time.monotonic() < began + 60:
        try:
            sent(load, running)
        except grpc.RpcError:
            time.sleep(0.1)
        else:
            break
    return time.monotonic() - began


@pytest.mark.parametrize("disk", DISKS)
def test_a_full_disk_refuses_loses_nothing_and_goes_on(
    disk: Callable[[Path], Disk], store: WritableClickHouse, tmp_path: Path, seed: int, long: bool
) -> None:
    small, load = disk(tmp_path), Workload(seed, filler=20_000)
    dsn = store.dsn(f"of_{disk.__name__}")
    with processor(tmp_path, "--store", dsn, settings=SETTINGS, **small.options) as running:
        store.trouble("INSERT INTO")
        over_grpc = fill(load, running)
        over_http = fill_over_http(load, running)
        for _ in range(20):  # each time it finds out anew that there is no room
            fill(load, running)
        small.free(running)
        took = take_again(load, running)
        store.heal()
        finish(load, running)
        with store.client(f"of_{disk.__name__}") as client:
            assert load.wrong(lambda sql: [tuple(row) for row in client.query(sql).result_rows]) == {}
        assert "Traceback" not in running.err
    assert over_grpc.code() is grpc.StatusCode.UNAVAILABLE
    assert "No space left on device" in over_grpc.details()
    assert len(retry_seconds(over_grpc)) == 2
    assert (over_http.status, "Retry-After" in over_http.headers) == (503, True)
    assert "No space left on device" in Status.FromString(over_http.data).message
    assert not long or took < RESUMES_S


def test_a_disk_that_spool_and_store_fill_together_loses_nothing_and_goes_on(
    tmp_path: Path, seed: int, long: bool
) -> None:
    small, load = SHARED_DISK(tmp_path), Workload(seed, filler=20_000)
    with processor(tmp_path, settings=SETTINGS, **small.options) as running:
        sent(load, running)
        running.settled()
        small.fill(running)
        assert fill(load, running).code() is grpc.StatusCode.UNAVAILABLE
        for _ in range(20):
            fill(load, running)
        small.free(running)
        took = take_again(load, running)
        finish(load, running)
        assert load.wrong(running.rows) == {}
        assert "Traceback" not in running.err
    assert not long or took < RESUMES_S


def test_a_full_spool_refuses_until_the_store_has_taken_some(
    store: WritableClickHouse, tmp_path: Path, seed: int, long: bool
) -> None:
    load = Workload(seed, filler=20_000)
    settings = SETTINGS | {"spool": SETTINGS["spool"] | {"max_bytes": ROOM // 2}}
    with processor(tmp_path, "--store", store.dsn("of_full_spool"), settings=settings) as running:
        store.trouble("INSERT INTO")
        refused = fill(load, running)
        assert ROOM // 2 - 500_000 < running.metric("clew_spool_bytes") < ROOM // 2 + 500_000
        store.heal()
        took = take_again(load, running)
        finish(load, running)
        with store.client("of_full_spool") as client:
            assert load.wrong(lambda sql: [tuple(row) for row in client.query(sql).result_rows]) == {}
    assert refused.code() is grpc.StatusCode.UNAVAILABLE
    assert f"the limit is {ROOM // 2}" in refused.details()
    assert len(retry_seconds(refused)) == 2
    assert not long or took < RESUMES_S
