"""List prices of the demo's three models, written out by hand, and the arithmetic on them.

The processor prices with `genai-prices`; this module knows nothing of it, so that the demo can compare the
two.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clew.demo.script import Tokens

_MILLION = Decimal(1_000_000)
_NINE_DECIMALS = Decimal("0.000000001")


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens; `cache_write` is None where a provider does not charge for writing."""

    input: Decimal
    cache_read: Decimal
    output: Decimal
    cache_write: Decimal | None = None


# The providers' public price lists (OpenAI and Anthropic, standard tier), 2026.
LIST_PRICES: dict[str, Price] = {
    "gpt-4o-mini": Price(input=Decimal("0.15"), cache_read=Decimal("0.075"), output=Decimal("0.60")),
    "o4-mini": Price(input=Decimal("1.10"), cache_read=Decimal("0.275"), output=Decimal("4.40")),
    "claude-sonnet-4-6": Price(
        input=Decimal("3.00"),
        cache_read=Decimal("0.30"),
        output=Decimal("15.00"),
        cache_write=Decimal("3.75"),
    ),
}


def call_cost(model: str, tokens: Tokens) -> Decimal:
    """What one model call costs, in US dollars, rounded once, half to even, to nine decimals.

    Cached input is priced by its own rates and the rest of the input at full price; reasoning is output like
    any other.

    Raises:
        KeyError: The model is not in `LIST_PRICES`.
    """
    price = LIST_PRICES[model]
    cache_write_price = price.input if price.cache_write is None else price.cache_write
    dollars = (
        (tokens.input - tokens.cache_read - tokens.cache_write) * price.input
        + tokens.cache_read * price.cache_read
        + tokens.cache_write * cache_write_price
        + tokens.output * price.output
    ) / _MILLION
    return dollars.quantize(_NINE_DECIMALS, rounding=ROUND_HALF_EVEN)
