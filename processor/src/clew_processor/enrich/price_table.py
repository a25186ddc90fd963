"""Price lists compiled into rates: what one token of each kind costs, per model, service tier, date and prompt size.

The prices are those of ``genai-prices``. Its `calc_price` walks the whole list and calculates in decimals,
some 50 us a call, so its answer is taken once per model for every date, time of day and prompt size at which
a price may change, and kept as numbers. The rules of choice (which model a name means, which price is in
force) stay the library's own. Prices of one's own (`price_file`) go before it; factors of service tiers it has
no price for come after it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from functools import cache
from importlib import resources
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NamedTuple

from clew_processor.enrich.price_file import PriceFileError, parsed
from clew_processor.prices import Prices, short_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from decimal import Decimal

    from genai_prices.types import ModelInfo, ModelPrice, PriceVariant, Provider, TieredPrices

    from clew_processor.enrich import price_file
    from clew_processor.enrich.price_file import Entry, Period, PriceFile

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

STANDARD_TIERS: Final = frozenset({"", "auto", "default", "standard", "standard_only", "on_demand", "on-demand"})
"""Words for the service tier whose prices are the standard ones. `auto` is what was asked for; what it became is only
told where a response is."""
_CONTEXTS: Final[dict[str, tuple[dict[str, str], ...]]] = {
    "batch": ({"processing": "batch"},),
    "fast": ({"speed": "fast"}, {"service_tier": "fast"}),
}
"""What genai-prices calls the service tiers that it does not call `service_tier`."""

# The longest name in genai-prices 0.2.3 has 61 characters; names beyond this are nobody's model.
MAX_NAME: Final = 256

_EPOCH: Final = date(1970, 1, 1)
_DAY_SECONDS: Final = 86_400
# A price per million tokens in dollars, times this, is pico-dollars (1e-12) per token; a price per thousand
# requests, times the other, pico-dollars per request.
_PICO_PER_MTOK: Final = 10**6
_PICO_PER_KCOUNT: Final = 10**9
_PICO_PER_DOLLAR: Final = 10**12


class Rates(NamedTuple):
    """Exact pico-dollars (1e-12) for one token of each kind, and for one request. No token is of two kinds."""

    input: Fraction
    cache_read: Fraction
    cache_write: Fraction
    cache_write_1h: Fraction
    input_audio: Fraction
    cache_read_audio: Fraction
    output: Fraction
    reasoning: Fraction
    output_audio: Fraction
    request: Fraction


_PARENTS: Final = {
    "cache_read": ("input",),
    "cache_write": ("input",),
    "cache_write_1h": ("cache_write", "input"),
    "input_audio": ("input",),
    "cache_read_audio": ("cache_read", "input_audio", "input"),
    "reasoning": ("output",),
    "output_audio": ("output",),
}
"""A kind without a price of its own is billed as the first of these that has one, as in genai-prices."""
_LISTED: Final = {
    "input": "input_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "input_audio": "input_audio_mtok",
    "cache_read_audio": "cache_audio_read_mtok",
    "output": "output_mtok",
    "reasoning": "output_reasoning_mtok",
    "output_audio": "output_audio_mtok",
    "request": "requests_kcount",
}
"""Our names of kinds -> genai-prices'."""


Kinds = dict[str, Fraction]
"""The kinds that have a price of their own, and the fee: some of the fields of `Rates`."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every rate one model may be billed at in one service tier.

    Attributes:
        days: Days since the epoch on which a new list price starts, ascending; before the first holds
            period 0.
        seconds: Seconds of the day (UTC) at which a time-of-day price starts or ends, ascending.
        prompts: Prompt sizes in tokens; a prompt *above* one is in the next tier, ascending.
        rates: One entry per (period, time slot, tier) in that order of significance, so
            ``(len(days) + 1) * (len(seconds) + 1) * (len(prompts) + 1)`` of them; None where the list gives
            no price for tokens.
        estimated: For each of them, whether the service tier's price is not known and another one stands in.
    """

    days: tuple[int, ...]
    seconds: tuple[int, ...]
    prompts: tuple[int, ...]
    rates: tuple[Rates | None, ...]
    estimated: tuple[bool, ...]


