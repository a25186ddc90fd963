"""What a price book says of one call."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from clew_processor.enrich.pricing import PriceBook

_FINER = {
    "reasoning": "reasoning",
    "write_1h": "cache_write_1h",
    "input_audio": "input_audio",
    "read_audio": "cache_read_audio",
    "output_audio": "output_audio",
}


def price(
    book: PriceBook,
    provider: str,
    model: str,
    *,
    prompt: int = 0,
    output: int = 0,
    read: int = 0,
    write: int = 0,
    at: str = "2026-11-01T12:00:00",
    tier: str | None = None,
    with_estimate: bool = False,
    **finer: int | None,
) -> Any:
    """Nano-dollars of one call, or None if it is unpriced; and whether another tier's price stands in, if asked."""
    moment = dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

    def column(value: int, dtype: type = np.int64) -> Any:
        return np.array([value], dtype)

    cost, priced, estimated = book.cost(
        provider=[provider],
        model=[model],
        tier=None if tier is None else [tier],
        pair=column(0, np.int32),
        day=column(moment.days, np.int32),
        second=column(moment.seconds, np.int32),
        input_tokens=column(prompt),
        output_tokens=column(output),
        cache_read=column(read),
        cache_write=column(write),
        **{_FINER[name]: None if count is None else column(count) for name, count in finer.items()},
    )
    nano = int(cost[0]) if priced[0] else None
    return (nano, bool(estimated[0])) if with_estimate else nano
