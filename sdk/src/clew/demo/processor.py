"""The processor as the demo uses it: `clew up` in a process of its own, on ports that are free."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler, build_opener

from clew.demo.environment import clean_environment
from clew.demo.errors import DemoError

if TYPE_CHECKING:
    from pathlib import Path

    from clew.demo.place import DemoPlace

_HOST = "127.0.0.1"
# Made for local addresses: a proxy set in the environment does not know them.
LOCAL = build_opener(ProxyHandler({}))


@dataclass(frozen=True)
class Ports:
    """The three ports of a processor, with the defaults every clew processor has."""

    grpc: int = 4317
    http: int = 4318
    query: int = 8123

    def shifted(self, by: int) -> Ports:
        """The same three, each higher by a number."""
        return Ports(self.grpc + by, self.http + by, self.query + by)

    def are_free(self) -> bool:
        """Whether nothing listens on any of them right now."""
        return all(_is_free(port) for port in (self.grpc, self.http, self.query))


def free_ports(defaults: Ports) -> Ports:
    """The default ports if all three are free, else the next such three, ten higher, twenty higher and so on.

    Raises:
        DemoError: None of a hundred such sets is free.
    """
    for shift in range(0, 1000, 10):
        ports = defaults.shifted(shift)
        if ports.are_free():
            return ports
    raise DemoError(f"no three ports like {defaults} are free up to a thousand higher; stop what listens there")


class Processor:
    """A running `clew up`.

    Args:
        place: Its data goes to `place.data`, what it prints to `place.processor_log`.
        ports: Where it listens, on the loopback interface.
    """

    def __init__(self, place: DemoPlace, ports: Ports) -> None:
        self.ports = ports
        self._log = place.processor_log
        addresses = {"--grpc": ports.grpc, "--http": ports.http, "--query": ports.query}
        command = [sys.executable, "-m", "clew.cli", "up", "--data", str(place.data.resolve())]
        for option, port in addresses.items():
            command += [option, f"{_HOST}:{port}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
                # A clew.yaml of the user's may name a real store: the demo must not find it.
                cwd=place.directory,
                # Ctrl-C is for the demo, which then lets the processor drain.
                start_new_session=True,
                pass_fds=(place.lock,),
            )
        place.held_by(self._process.pid)

    @property
    def otlp_endpoint(self) -> str:
        """What to export as `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return f"http://{_HOST}:{self.ports.grpc}"

    @property
    def query_address(self) -> str:
        """`HOST:PORT` of the query endpoint."""
        return f"{_HOST}:{self.ports.query}"

    def wait_until_ready(self, seconds: float = 60.0) -> None:
        """Returns when the processor says that it is ready.

        Raises:
            DemoError: It ended, or did not get ready in time.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise DemoError(
                    f"the processor ended with exit code {self._process.returncode} while starting.\n{self._tail()}"
                )
            if _answers(f"http://{_HOST}:{self.ports.http}/readyz"):
                return
            time.sleep(0.05)
        raise DemoError(f"the processor was not ready within {seconds:.0f} s.\n{self._tail()}")

    def wait(self) -> int:
        """Returns the processor's exit code when it ends by itself."""
        return self._process.wait()

    def stop(self, seconds: float = 30.0) -> None:
        """Lets the processor drain and end.

        Raises:
            DemoError: It did not end in time, and was killed.
        """
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise DemoError(
                f"the processor did not drain within {seconds:.0f} s and was killed.\n{self._tail()}"
            ) from None
        except KeyboardInterrupt:  # somebody does not want to wait for it
            self._process.kill()
            raise

    def _tail(self) -> str:
        return tail(self._log)


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, introduced by its name, for error messages."""
    text = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([f"The end of {log}:", *(f"  {line}" for line in text[-lines:])])


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Without this, a port is "taken" for a minute after its last connection closed.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _answers(url: str) -> bool:
    try:
        with LOCAL.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, HTTPException):
        return False
