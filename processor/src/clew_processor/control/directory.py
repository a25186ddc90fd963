"""The data directory: one processor at a time, and the key of its content hashes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from clew_processor.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY_BYTES = 16


class Hold:
    """A data directory that is ours until the end.

    Attributes:
        path: the directory.
    """

    def __init__(self, path: Path, lock: TextIO) -> None:
        self.path = path
        self._lock = lock

    def tell(self, about: str) -> None:
        """Says what another processor is told about this one, beside its process id."""
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()}{about and f' ({about})'}")
        self._lock.flush()


@contextmanager
def held(data: Path) -> Iterator[Hold]:
    """Makes the directory if need be and holds it until the end.

    Raises:
        StartError: it cannot be written, or another process holds it (the message says which).
    """
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (data / "clew.lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise StartError(f"data: cannot write in {data}: {error.strerror}; choose another with --data DIR") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "an unknown process"
            raise StartError(
                f"data: {data} is held by {holder}; stop that one, or choose another directory with --data DIR"
            ) from error
        except OSError as error:
            raise StartError(
                f"data: cannot lock {data}: {error.strerror}; choose a directory on a local disk with --data DIR"
            ) from error
        hold = Hold(data, lock)
        hold.tell("")
        yield hold


def content_key(data: Path, setting: str) -> bytes:
    """The 16-byte key of all content hashes.

    Args:
        data: where the key file is, made on first use and readable by its owner only. The caller holds the directory.
        setting: the configured key, any text; empty takes the file.

    Raises:
        StartError: the key file is damaged or unreadable; a new key would make every stored hash meaningless.
    """
    if setting:
        return _stretched(setting)
    path = data / "content.key"
    try:
        if not path.exists():
            _make_key(path)
        key = path.read_bytes()
    except OSError as error:
        raise StartError(f"data: cannot use {path}: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise StartError(
            f"data: {path} holds {len(key)} bytes, expected {KEY_BYTES}: restore it from a backup; "
            "a new key would no longer match the hashes already stored"
        )
    return key


def _make_key(path: Path) -> None:
    """Writes a new key; it appears under its name whole or not at all."""
    unfinished = path.with_suffix(".new")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _stretched(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES, person=b"clew-content-key").digest()


def scratch(data: Path) -> Path:
    """An empty folder for files that are of no use after the process: a crash leaves them, the next start deletes them.

    Raises:
        StartError: it cannot be emptied or made.
    """
    path = data / "tmp"
    try:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StartError(f"data: cannot make {path}: {error.strerror}") from error
    return path
