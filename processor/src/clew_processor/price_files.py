"""The files of prices on disk: read at the start, and looked at from time to time."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clew_processor.enrich.price_file import MAX_FILE_BYTES, PriceFileError, parsed
from clew_processor.enrich.pricing import PriceBook
from clew_processor.errors import ConfigError
from clew_processor.prices import Prices

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clew_processor.config import PriceSettings

log = logging.getLogger(__name__)

MAX_DATA_BYTES: Final = 64 * 1024 * 1024
"""Of a price list; that of genai-prices has 2 MB."""

_Signature = tuple[int, int, int]
"""Modification, size and inode: another one, and the content is looked at."""


class PriceFiles:
    """Own prices and a newer price list, each perhaps not there. One thread at a time.

    Attributes:
        book: of the prices that were read last.
        prices: as they are written to the spool.
    """

    def __init__(self, settings: PriceSettings) -> None:
        """Reads both files.

        Args:
            settings: where they are.

        Raises:
            ConfigError: one of them cannot be read, or is not what it should be.
        """
        self._own = Path(settings.file) if settings.file else None
        self._data = Path(settings.data) if settings.data else None
        self._seen = self._signatures()
        self.book, self.prices = self._read()

    def look(self) -> None:
        """Reads them again if they have changed; what is wrong then is logged, and what was read before stays."""
        found = self._signatures()
        if found == self._seen:
            return
        self._seen = found
        try:
            book, prices = self._read()
        except ConfigError as error:
            log.warning("%s; the prices before stay in force", error)
            return
        if book.version != self.book.version:
            self.book, self.prices = book, prices

    def _signatures(self) -> tuple[_Signature | None, ...]:
        return tuple(_signature(path) if path is not None else None for path in (self._own, self._data))

    def _read(self) -> tuple[PriceBook, Prices]:
        own = _content("prices.file", self._own, MAX_FILE_BYTES)
        data = _content("prices.data", self._data, MAX_DATA_BYTES)
        try:
            text = own.decode()
            parsed(text)
        except UnicodeDecodeError as error:
            raise ConfigError(f"prices.file: {self._own} is not UTF-8: {error}") from error
        except PriceFileError as error:
            raise ConfigError(f"prices.file: {self._own}: {error}") from error
        prices = Prices.of(text, data)
        try:
            book = PriceBook(prices)
        except PriceFileError as error:
            raise ConfigError(f"prices.data: {self._data}: {error}") from error
        return book, replace(prices, version=book.version)


class PriceKeeper:
    """Lets the processor know of prices that have changed. For one event loop."""

    def __init__(self, files: PriceFiles, announce: Callable[[bytes], Awaitable[bool]]) -> None:
        """Knows what was read already.

        Args:
            files: where prices are.
            announce: writes them to the spool; False if that was not possible now.
        """
        self._files = files
        self._announce = announce
        self._book = files.book
        self._one_at_a_time = asyncio.Lock()

    async def look(self) -> PriceBook:
        """Looks at the files now, and announces what is new.

        Returns:
            The prices that were announced last.
        """
        async with self._one_at_a_time:
            await asyncio.to_thread(self._files.look)
            book = self._files.book
            if book is not self._book and await self._announce(self._files.prices.to_bytes()):
                self._book = book
            return self._book

    async def keep_looking(self, every_s: float) -> None:
        """Looks at them time and again; never ends."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.look()
            except Exception:  # it is not to end because of one try
                log.exception("prices cannot be looked at")


def _signature(path: Path) -> _Signature | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _content(key: str, path: Path | None, most: int) -> bytes:
    if path is None:
        return b""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ConfigError(f"{key}: cannot read {path}: {error.strerror}") from error
    if len(content) > most:
        raise ConfigError(f"{key}: {path} is larger than {most} bytes")
    return content
