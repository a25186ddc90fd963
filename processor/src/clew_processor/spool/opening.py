"""Opens everything the spool consists of, and lets each part know what the others tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from clew_processor.spool.checkpoint import Checkpoints
from clew_processor.spool.log import RECENT_BYTES, Log
from clew_processor.spool.progress import Progress

if TYPE_CHECKING:
    from clew_processor.spool.files import Files


class Spool(NamedTuple):
    """What is on disk."""

    log: Log
    progress: Progress
    checkpoints: Checkpoints


def opened(files: Files, *, segment_bytes: int, sync: bool = True, recent_bytes: int = RECENT_BYTES) -> Spool:
    """The spool, whatever state its files are in.

    A position that the mark or a checkpoint names is the end of a batch, even if the log was cut short and does not
    reach it: what comes is written beyond. And before a checkpoint everything is stored, even if the mark is damaged.

    Args:
        files: the directory.
        segment_bytes: see `Log`.
        sync: see `Log`.
        recent_bytes: see `Log`.

    Raises:
        OSError: the directory cannot be read or written.
    """
    progress, checkpoints = Progress(files), Checkpoints(files)
    mark = progress.mark
    log = Log(
        files,
        segment_bytes=segment_bytes,
        beyond=max(mark.stored, checkpoints.newest),
        spans=max(mark.spans, checkpoints.newest_spans),
        sync=sync,
        recent_bytes=recent_bytes,
    )
    progress.settle(checkpoints.newest, checkpoints.newest_spans)
    return Spool(log, progress, checkpoints)
