"""What each counted span adds to the rollups and to its run. A correction takes the same rows away again."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.words import Words


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
    guessed: NDArray[np.bool_]  # the tokens were not told

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.end_ns)

    def take(self, rows: NDArray[np.integer]) -> Contributions:
        """The chosen rows."""
        return Contributions(
            **{
                field.name: column[rows]
                if isinstance(column := getattr(self, field.name), np.ndarray)
                else column.take(rows)
                for field in fields(self)
            }
        )
