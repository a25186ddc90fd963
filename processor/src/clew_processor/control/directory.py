"""The data directory: one processor at a time, and the key of its content hashes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clew_processor.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY_BYTES = 16


@contextmanager
def held(data: Path, *, about: str) -> Iterator[Path]:
    """Makes the directory if need be and holds it until the end.

    Args:
        data: the directory.
        about: what another processor is told about this one.

    Raises:
        StartError: it cannot be written, or another process holds it (the message says which).
    """
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (data / "clew.lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise StartError(f"data: cannot write in {data}: {error.strerror}; choose another with --data DIR") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "an unknown process"
            raise StartError(
                f"data: {data} is held by {holder}; stop that one, or choose another directory with --data DIR"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} ({about})")
        file.flush()
        yield data


def content_key(data: Path, setting: str) -> bytes:
    """The 16-byte key of all content hashes.

    Args:
        data: where the key file is, made on first use and readable by its owner only.
        setting: the configured key, any text; empty takes the file.

    Raises:
        StartError: the key file is damaged; a new key would make every stored hash meaningless.
    """
    if setting:
        return _stretched(setting)
    path = data / "content.key"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise StartError(
            f"data: {path} holds {len(key)} bytes, expected {KEY_BYTES}: restore it from a backup; "
            "a new key would no longer match the hashes already stored"
        )
    return key


def _stretched(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES, person=b"clew-content-key").digest()
