"""Token counts as inclusive totals, however a dialect counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from clew_processor.dialects.schema import Dialect, Tokens
    from clew_processor.normalise.columns import Columns
    from clew_processor.words import Words

COUNTS = (
    "input_tokens", "output_tokens", "uncached_input_tokens", "plain_output_tokens", "extra_input_tokens",
    "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "input_audio_tokens", "output_audio_tokens", "cache_read_audio_tokens",
)  # fmt: skip
"""Columns of counts."""


class TokenRules:
    """What each dialect's totals leave out."""

    def __init__(self, dialects: Sequence[Dialect]) -> None:
        self._rules = {table.name: table.tokens for table in dialects if table.tokens}

    def totals(
        self, col: Columns, spoken: Mapping[str, NDArray[np.bool_]], provider: Words
    ) -> dict[str, NDArray[np.int64]]:
        """The columns of `COUNTS`, of which `input_tokens` and `output_tokens` are inclusive totals.

        `spoken` are the rows of each dialect. Input includes what a cache gave and took (dialects.md 2.1),
        output includes reasoning.
        """
        counts = {name: col.counts(name) for name in COUNTS}
        by_life = counts["cache_write_5m_tokens"] + counts["cache_write_1h_tokens"]
        counts["cache_write_tokens"] = np.maximum(counts["cache_write_tokens"], by_life)
        cached = counts["cache_read_tokens"] + counts["cache_write_tokens"]
        given, uncached = counts["input_tokens"], col.present("uncached_input_tokens")
        # Where both totals are told there is nothing to guess; else only an exclusive count can be that small (3.2).
        apart = (self._apart("cache", spoken, provider) | (cached > given)) & ~uncached
        total = np.where(apart, given + cached, given)
        total = np.maximum(total, np.where(uncached, counts["uncached_input_tokens"] + cached, 0))
        counts["input_tokens"] = total + counts["extra_input_tokens"]

        given, thought, plain = counts["output_tokens"], counts["reasoning_tokens"], col.present("plain_output_tokens")
        apart = self._apart("reasoning", spoken, provider) & ~plain
        total = np.where(apart, given + thought, np.maximum(given, thought))
        counts["output_tokens"] = np.maximum(total, np.where(plain, counts["plain_output_tokens"] + thought, 0))
        return counts

    def _apart(self, part: str, spoken: Mapping[str, NDArray[np.bool_]], provider: Words) -> NDArray[np.bool_]:
        apart = np.zeros(len(provider), np.bool_)
        for name, rows in spoken.items():
            decided = np.zeros(len(provider), np.bool_)
            for rule in _about(self._rules.get(name, ()), part):
                covers = rows & ~decided
                if rule.provider:
                    covers &= provider.isin(rule.provider)
                decided |= covers
                if getattr(rule, part) == "apart":
                    apart |= covers
        return apart


def _about(rules: Sequence[Tokens], part: str) -> Iterator[Tokens]:
    return (rule for rule in rules if getattr(rule, part) is not None)
