"""Which libraries hand a run on, and how: a table. Each is changed when the programme imports it, and not before."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from clew import _guard
from clew._instrument.import_hook import ImportWatch
from clew._propagate import http, mcp, patches, processes, threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOOKS: tuple[tuple[str, Callable[[], None]], ...] = (
    ("threading", threads.hook_threads),
    ("concurrent.futures.thread", threads.hook_pools),
    ("concurrent.futures.process", processes.hook_process_pools),
    ("multiprocessing.process", processes.hook_multiprocessing),
    ("multiprocessing.pool", processes.hook_pools),
    ("subprocess", processes.hook_subprocess),
    ("httpx", http.hook_httpx),
    ("httpx2", http.hook_httpx2),
    ("requests", http.hook_requests),
    ("mcp", mcp.hook_mcp),
)
_watch: ImportWatch | None = None


def install() -> None:
    """Has all of them hand runs on from now on; once per process."""
    global _watch  # noqa: PLW0603  # one process, one set of hooks
    if _watch is not None:
        return
    _watch = ImportWatch()
    for module, hook in _HOOKS:
        _watch.when_imported((module,), partial(_hook, _watch, module, hook))


@contextmanager
def installed() -> Iterator[None]:
    """Has all of them hand runs on for a while; where they do anyway, changes nothing."""
    global _watch  # noqa: PLW0603
    if _watch is not None:
        yield
        return
    install()
    try:
        yield
    finally:
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not _watch]
        _watch = None
        patches.undo_all()


def _hook(watch: ImportWatch, module: str, hook: Callable[[], None]) -> None:
    if watch is not _watch:  # it was for a while, and that is over
        return
    try:
        hook()
    except Exception as error:
        _guard.failed(f"having {module} hand runs on", error)
