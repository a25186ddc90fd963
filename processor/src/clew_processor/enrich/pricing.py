"""What calls cost: token counts times the rates of `price_table`, a whole batch at a time, in exact integers.

Rates are looked up once per distinct (provider, model, service tier) and remembered; per row there is only arithmetic.
Rates are whole pico-dollars (1e-12) per token for all but a handful of models, so a batch is a few integer
multiplications. Rows whose rate is not whole, or whose counts could overflow, are calculated one by one in
fractions.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from clew_processor.enrich.price_table import MAX_NAME, PriceList, Rates, Schedule
from clew_processor.prices import Prices

if TYPE_CHECKING:
    from collections.abc import Sequence

Int64s = NDArray[np.int64]
T = TypeVar("T", bound=np.generic)

# The largest amount `CostUsd Decimal(18, 9)` holds, in nano-dollars; only absurd token counts reach it.
MAX_COST: Final = 10**18 - 1
# Counts are clipped here so that sums of three stay within int64.
_MAX_COUNT: Final = 2**60
_PICO_PER_NANO: Final = 1000
_CACHED_MODELS: Final = 4096
_KINDS: Final = len(Rates._fields)


class Costs(NamedTuple):
    """What calls cost, one element a row.

    Attributes:
        nano: nano-dollars (1e-9), rounded once, half to even; 0 where unpriced.
        priced: False where the list does not know the model, or no price per token for it at that date.
        estimated: priced, but in a service tier whose price is not known: another price stands in for it.
    """

    nano: Int64s
    priced: NDArray[np.bool_]
    estimated: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A schedule as arrays (kinds, cells): `whole` pico-dollars; `broken` marks rates that are not whole."""

    schedule: Schedule
    whole: Int64s
    broken: NDArray[np.bool_]
    priced: NDArray[np.bool_]
    estimated: NDArray[np.bool_]


_UNPRICED: Final = _Entry(
    Schedule(days=(), seconds=(), prompts=(), rates=(None,), estimated=(False,)),
    np.zeros((_KINDS, 1), np.int64),
    np.zeros((_KINDS, 1), np.bool_),
    np.zeros(1, np.bool_),
    np.zeros(1, np.bool_),
)


