"""What stands for a text that does not leave the process: its length and a keyed hash of it.

The same text has the same mark in every process with the same key, so that whoever reads the record sees that a
question was asked twice or a tool was called with the same arguments, and not what they were. Without the key nobody
can find the text by trying likely ones.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Any

from clew import _guard

KEY_VARIABLE = "CLEW_CONTENT_KEY"
"""The key of all hashes, any text; the processor's setting of the same name may have the same value."""
_KEY_BYTES = 32
_HASH_BYTES = 16
_LONGEST_LITERAL = 100_000
_ODD_ESCAPE = re.compile(r"\\[^\\'\"abfnrtvxuUN0-7\n]")
"""What Python would warn of, on the standard error of a programme that has nothing to do with it."""


def mark(text: str) -> str:
    """`<HASHED:<length> bytes:<hash>>`: what stands for the text, of which nothing else is left. Nothing for nothing.

    The length is that of the text in UTF-8, by which the processor knows how much a model had to read.
    """
    if not text:
        return text
    data = text.encode("utf-8", "replace")
    return f"<HASHED:{len(data)} bytes:{digest(data)}>"


def digest(data: bytes) -> str:
    """32 hexadecimal digits: BLAKE2b under the key."""
    return hashlib.blake2b(data, digest_size=_HASH_BYTES, key=_key()).hexdigest()


def canonical(value: Any) -> str:
    """One spelling for equal values: JSON with sorted keys and no spaces; text that is no JSON stays as it is.

    Text that holds an object or an array is read first: whether a tool's arguments come as JSON or encoded in a
    string differs between libraries.
    """
    if isinstance(value, str):
        document = told(value)
        if isinstance(document, str):
            return document
        return value if document is None else _encoded(document)
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    return _encoded(value)


def parsed(text: str) -> Any:
    """The object or array that the text is in JSON, or as Python writes it; None for all other text."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if len(text) > _LONGEST_LITERAL or "'" not in text or _ODD_ESCAPE.search(text):
        return None
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


def told(text: str) -> Any:
    """The object, array or string that the text is in JSON; None for all other text."""
    if text[:1] != '"' or text[-1:] != '"':
        return parsed(text)
    try:
        return json.loads(text)
    except ValueError:
        return None


def key_file() -> Path:
    """Where the key is that is made once for each user of a machine: in the user's data directory."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "clew" / "content.key"


@lru_cache(maxsize=1)
def _key() -> bytes:
    given = os.environ.get(KEY_VARIABLE)
    secret = given.encode() if given else _kept_secret()
    return hashlib.blake2b(secret, digest_size=_KEY_BYTES, person=b"clew-sdk-content").digest()


def _kept_secret() -> bytes:
    try:
        path = key_file()
        if not path.exists():
            _make(path)
        secret = path.read_bytes()
        if len(secret) == _KEY_BYTES:
            return secret
        trouble = f"it holds {len(secret)} bytes, expected {_KEY_BYTES}"
    except (OSError, RuntimeError) as error:  # no home directory
        trouble = str(error)
    _guard.warn_once(
        KEY_VARIABLE,
        "The key of content hashes cannot be kept in a file (%s). Hashes of this process equal those of no other; set "
        "CLEW_CONTENT_KEY.",
        trouble,
    )
    return secrets.token_bytes(_KEY_BYTES)


def _make(path: Path) -> None:
    """Writes a new key; it appears whole or not at all, and of several processes at once one wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        os.link(unfinished, path)
    except FileExistsError:
        pass
    finally:
        unfinished.unlink(missing_ok=True)


def _encoded(value: Any) -> str:
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError):  # keys of several kinds
        return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    if hasattr(value, "items"):
        return dict(value)
    if hasattr(value, "__iter__"):
        return list(value)
    return str(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_plain)
