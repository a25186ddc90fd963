"""Price lists compiled into rates: what one token of each kind costs, per model, date and prompt size.

The prices are those of ``genai-prices``. Its `calc_price` walks the whole list and calculates in decimals,
some 50 us a call, so its answer is taken once per model for every date, time of day and prompt size at which
a price may change, and kept as numbers. The rules of choice (which model a name means, which price is in
force) stay the library's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

# `gen_ai.provider.name` as the OpenTelemetry conventions spell it -> provider id in genai-prices.
# None: a provider whose prices the data does not hold; another provider's price would be a wrong one.
PROVIDERS: Final[dict[str, str | None]] = {
    "anthropic": "anthropic",
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "groq": "groq",
    "ibm.watsonx.ai": None,
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "openai": "openai",
    "perplexity": "perplexity",
    "x_ai": "x-ai",
}

# The longest name in genai-prices 0.2.3 has 61 characters; names beyond this are nobody's model.
MAX_NAME: Final = 256

_EPOCH: Final = date(1970, 1, 1)
_DAY_SECONDS: Final = 86_400
# A price per million tokens in dollars, times this, is pico-dollars (1e-12) per token; a price per thousand
# requests, times the other, pico-dollars per request.
_PICO_PER_MTOK: Final = 10**6
_PICO_PER_KCOUNT: Final = 10**9


class Rates(NamedTuple):
    """Exact pico-dollars (1e-12) for one token of each kind, and for one request."""

    input: Fraction
    cache_read: Fraction
    cache_write: Fraction
    output: Fraction
    reasoning: Fraction
    request: Fraction


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every rate one model may be billed at.

    Attributes:
        days: Days since the epoch on which a new list price starts, ascending; before the first holds
            period 0.
        seconds: Seconds of the day (UTC) at which a time-of-day price starts or ends, ascending.
        prompts: Prompt sizes in tokens; a prompt *above* one is in the next tier, ascending.
        rates: One entry per (period, time slot, tier) in that order of significance, so
            ``(len(days) + 1) * (len(seconds) + 1) * (len(prompts) + 1)`` of them; None where the list gives
            no price for tokens.
    """

    days: tuple[int, ...]
    seconds: tuple[int, ...]
    prompts: tuple[int, ...]
    rates: tuple[Rates | None, ...]


class PriceList:
    """The price data packaged with ``genai-prices``; nothing is ever fetched."""

    def __init__(self) -> None:
        # Half a second and some thirty thousand lines of data: only who prices pays for it.
        from genai_prices.data import providers

        self._providers = providers
        self._by_id = {provider.id: provider for provider in providers}

    def schedule(self, provider: str, model: str) -> Schedule | None:
        """Compile what `model` costs at `provider`.

        Args:
            provider: A canonical OpenTelemetry provider name, any name genai-prices knows, or empty. With an
                empty or unknown provider the model's name alone decides, if it names one provider only.
            model: The model's name as the client or the provider spells it.

        Returns:
            The rates, or None if the model or its price per token is unknown.
        """
        if not model or len(model) > MAX_NAME or len(provider) > MAX_NAME:
            return None
        found = self._find(provider, model)
        if found is None:
            return None
        schedule = _compile(found)
        return schedule if any(schedule.rates) else None

    def _find(self, provider: str, model: str) -> ModelInfo | None:
        if provider in PROVIDERS:
            known = PROVIDERS[provider]
            return self._at(self._by_id.get(known), model) if known else None
        if (listed := self._named(provider)) is not None:
            return self._at(listed, model)
        return self._by_name(model)

    def _named(self, provider: str) -> Provider | None:
        from genai_prices.data_snapshot import find_provider_by_id

        return find_provider_by_id(self._providers, provider) if provider.strip() else None

    def _at(self, provider: Provider | None, model: str) -> ModelInfo | None:
        return provider.find_model(model, all_providers=self._providers) if provider else None

    def _by_name(self, model: str) -> ModelInfo | None:
        # Routers write `provider/model`; the prefix then says whose price it is.
        prefix, slash, rest = model.partition("/")
        if slash and (provider := self._by_id.get(PROVIDERS.get(prefix.lower()) or prefix.lower())):
            return self._at(provider, rest)
        name = model.lower()
        claimed = [p for p in self._providers if p.model_match is not None and p.model_match.is_match(name)]
        found = [listed for p in claimed if (listed := self._at(p, model)) is not None]
        return found[0] if len(found) == 1 else None


def _compile(model: ModelInfo) -> Schedule:
    from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

    conditions = [c.constraint for c in model.prices] if isinstance(model.prices, list) else []
    starts = sorted({c.start_date for c in conditions if isinstance(c, StartDateConstraint)})
    seconds = sorted(
        {
            second
            for c in conditions
            if isinstance(c, TimeOfDateConstraint)
            for second in (_second_of_day(c.start_time), _second_of_day(c.end_time))
        }
        - {0}
    )
    before_first = starts[0] - timedelta(days=1) if starts else _EPOCH
    moments = [
        datetime.combine(day, time(), tzinfo=UTC) + timedelta(seconds=second)
        for day in (before_first, *starts)
        for second in (0, *seconds)
    ]
    prices = [model.get_prices(moment) for moment in moments] if model.prices else []
    prompts = sorted({start for price in prices for start in _tier_starts(vars(price).values())})
    return Schedule(
        days=tuple((day - _EPOCH).days for day in starts),
        seconds=tuple(seconds),
        prompts=tuple(prompts),
        rates=tuple(_rates(price, size) for price in prices for size in (0, *(p + 1 for p in prompts))),
    )


def _second_of_day(moment: time) -> int:
    offset = moment.utcoffset() or timedelta()
    local = timedelta(hours=moment.hour, minutes=moment.minute, seconds=moment.second)
    return int((local - offset).total_seconds()) % _DAY_SECONDS


def _tier_starts(prices: Iterable[Decimal | TieredPrices | None]) -> set[int]:
    from genai_prices.types import TieredPrices

    return {tier.start for price in prices if isinstance(price, TieredPrices) for tier in price.tiers}


def _rates(price: ModelPrice, prompt: int) -> Rates | None:
    if price.input_mtok is None and price.output_mtok is None:
        return None
    # As in genai-prices, a kind without a price of its own is billed as what it is a part of.
    input_rate = _pico(price.input_mtok, prompt)
    output_rate = _pico(price.output_mtok, prompt)
    return Rates(
        input=input_rate,
        cache_read=_pico(price.cache_read_mtok, prompt, input_rate),
        cache_write=_pico(price.cache_write_mtok, prompt, input_rate),
        output=output_rate,
        reasoning=_pico(price.output_reasoning_mtok, prompt, output_rate),
        request=_pico(price.requests_kcount, prompt, per=_PICO_PER_KCOUNT),
    )


def _pico(
    price: Decimal | TieredPrices | None,
    prompt: int,
    otherwise: Fraction = Fraction(0),
    per: int = _PICO_PER_MTOK,
) -> Fraction:
    from genai_prices.types import TieredPrices

    if price is None:
        return otherwise
    if isinstance(price, TieredPrices):
        reached = [tier.price for tier in price.tiers if prompt > tier.start]
        price = reached[-1] if reached else price.base
    return Fraction(price) * per
