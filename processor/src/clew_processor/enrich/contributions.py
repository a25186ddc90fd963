"""What each counted span adds to the rollups and to its run. A correction takes the same rows away again."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from clew_processor.words import Words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


@dataclass(slots=True)
class Contributions:
    """Rows that count, each `sign` times. Tokens and cost are 0 where usage is not the span's own."""

    tenant: Words
    trace: Words
    service: Words
    agent_name: Words
    agent_version: Words
    provider: Words
    model: Words
    tool_name: Words
    op: Words
    end_ns: NDArray[np.int64]
    duration_ns: NDArray[np.int64]
    error: NDArray[np.bool_]
    inference: NDArray[np.bool_]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    cache_read_tokens: NDArray[np.int64]
    cache_write_tokens: NDArray[np.int64]
    reasoning_tokens: NDArray[np.int64]
    cost_nano: NDArray[np.int64]
    unpriced: NDArray[np.bool_]
    guessed: NDArray[np.bool_]  # the tokens were not told, or not all of them

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.end_ns)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Contributions:
        """The chosen rows."""
        columns: dict[str, Any] = {
            field.name: column[rows]
            if isinstance(column := getattr(self, field.name), np.ndarray)
            else column.take(rows)
            for field in fields(self)
        }
        return Contributions(**columns)

    def compact(self) -> Contributions:
        """The same with no more words than it needs, to be remembered."""
        words = [field.name for field in fields(self) if isinstance(getattr(self, field.name), Words)]
        changes: dict[str, Any] = {name: _compact(getattr(self, name)) for name in words}
        return replace(self, **changes)

    def with_usage(self, rows: NDArray[np.bool_]) -> Contributions:
        """The same spans, those of the other rows as if they told neither tokens nor cost."""
        changes: dict[str, Any] = {name: np.where(rows, getattr(self, name), 0) for name in (*TOKENS, "cost_nano")}
        return replace(self, unpriced=self.unpriced & rows, guessed=self.guessed & rows, **changes)


@dataclass(frozen=True, slots=True)
class Changed:
    """Spans of earlier batches, and what they add no more, or add now.

    Attributes:
        contributions: one row for each.
        span_ids: of them.
        requested: how many tool calls each answer asked for.
    """

    contributions: Contributions
    span_ids: list[str]
    requested: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.span_ids)


@dataclass(frozen=True, slots=True)
class Corrected:
    """Verdicts on spans of earlier batches that are others now, as columns of equal length; see `span_corrections`."""

    tenant: list[str]
    trace: list[str]
    span_ids: list[str]
    scope: list[str]
    cost_source: list[str]
    reason: list[str]
    cost_nano: NDArray[np.int64]
    tokens: NDArray[np.int64]  # (spans, kinds) in the order of `TOKENS`
    estimated: NDArray[np.bool_]  # the tokens are a guess


def all_changed(parts: list[Changed]) -> Changed:
    """Several as one, at least one."""
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, Any] = {}
    for field in fields(Contributions):
        values = [getattr(part.contributions, field.name) for part in parts]
        columns[field.name] = _concatenated(values) if isinstance(values[0], Words) else np.concatenate(values)
    return Changed(
        Contributions(**columns),
        list(chain.from_iterable(part.span_ids for part in parts)),
        np.concatenate([part.requested for part in parts]),
    )


def all_corrected(parts: list[Corrected]) -> Corrected:
    """Several as one, at least one."""
    columns: dict[str, Any] = {}
    for field in fields(Corrected):
        values = [getattr(part, field.name) for part in parts]
        columns[field.name] = np.concatenate(values) if isinstance(values[0], np.ndarray) else list(chain(*values))
    return Corrected(**columns)


def _compact(words: Words) -> Words:
    used, codes = np.unique(words.codes, return_inverse=True)
    return Words(codes.astype(np.int32), [words.words[code] for code in used.tolist()])


def _concatenated(columns: Sequence[Words]) -> Words:
    starts = np.cumsum([0, *(len(column.words) for column in columns)])
    codes = [column.codes + np.int32(start) for column, start in zip(columns, starts, strict=False)]
    return Words(np.concatenate(codes), [word for column in columns for word in column.words])