class PriceList:
    """The price data packaged with ``genai-prices``, or a newer one, and one's own prices. Nothing is ever fetched.

    Attributes:
        version: What the prices are from, as stored beside each computed cost.
    """

    def __init__(self, prices: Prices) -> None:
        """Reads the files' contents.

        Args:
            prices: what is not packaged.

        Raises:
            PriceFileError: one of the contents is not what it should be.
        """
        self._providers = _listed(prices.list_json)
        self._by_id = {provider.id: provider for provider in self._providers}
        self._own = parsed(prices.own)
        self._factors = _factors()
        tiers = short_hash(_factors_text().encode())
        data = f"file {short_hash(prices.list_json)}" if prices.data else version("genai-prices")
        own = f", own {short_hash(self._own.model_dump_json().encode())}" if self._own.models else ""
        self.version = f"genai-prices {data}, tiers {tiers}{own}"

    def schedule(self, provider: str, model: str, tier: str = "") -> Schedule | None:
        """Compile what `model` costs at `provider`.

        Args:
            provider: A canonical OpenTelemetry provider name, any name genai-prices knows, or empty. With an
                empty or unknown provider the model's name alone decides, if it names one provider only.
            model: The model's name as the client or the provider spells it.
            tier: The service tier as the client or the provider spells it; empty for the standard one.

        Returns:
            The rates, or None if the model or its price per token is unknown.
        """
        if not model or any(len(name) > MAX_NAME for name in (provider, model, tier)):
            return None
        schedule = self._known(provider, model).schedule(_canonical(tier))
        return schedule if any(schedule.rates) else None

    def has_tiers(self, provider: str, model: str) -> bool:
        """Whether some service tier of `model` is known to have prices of its own."""
        return self._known(provider, model).has_tiers

    def context_window(self, provider: str, model: str) -> int | None:
        """How many tokens a prompt of `model` may have, if that is known."""
        if not model or len(model) > MAX_NAME or len(provider) > MAX_NAME:
            return None
        found, listed = self._find(provider, model)
        own = self._own.entry(_names(provider, found), model, having="context_window")
        if own is not None:
            return own.context_window
        return listed.context_window if listed is not None else None

    def _known(self, provider: str, model: str) -> _Known:
        found, listed = self._find(provider, model)
        names = _names(provider, found)
        if found is not None and listed is not None and not any(listed is one for one in found.models):
            listed = replace(listed, price_variants=None)  # another provider's model: its service tiers are not ours
        return _Known(
            own=self._own.entry(names, model, having="prices"),
            own_tiers=self._own.entry(names, model, having="service_tiers"),
            listed=listed if listed is not None and listed.prices else None,
            factors=[entry for entry in self._factors.models if entry.names(names, model.lower())],
        )

    def _find(self, provider: str, model: str) -> tuple[Provider | None, ModelInfo | None]:
        if provider in PROVIDERS:
            known = PROVIDERS[provider]
            return self._at(self._by_id.get(known) if known else None, model)
        if (listed := self._named(provider)) is not None:
            return self._at(listed, model)
        return self._by_name(model)

    def _named(self, provider: str) -> Provider | None:
        from genai_prices.data_snapshot import find_provider_by_id

        return find_provider_by_id(self._providers, provider) if provider.strip() else None

    def _at(self, provider: Provider | None, model: str) -> tuple[Provider | None, ModelInfo | None]:
        return provider, provider.find_model(model, all_providers=self._providers) if provider else None

    def _by_name(self, model: str) -> tuple[Provider | None, ModelInfo | None]:
        # Routers write `provider/model`; the prefix then says whose price it is.
        prefix, slash, rest = model.partition("/")
        if slash and (provider := self._by_id.get(PROVIDERS.get(prefix.lower()) or prefix.lower())):
            return self._at(provider, rest)
        name = model.lower()
        claimed = [p for p in self._providers if p.model_match is not None and p.model_match.is_match(name)]
        found = [(p, listed) for p in claimed if (listed := self._at(p, model)[1]) is not None]
        return found[0] if len(found) == 1 else (None, None)


def _names(provider: str, found: Provider | None) -> frozenset[str]:
    """What a provider is called in files: as on the span, and as in the list."""
    return frozenset({provider.lower(), *([found.id] if found else [])})


