"""What decides what a batch becomes, besides the batch: written to the spool, in force from its position on.

So a replay after a crash goes by the settings that were in force when the records came, whatever they are now. The code
cannot be brought back like that, and with it the price list that is packaged with it: when they changed between the
crash and the replay, the batch that was being stored is finished by the new ones. Prices have a record of their own
(`prices.py`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """See `docs/settings.md` for the settings among them.

    Attributes:
        version: of clew-processor.
    """

    version: str
    probability: float
    settle_s: int
    span_bytes: int
    past_days: int
    future_days: int
    content_refresh_s: int
    resend_horizon_s: int

    def to_bytes(self) -> bytes:
        """As written to the spool."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Rules:
        """As read from it.

        Raises:
            ValueError: another version wrote it, with other settings.
        """
        try:
            return cls(**json.loads(bytes(data)))
        except TypeError as error:
            raise ValueError(f"rules of another version: {error}") from error
