"""Starting, watching and stopping the programs a benchmark is made of."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent
_START_S = 60.0
_STOP_S = 60.0
_POLL_S = 0.1


class Helper:
    """A script of this folder that takes orders and answers in lines of JSON."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_HERE / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._name = script
        self.first = self._read()

    def ask(self, **order: Any) -> dict[str, Any]:
        """Sends an order and waits for the answer."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """Ends it by closing its input."""
        assert self._process.stdin
        self._process.stdin.close()
        _end(self._process)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with {self._process.wait()}; its message is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def helper(script: str, *arguments: str) -> Iterator[Helper]:
    """A helper that ends with the block."""
    running = Helper(script, *arguments)
    try:
        yield running
    finally:
        running.close()


class Processor:
    """`clew up`, as a user starts it, with its log in a file of the data directory."""

    def __init__(self, data: Path, store: str | None, durability: str) -> None:
        self.grpc, self._http, self._query = (f"127.0.0.1:{port}" for port in _free_ports(3))
        addresses = ["--grpc", self.grpc, "--http", self._http, "--query", self._query]
        self._log = data / "processor.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "clew.cli", "up", "--data", str(data / "store"), *addresses),
                    *(("--store", store) if store else ()),
                ],
                stdout=log,
                stderr=log,
                cwd=data,
                env=os.environ | {"CLEW_SPOOL__DURABILITY": durability},
            )
        self.pid = self._process.pid
        self._wait_until_ready()

    def stage_seconds(self) -> dict[str, float]:
        """CPU seconds of each stage since the start, as the processor reports them."""
        found = {}
        for line in self._get(f"http://{self._http}/metrics").splitlines():
            if line.startswith("clew_stage_seconds_total{"):
                labels, _, value = line.rpartition(" ")
                found[labels.split('stage="')[1].split('"')[0]] = float(value)
        return found

    def stored(self, database: str = "clew") -> int:
        """Rows of otel_traces by the query endpoint."""
        sql = f"SELECT%20count()%20FROM%20{database}.otel_traces"
        return int(self._get(f"http://{self._query}/?query={sql}"))

    def stop(self) -> None:
        """SIGTERM, and waits for it to drain."""
        self._process.terminate()
        _end(self._process)

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + _START_S
        while time.monotonic() < give_up and self._process.poll() is None:
            try:
                self._get(f"http://{self._http}/readyz")
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(_POLL_S)
        ended = self._process.poll()
        _end(self._process, kill=True)
        trouble = f"was not ready within {_START_S:.0f} s" if ended is None else f"ended with {ended}"
        raise RuntimeError(f"the processor {trouble}; its log:\n{self._log.read_text()}")

    def _get(self, url: str) -> str:
        with urllib.request.urlopen(url, timeout=30) as answer:
            text: str = answer.read().decode()
            return text


@contextmanager
def processor(data: Path, store: str | None, durability: str = "fsync") -> Iterator[Processor]:
    """A processor that drains and stops with the block.

    Args:
        data: An empty directory for all it writes.
        store: DSN of its store; None for the embedded one in the data directory.
        durability: when it acknowledges.

    Yields:
        It, ready.

    Raises:
        RuntimeError: It did not get ready; its log is in the message.
    """
    running = Processor(data, store, durability)
    try:
        yield running
    finally:
        running.stop()


def sink_counts(port: int) -> dict[str, dict[str, int]]:
    """Inserts, rows and bytes by table that the sink has discarded."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/count", timeout=10) as answer:
        counts: dict[str, dict[str, int]] = json.load(answer)
        return counts


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports


def _end(process: subprocess.Popen[Any], *, kill: bool = False) -> None:
    if kill:
        process.kill()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