def _listed(content: bytes) -> list[Provider]:
    if not content:
        # Half a second and some thirty thousand lines of data: only who prices pays for it.
        from genai_prices.data import providers

        return providers
    from genai_prices.types import _providers_from_raw

    try:
        raw = json.loads(content)
        if not isinstance(raw, list):
            raise TypeError(f"holds {type(raw).__name__}, expected a list of providers")
        return _providers_from_raw(raw)
    except Exception as error:  # whatever the library makes of it
        raise PriceFileError(f"not a price list of genai-prices: {' '.join(str(error).split())[:500]}") from error


@cache
def _factors_text() -> str:
    return resources.files(__package__).joinpath("service_tiers.yaml").read_text("utf-8")


@cache
def _factors() -> PriceFile:
    return parsed(_factors_text())


def _canonical(tier: str) -> str:
    word = tier.strip().lower()
    return "" if word in STANDARD_TIERS else word


@dataclass(frozen=True, slots=True)
class _Known:
    """All that is known of one model's prices.

    Attributes:
        own: prices of one's own.
        own_tiers: service tiers of one's own, of the list's prices.
        listed: what the list says.
        factors: what providers say of service tiers in general.
    """

    own: Entry | None
    own_tiers: Entry | None
    listed: ModelInfo | None
    factors: list[Entry]

    @property
    def has_tiers(self) -> bool:
        """Whether some service tier is known to have prices of its own."""
        own = self.own.prices if self.own else ()
        listed = self.listed is not None and bool(self.listed.price_variants)
        return listed or bool(self.own_tiers or self.factors) or any(period.service_tiers for period in own)

    def schedule(self, tier: str) -> Schedule:
        """Every rate, by the moments and prompt sizes at which they change."""
        starts, seconds = self._changes(tier)
        before_first = starts[0] - timedelta(days=1) if starts else _EPOCH
        moments = [
            datetime.combine(day, time(), tzinfo=UTC) + timedelta(seconds=second)
            for day in (before_first, *starts)
            for second in (0, *seconds)
        ]
        prompts = sorted({size for moment in moments for size in self._sizes(moment, tier)})
        cells = [self._rates(moment, size, tier) for moment in moments for size in (0, *(size + 1 for size in prompts))]
        return Schedule(
            days=tuple((day - _EPOCH).days for day in starts),
            seconds=tuple(seconds),
            prompts=tuple(prompts),
            rates=tuple(rates for rates, _ in cells),
            estimated=tuple(estimated for _, estimated in cells),
        )

    def _changes(self, tier: str) -> tuple[list[date], list[int]]:
        """Days on which a price may change, and seconds of the day."""
        from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

        listed = self.listed.prices if self.listed is not None else []
        constraints = [price.constraint for price in listed] if isinstance(listed, list) else []
        constraints += [variant.constraint for variant in self._variants(tier)]
        starts = {one.start_date for one in constraints if isinstance(one, StartDateConstraint)}
        starts |= {period.start for period in (self.own.prices if self.own else ()) if period.start}
        seconds = {
            _second_of_day(moment)
            for one in constraints
            if isinstance(one, TimeOfDateConstraint)
            for moment in (one.start_time, one.end_time)
        }
        return sorted(starts), sorted(seconds - {0})

    def _sizes(self, moment: datetime, tier: str) -> Iterator[int]:
        """Prompt sizes at which a price changes."""
        own = self._own_period(moment)
        if own is not None:
            yield from (above.prompt_tokens for above in own.above)
        elif self.listed is not None:
            for when in (moment, self._tier_start(tier) or moment):
                for context in (None, *_contexts(tier)):
                    yield from _tier_starts(vars(self.listed.get_prices(when, context)).values())

    def _rates(self, moment: datetime, prompt: int, tier: str) -> tuple[Rates | None, bool]:
        """The rates at a moment for a prompt of that size, and whether others stand in for them."""
        own = self._own_period(moment)
        standard = _own_kinds_at(own, prompt) if own is not None else self._listed_kinds(moment, prompt)
        if standard is None:
            return None, False
        if not tier:
            return _rates(standard), False
        said = own.service_tiers if own is not None else self.own_tiers.service_tiers if self.own_tiers else {}
        if tier in said:
            return _rates(_in_tier(standard, said[tier])), False
        general = next((entry.service_tiers[tier] for entry in self.factors if tier in entry.service_tiers), None)
        if own is None:
            if any(_is_in_force(variant, moment) for variant in self._variants(tier)):
                return _rates(self._listed_kinds(moment, prompt, tier) or {}), False
            if (start := self._tier_start(tier)) is not None:
                # It is listed from a later day on: it is taken to have stood in that proportion to the standard before.
                then, tiered = self._listed_kinds(start, prompt), self._listed_kinds(start, prompt, tier)
                return _in_proportion(_rates(standard), _rates(then or {}), _rates(tiered or {})), general is None
        return (_rates(standard), True) if general is None else (_rates(_in_tier(standard, general)), False)

    def _own_period(self, moment: datetime) -> Period | None:
        return self.own.period(moment.date()) if self.own else None

    def _listed_kinds(self, moment: datetime, prompt: int, tier: str = "") -> Kinds | None:
        if self.listed is None:
            return None
        in_force = [variant.when for variant in self._variants(tier) if _is_in_force(variant, moment)]
        return _listed_kinds(self.listed.get_prices(moment, in_force[0] if in_force else None), prompt)

    def _variants(self, tier: str) -> list[PriceVariant]:
        """What the list has of a service tier, at any time."""
        listed = (self.listed.price_variants if self.listed is not None else None) or []
        return [one for context in _contexts(tier) for one in listed if one.when.items() <= context.items()]

    def _tier_start(self, tier: str) -> datetime | None:
        """The first day for which the list has a price of a service tier."""
        from genai_prices.types import StartDateConstraint

        starts = [
            one.constraint.start_date for one in self._variants(tier) if isinstance(one.constraint, StartDateConstraint)
        ]
        return datetime.combine(min(starts), time(), tzinfo=UTC) if starts else None


