"""What calls cost: token counts times the rates of `price_table`, a whole batch at a time, in exact integers.

Rates are looked up once per distinct (provider, model) and remembered; per row there is only arithmetic.
Rates are whole pico-dollars (1e-12) per token for all but a handful of models, so a batch is a few integer
multiplications. Rows whose rate is not whole, or whose counts could overflow, are calculated one by one in
fractions.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from clew_processor.enrich.price_table import MAX_NAME, PriceList, Rates, Schedule

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


@dataclass(frozen=True, slots=True)
class _Entry:
    """A schedule as arrays (kinds, cells): `whole` pico-dollars; `broken` marks rates that are not whole."""

    schedule: Schedule
    whole: Int64s
    broken: NDArray[np.bool_]
    priced: NDArray[np.bool_]


_UNPRICED: Final = _Entry(
    Schedule(days=(), seconds=(), prompts=(), rates=(None,)),
    np.zeros((_KINDS, 1), np.int64),
    np.zeros((_KINDS, 1), np.bool_),
    np.zeros(1, np.bool_),
)


class PriceBook:
    """Prices token counts by the list packaged with ``genai-prices``. Reads no network.

    Attributes:
        version: The data's name and version, as stored beside each computed cost.
    """

    def __init__(self) -> None:
        self.version = f"genai-prices {version('genai-prices')}"
        self._prices = PriceList()
        # Unknown models are remembered too: they are the ones whose search is longest.
        self._entry = lru_cache(maxsize=_CACHED_MODELS)(self._compile)

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
        second: NDArray[np.int32] | None = None,
        reasoning: Int64s | None = None,
    ) -> tuple[Int64s, NDArray[np.bool_]]:
        """Price a batch of calls.

        Args:
            provider: Provider of each distinct (provider, model) pair, OpenTelemetry's canonical name.
            model: Model of each distinct pair.
            pair: For each row, the index of its pair.
            day: For each row, the day it started on, UTC, in days since the epoch.
            input_tokens: All tokens of the prompt, cache reads and writes included. Where it is less than
                these two together, their sum is taken.
            output_tokens: All tokens of the answer, reasoning included.
            cache_read: Prompt tokens read from the cache.
            cache_write: Prompt tokens written to the cache.
            second: For each row, the second of the day it started at, UTC; without it, rows of models with
                time-of-day prices are priced as at midnight.
            reasoning: Answer tokens spent on reasoning, for the few models that price them apart; without it
                they are billed as output, as everywhere else.

        Returns:
            Nano-dollars (1e-9) per row, rounded once, half to even, 0 where unpriced; and which rows are
            priced: False where the list does not know the model, or no price per token for it at that date.
        """
        entries = [self._entry_of(*names) for names in zip(provider, model, strict=True)]
        if not entries or not len(pair):
            return np.zeros(len(pair), np.int64), np.zeros(len(pair), np.bool_)
        read, write, output = _counts(cache_read), _counts(cache_write), _counts(output_tokens)
        prompt = np.maximum(_counts(input_tokens), read + write)
        thought = np.zeros_like(output) if reasoning is None else np.minimum(_counts(reasoning), output)
        called = (prompt + output > 0).astype(np.int64)  # one that failed before its first token is free
        counts = (prompt - read - write, read, write, output - thought, thought, called)
        cell = _cells(entries, pair, day, second, prompt)

        priced = _joined([e.priced for e in entries])[cell]
        whole = _joined([e.whole for e in entries])
        broken = _joined([e.broken for e in entries])
        pico = np.zeros(len(pair), np.int64)
        for kind in np.flatnonzero(whole.any(axis=1)):
            pico += whole[kind][cell] * counts[kind]
        nano = _rounded(pico)

        # With no more tokens than this a prompt and an answer, and a fee, fit in int64 at any of the rates.
        roomy = 2**61 // max(1, int(whole.max()))
        apart = (prompt > roomy) | (output > roomy)
        for kind in np.flatnonzero(broken.any(axis=1)):
            apart |= broken[kind][cell] & (counts[kind] > 0)
        if apart.any():
            rates = [rate for e in entries for rate in e.schedule.rates]
            for row in np.flatnonzero(apart & priced):
                nano[row] = _exact(rates[cell[row]], [int(count[row]) for count in counts])
        np.minimum(nano, MAX_COST, out=nano)
        return nano, priced

    def _entry_of(self, provider: str, model: str) -> _Entry:
        if len(model) > MAX_NAME or len(provider) > MAX_NAME:
            return _UNPRICED  # not worth remembering: megabytes of it
        return self._entry(provider, model)

    def _compile(self, provider: str, model: str) -> _Entry:
        schedule = self._prices.schedule(provider, model)
        if schedule is None:
            return _UNPRICED
        nothing = (0,) * _KINDS
        rates = [rate or nothing for rate in schedule.rates]
        return _Entry(
            schedule,
            np.array([[int(value) for value in kind] for kind in zip(*rates, strict=True)], np.int64),
            np.array([[int(value) != value for value in kind] for kind in zip(*rates, strict=True)], np.bool_),
            np.array([rate is not None for rate in schedule.rates], np.bool_),
        )


def _counts(tokens: Int64s) -> Int64s:
    clipped: Int64s = np.clip(tokens, 0, _MAX_COUNT)
    return clipped


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
