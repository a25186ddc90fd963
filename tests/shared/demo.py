"""A real `clew demo` as a subprocess, started once for all tests that look at what it recorded."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler, build_opener

from clew.demo.processor import Ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = """
import signal
import sys
from pathlib import Path
from clew.demo.processor import Ports
from clew.demo.run import Demo

signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background inherits it ignored
once, as_json, *ports = (int(word) for word in sys.argv[2:])
demo = Demo(once=bool(once), as_json=bool(as_json), directory=Path(sys.argv[1]), default_ports=Ports(*ports))
sys.exit(demo.main())
"""


def free_three() -> Ports:
    """Three ports nobody listens on right now."""
    probes = [socket.socket() for _ in range(3)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = Ports(*(probe.getsockname()[1] for probe in probes))
    for probe in probes:
        probe.close()
    return ports


def start(directory: Path, ports: Ports, *, once: bool, as_json: bool) -> subprocess.Popen:
    numbers = [once, as_json, ports.grpc, ports.http, ports.query]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(directory), *(str(int(number)) for number in numbers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass
class Serving:
    """A demo that has shown its summary and serves on."""

    text: str
    query: int

    def rows(self, sql: str) -> list[dict]:
        url = f"http://127.0.0.1:{self.query}/?database=clew&default_format=JSON"
        with build_opener(ProxyHandler({})).open(url, data=sql.encode(), timeout=30) as response:
            return json.loads(response.read())["data"]

    def spans(self, agent: str) -> list[dict]:
        """The spans of an agent's run by start, a second copy of a call left out."""
        return self.rows(
            "SELECT SpanId, ParentSpanId, Op, ToolName, StepKind, GateName, GateOutcome, Status, UsageScope, "
            "InputTokens, OutputTokens, CacheReadTokens, CacheWriteTokens, ReasoningTokens, "
            "toString(CostUsd) AS CostUsd, CostSource FROM otel_traces_full "
            f"WHERE TraceId IN (SELECT trace_id FROM runs WHERE agent_name = '{agent}') "
            "AND UsageScope != 'duplicate' ORDER BY Timestamp"
        )


@contextmanager
def serving_demo(directory: Path) -> Iterator[Serving]:
    """A demo that serves on until the block ends, then stops as Ctrl-C stops it."""
    ports = free_three()
    demo = start(directory, ports, once=False, as_json=False)
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if line.startswith("Serving"):
            break
    else:
        raise AssertionError(f"the demo ended: {''.join(lines)}{demo.stderr.read()}")
    yield Serving("".join(lines), ports.query)
    demo.send_signal(signal.SIGINT)
    rest, errors = demo.communicate(timeout=60)
    assert (demo.returncode, rest, errors) == (0, "Stopping; the processor drains ...\n", "")
    assert ports.are_free()
