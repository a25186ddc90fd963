"""What a process has used, from the operating system's accounting (Linux: /proc)."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
# Positions after the command name in /proc/PID/stat; see proc_pid_stat(5).
_PARENT, _USER, _SYSTEM, _CHILD_USER, _CHILD_SYSTEM = 1, 11, 12, 13, 14
# How grpcio names its threads.
_GRPC_THREADS = ("event_engine", "grpc", "resolver", "timer", "default-exec")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its living descendants and the children it has waited for.

    Args:
        pid: The process.

    Returns:
        Seconds, to the kernel's reporting step (10 ms as a rule).

    Raises:
        ProcessLookupError: It is gone.
    """
    stats = {int(path.name): _stat(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    if not stats.get(pid):
        raise ProcessLookupError(f"process {pid} is gone: it ended or was killed while it was measured")
    family = {pid}
    while more := {p for p, stat in stats.items() if stat and int(stat[_PARENT]) in family} - family:
        family |= more
    used = (_USER, _SYSTEM, _CHILD_USER, _CHILD_SYSTEM)
    return sum(int(stats[member][field]) for member in family for field in used) / _TICK


def receiving_seconds(pid: int) -> float:
    """CPU seconds of a process's main thread and of gRPC's own threads: those that receive and answer."""
    seconds = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text()
            on_cpu_ns = int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(task.name) == pid or name.startswith(_GRPC_THREADS):
            seconds += on_cpu_ns / 1e9
    return seconds


def peak_mib(pid: int) -> float:
    """The largest resident set of a process so far, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def settled(pid: int, *, quiet_s: float = 0.5, limit_s: float = 60.0) -> float:
    """Waits until a process does next to nothing, so that work put off is counted too.

    Args:
        pid: The process.
        quiet_s: Below 5 % of a core for this long counts as doing nothing.
        limit_s: Gives up waiting after this long.

    Returns:
        Its CPU seconds at that moment.
    """
    give_up = time.monotonic() + limit_s
    last = cpu_seconds(pid)
    while time.monotonic() < give_up:
        time.sleep(quiet_s)
        now = cpu_seconds(pid)
        if now - last <= max(0.05 * quiet_s, 1.5 / _TICK):
            return now
        last = now
    return last


def _stat(folder: Path) -> list[str]:
    try:
        text = (folder / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text[text.rindex(")") + 2 :].split()
