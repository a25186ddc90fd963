"""Which ranges of rows the store refused, on the disk before their pieces are tried.

A range that was refused may be taken the next time: a constraint is dropped, a column is widened. If some of its pieces
are stored by then, under tokens of their own, it would double them. So a replay asks here first.
"""

from __future__ import annotations

import json
import logging
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from clew_processor.spool.files import Files

log = logging.getLogger(__name__)

NAME = "refused.json"
KEPT_BYTES = 1 << 20
"""Of refusals that are remembered, the newest batches' first, besides those of the batch at hand. A crash of the
process brings back one batch, that of the machine those since the mark of what is stored was last synced."""


class Refusal(NamedTuple):
    """Rows [lo, hi) of a block, and what the store said.

    Attributes:
        number: how many refusals there were before it in its block.
    """

    lo: int
    hi: int
    number: int
    code: int
    reason: str


class Refusals:
    """Remembers the refusals of the last batches that had any."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._batches = self._load()

    def of(self, batch_id: str, block: str) -> dict[tuple[int, int], Refusal]:
        """Those of one block, by range."""
        listed = self._batches.get(batch_id, {}).get(block, [])
        return {(lo, hi): Refusal(lo, hi, number, code, reason) for number, (lo, hi, code, reason) in enumerate(listed)}

    def add(self, batch_id: str, block: str, lo: int, hi: int, *, code: int, reason: str) -> Refusal:
        """Remembers one more, for good.

        Raises:
            OSError: it could not be written, and is not remembered.
        """
        blocks = dict(self._batches.get(batch_id, {}))
        listed = blocks[block] = [*blocks.get(block, []), [lo, hi, code, reason]]
        others = {known: known_blocks for known, known_blocks in self._batches.items() if known != batch_id}
        batches = {batch_id: blocks} | others  # newest first
        size = -len(json.dumps(blocks))
        for known in list(batches):
            size += len(json.dumps(batches[known]))
            if size > KEPT_BYTES:
                del batches[known]
        body = json.dumps(batches).encode()
        self._files.replace(NAME, [b"%08x\n" % zlib.crc32(body), body])
        self._batches = batches
        return Refusal(lo, hi, len(listed) - 1, code, reason)

    def _load(self) -> dict[str, dict[str, list[Any]]]:
        try:
            checksum, _, body = self._files.read(NAME).partition(b"\n")
        except FileNotFoundError:
            return {}
        try:
            if int(checksum, 16) == zlib.crc32(body):
                batches: dict[str, dict[str, list[Any]]] = json.loads(body)
                return batches
        except ValueError:
            pass
        log.error("%s is damaged and is not used: rows of a batch in which some were refused may be stored twice", NAME)
        return {}
