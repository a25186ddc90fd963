"""The end of the process: open spans are ended and everything is sent, at a normal exit and on SIGTERM."""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from clew import _guard
from clew._export.queue import LONGEST_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from clew._export.queue import ExportQueue


def at_end_of_process(queue: ExportQueue) -> None:
    """Registers both ways out. The process still ends as it would have, and at most a few seconds later.

    A handler of SIGTERM that is there already is called after sending; an ignored SIGTERM stays ignored. Without one
    the process still dies by the signal. Outside of the main thread, where Python allows no handlers, SIGTERM is left
    alone.
    """
    atexit.register(_exit, queue)
    queue.when_started = partial(_at_end_of_child, queue)
    if threading.current_thread() is threading.main_thread():
        _catch_sigterm(queue)


def _exit(queue: ExportQueue) -> None:
    try:
        queue.end_open_spans()
        queue.close()
    except Exception as error:
        _guard.failed("sending the last spans", error)


def _at_end_of_child(queue: ExportQueue) -> None:
    """Registers the way out of a child of `multiprocessing`, which calls its own finalisers and nothing of `atexit`.

    To be called with the child's first span: it forgets what was registered before it was a child.
    """
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        util.Finalize(None, _exit, args=(queue,), exitpriority=-100)  # after the programme's own


def _catch_sigterm(queue: ExportQueue) -> None:
    previous = signal.getsignal(signal.SIGTERM)
    if previous is signal.SIG_IGN or previous is None:  # None: installed by C code, which could not be called
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        if callable(previous):
            _within_deadline(queue.settle)
            previous(number, frame)
            return
        _within_deadline(lambda: _send_everything(queue))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, terminate)


def _send_everything(queue: ExportQueue) -> None:
    queue.end_open_spans()
    queue.settle()


def _within_deadline(work: Callable[[], object]) -> None:
    """Does the work in another thread and waits for it: the code this signal interrupted may hold a lock it needs.

    A bare thread, because starting a `threading.Thread` takes locks of its own.
    """
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        try:
            work()
        except Exception as error:
            _guard.failed("sending the last spans", error)
        finally:
            done.release()

    try:
        _thread.start_new_thread(run, ())
    except RuntimeError:  # no thread to be had: the signal matters more
        return
    done.acquire(timeout=LONGEST_S)
