"""What prices are in force, as written to the spool: from that batch on, in every replay.

The list packaged with `genai-prices` is named by its version only: when the package changed between a crash and the
replay, it cannot be brought back. A newer list and the own prices come as files; they are in here whole.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256

HASH_LETTERS = 8


@dataclass(frozen=True, slots=True)
class Prices:
    """The parts of a price table that are not packaged.

    Attributes:
        own: content of the file of own prices; empty without one.
        data: price list in `genai-prices`' own JSON form, compressed; empty for the packaged one.
        version: of the table they were part of, as stored beside costs; empty where nobody has made it yet.
    """

    own: str = ""
    data: bytes = b""
    version: str = ""

    @classmethod
    def of(cls, own: str, data: bytes) -> Prices:
        """From the contents of the two files; each may be empty."""
        return cls(own, zlib.compress(data, 6) if data else b"")

    @property
    def list_json(self) -> bytes:
        """The price list's content; empty for the packaged one."""
        return zlib.decompress(self.data) if self.data else b""

    def to_bytes(self) -> bytes:
        """As written to the spool."""
        return json.dumps({"own": self.own, "data": b64encode(self.data).decode(), "version": self.version}).encode()

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Prices:
        """As read from it.

        Raises:
            ValueError: another version wrote it, in another form.
        """
        try:
            said = json.loads(bytes(data))
            return cls(str(said["own"]), b64decode(said["data"], validate=True), str(said["version"]))
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"prices of another version: {error!r}") from error


def short_hash(content: bytes) -> str:
    """Tells contents apart, for people."""
    return sha256(content).hexdigest()[:HASH_LETTERS]