class PriceBook:
    """Prices token counts. Reads no network.

    Attributes:
        version: The prices' name and version, as stored beside each computed cost.
    """

    def __init__(self, prices: Prices | None = None) -> None:
        """Reads the price lists.

        Args:
            prices: what is not packaged; None for the packaged list alone.

        Raises:
            PriceFileError: one of them is not what it should be.
        """
        self._prices = PriceList(prices or Prices())
        self.version = self._prices.version
        # Unknown models are remembered too: they are the ones whose search is longest.
        self._entry = lru_cache(maxsize=_CACHED_MODELS)(self._compile)
        self._window = lru_cache(maxsize=_CACHED_MODELS)(self._prices.context_window)

    def context_window(self, provider: str, model: str) -> int | None:
        """How many tokens a prompt of `model` may have; None where that is not known."""
        if len(model) > MAX_NAME or len(provider) > MAX_NAME:
            return None
        return self._window(provider, model)

    def is_priced(self, provider: str, model: str, day: int) -> bool:
        """Whether a call of `model` has a price on that day (in days since the epoch, UTC)."""
        entry = self._entry_of(provider, model, "")
        cells = len(entry.priced) // (len(entry.schedule.days) + 1)
        return bool(entry.priced[_period(entry.schedule.days, day) * cells])

    def plain_rates(self, provider: str, model: str, day: int) -> Rates | None:
        """The rates of a model that has one price for each token, whatever the call was: what sums of calls cost too.

        Args:
            provider: see `cost`.
            model: see `cost`.
            day: the calls ended on it, UTC, in days since the epoch; they started on it or the day before.

        Returns:
            None where service tier, prompt size, hour or the finer kinds of tokens change the price, there is a fee a
            request, or the rates are others on the day before.
        """
        schedule = self._entry_of(provider, model, "").schedule
        if schedule.seconds or schedule.prompts:
            return None
        now, before = (schedule.rates[_period(schedule.days, at)] for at in (day, day - 1))
        if now is None or now != before:
            return None
        finer = (
            (now.cache_write, now.cache_write_1h), (now.input, now.input_audio), (now.output, now.output_audio),
            (now.cache_read, now.cache_read_audio),
        )  # fmt: skip
        if now.request or any(one != other for one, other in finer) or self._prices.has_tiers(provider, model):
            return None
        return now

    def cost(
        self,
        *,
        provider: Sequence[str],
        model: Sequence[str],
        pair: NDArray[np.int32],
        day: NDArray[np.int32],
        input_tokens: Int64s,
        output_tokens: Int64s,
        cache_read: Int64s,
        cache_write: Int64s,
        tier: Sequence[str] | None = None,
        second: NDArray[np.int32] | None = None,
        reasoning: Int64s | None = None,
        cache_write_1h: Int64s | None = None,
        input_audio: Int64s | None = None,
        cache_read_audio: Int64s | None = None,
        output_audio: Int64s | None = None,
    ) -> Costs:
        """Price a batch of calls. Of counts that contradict each other, the finer one gives way.

        Args:
            provider: Provider of each distinct (provider, model, tier), OpenTelemetry's canonical name.
            model: Model of each of them.
            pair: For each row, the index of its (provider, model, tier).
            day: For each row, the day it started on, UTC, in days since the epoch.
            input_tokens: All tokens of the prompt, cache reads and writes included. Where it is less than
                these two together, their sum is taken.
            output_tokens: All tokens of the answer, reasoning included.
            cache_read: Prompt tokens read from the cache.
            cache_write: Prompt tokens written to the cache.
            tier: Service tier of each (provider, model, tier), as the client or the provider spells it; without it
                the standard one.
            second: For each row, the second of the day it started at, UTC; without it, rows of models with
                time-of-day prices are priced as at midnight.
            reasoning: Answer tokens spent on reasoning, for the few models that price them apart; without it
                they are billed as output, as everywhere else.
            cache_write_1h: Those written to the cache for an hour; the others are written for five minutes.
            input_audio: Prompt tokens that are sound, cached ones included.
            cache_read_audio: Prompt tokens read from the cache that are sound.
            output_audio: Answer tokens that are sound.
        """
        tiers = tier or [""] * len(provider)
        entries = [self._entry_of(*names) for names in zip(provider, model, tiers, strict=True)]
        if not entries or not len(pair):
            nothing = np.zeros(len(pair), np.bool_)
            return Costs(np.zeros(len(pair), np.int64), nothing, nothing)
        read, write, output = _counts(cache_read), _counts(cache_write), _counts(output_tokens)
        prompt = np.maximum(_counts(input_tokens), read + write)
        thought = _part(reasoning, output)
        spoken = _part(output_audio, output if thought is None else output - thought)
        write_1h = _part(cache_write_1h, write)
        read_audio = _part(cache_read_audio, read)
        fresh = prompt - read - write
        heard = None if input_audio is None else _part(input_audio - _or_zero(read_audio), fresh)
        # In the order of `Rates`; None where there are none.
        counts: tuple[Int64s | None, ...] = (
            _without(fresh, heard),
            _without(read, read_audio),
            _without(write, write_1h),
            write_1h,
            heard,
            read_audio,
            _without(_without(output, thought), spoken),
            thought,
            spoken,
            (prompt + output > 0).astype(np.int64),  # one that failed before its first token is free
        )
        cell = _cells(entries, pair, day, second, prompt)

        priced = _joined([e.priced for e in entries])[cell]
        whole = _joined([e.whole for e in entries])
        broken = _joined([e.broken for e in entries])
        pico = np.zeros(len(pair), np.int64)
        for kind, count in enumerate(counts):
            if count is not None and whole[kind].any():
                pico += whole[kind][cell] * count
        nano = _rounded(pico)

        # With no more tokens than this a prompt and an answer, and a fee, fit in int64 at any of the rates.
        roomy = 2**61 // max(1, int(whole.max()))
        apart = (prompt > roomy) | (output > roomy)
        for kind, count in enumerate(counts):
            if count is not None and broken[kind].any():
                apart |= broken[kind][cell] & (count > 0)
        if apart.any():
            rates = [rate for e in entries for rate in e.schedule.rates]
            for row in np.flatnonzero(apart & priced):
                nano[row] = _exact(rates[cell[row]], [0 if count is None else int(count[row]) for count in counts])
        np.minimum(nano, MAX_COST, out=nano)
        return Costs(nano, priced, _joined([e.estimated for e in entries])[cell])

    def _entry_of(self, provider: str, model: str, tier: str) -> _Entry:
        if len(model) > MAX_NAME or len(provider) > MAX_NAME:
            return _UNPRICED  # not worth remembering: megabytes of it
        return self._entry(provider, model, tier[:MAX_NAME])

    def _compile(self, provider: str, model: str, tier: str) -> _Entry:
        schedule = self._prices.schedule(provider, model, tier)
        if schedule is None:
            return _UNPRICED
        nothing = (0,) * _KINDS
        rates = [rate or nothing for rate in schedule.rates]
        return _Entry(
            schedule,
            np.array([[int(value) for value in kind] for kind in zip(*rates, strict=True)], np.int64),
            np.array([[int(value) != value for value in kind] for kind in zip(*rates, strict=True)], np.bool_),
            np.array([rate is not None for rate in schedule.rates], np.bool_),
            np.array(schedule.estimated, np.bool_),
        )