def _contexts(tier: str) -> tuple[dict[str, str], ...]:
    """What genai-prices calls a service tier; the first that a model has counts."""
    return _CONTEXTS.get(tier, ({"service_tier": tier},)) if tier else ()


def _is_in_force(variant: PriceVariant, moment: datetime) -> bool:
    return variant.constraint is None or variant.constraint.active(moment)


def _second_of_day(moment: time) -> int:
    offset = moment.utcoffset() or timedelta()
    local = timedelta(hours=moment.hour, minutes=moment.minute, seconds=moment.second)
    return int((local - offset).total_seconds()) % _DAY_SECONDS


def _tier_starts(prices: Iterable[Decimal | TieredPrices | None]) -> set[int]:
    from genai_prices.types import TieredPrices

    return {tier.start for price in prices if isinstance(price, TieredPrices) for tier in price.tiers}


def _listed_kinds(price: ModelPrice, prompt: int) -> Kinds | None:
    if price.input_mtok is None and price.output_mtok is None:
        return None
    return {
        kind: _at_size(listed, prompt) * (_PICO_PER_KCOUNT if kind == "request" else _PICO_PER_MTOK)
        for kind, name in _LISTED.items()
        if (listed := getattr(price, name)) is not None
    }


def _at_size(price: Decimal | TieredPrices, prompt: int) -> Fraction:
    from genai_prices.types import TieredPrices

    if isinstance(price, TieredPrices):
        reached = [tier.price for tier in price.tiers if prompt > tier.start]
        price = reached[-1] if reached else price.base
    return Fraction(price)


def _own_kinds_at(period: Period, prompt: int) -> Kinds:
    found = _own_kinds(period)
    for above in sorted(period.above, key=lambda above: above.prompt_tokens):
        if prompt > above.prompt_tokens:
            found |= _own_kinds(above)
    return found


def _own_kinds(prices: price_file.Kinds) -> Kinds:
    return {
        kind: Fraction(price) * (_PICO_PER_DOLLAR if kind == "request" else _PICO_PER_MTOK)
        for kind, price in prices.given.items()
    }


def _in_tier(standard: Kinds, tier: price_file.Tier) -> Kinds:
    return {kind: rate * tier.factor_of(kind) for kind, rate in standard.items()} | _own_kinds(tier)


def _in_proportion(standard: Rates, then: Rates, tiered: Rates) -> Rates:
    return Rates(*(now * (low / full) if full else low for now, full, low in zip(standard, then, tiered, strict=True)))


def _rates(found: Kinds) -> Rates:
    nothing = Fraction(0)
    return Rates(
        **{
            kind: next((found[name] for name in (kind, *_PARENTS.get(kind, ())) if name in found), nothing)
            for kind in Rates._fields
        }
    )