def _period(starts: Sequence[int], day: int) -> int:
    return sum(start <= day for start in starts)


def _counts(tokens: Int64s) -> Int64s:
    clipped: Int64s = np.clip(tokens, 0, _MAX_COUNT)
    return clipped


def _part(tokens: Int64s | None, of: Int64s) -> Int64s | None:
    """Some of these tokens, and never more than there are; None where there are none in any row."""
    if tokens is None or not tokens.any():
        return None
    return np.clip(tokens, 0, of)


def _without(tokens: Int64s, part: Int64s | None) -> Int64s:
    return tokens if part is None else tokens - part


def _or_zero(part: Int64s | None) -> Int64s | int:
    return 0 if part is None else part


def _joined(blocks: Sequence[NDArray[T]]) -> NDArray[T]:
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=-1)


def _cells(
    entries: Sequence[_Entry],
    pair: NDArray[np.int32],
    day: NDArray[np.int32],
    second: NDArray[np.int32] | None,
    prompt: Int64s,
) -> NDArray[np.intp]:
    """Index of each row's rates in the concatenation of all entries' rates."""
    schedules = [e.schedule for e in entries]
    cell = np.cumsum([0, *(len(s.rates) for s in schedules[:-1])])[pair]
    stride = np.ones(len(entries), np.intp)
    # The axes of `Schedule.rates`, innermost first. A tier starts above its threshold, the others on it.
    for starts, value in (
        ([s.prompts for s in schedules], prompt - 1),
        ([s.seconds for s in schedules], second),
        ([s.days for s in schedules], day),
    ):
        if value is not None and any(starts):
            cell += _reached(starts, pair, value) * stride[pair]
        stride *= [len(own) + 1 for own in starts]
    return cell


def _reached(
    starts: Sequence[tuple[int, ...]], pair: NDArray[np.int32], value: NDArray[np.integer]
) -> NDArray[np.intp]:
    """How many of its pair's starts each row's value has reached."""
    never = (np.iinfo(np.int64).max,)
    longest = max(map(len, starts))
    table = np.array([own + never * (longest - len(own)) for own in starts], np.int64)
    reached = np.zeros(len(pair), np.intp)
    for column in table.T:
        reached += value >= column[pair]
    return reached


def _rounded(pico: Int64s) -> Int64s:
    nano = pico // _PICO_PER_NANO
    twice = (pico - nano * _PICO_PER_NANO) * 2
    nano += (twice > _PICO_PER_NANO) | ((twice == _PICO_PER_NANO) & (nano & 1 == 1))
    return nano


def _exact(rates: Rates | None, counts: Sequence[int]) -> int:
    pico = sum((rate * count for rate, count in zip(rates or (), counts, strict=True)), start=Fraction(0))
    return min(MAX_COST, round(pico / _PICO_PER_NANO))  # round() of a fraction is half to even
