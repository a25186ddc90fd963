"""Tokens of answered calls that tell none (streams, mostly): told from the length of the recorded text, and marked.

A stream that was left before its end may have told the prompt's tokens and the first of the answer's. Its counts stay
as they were told, and are marked as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from clew_processor.normalise.spans import Spans

BYTES_PER_TOKEN: Final = 4
"""Of UTF-8. Measured with OpenAI's tokenizer o200k_base (cl100k_base gives the same to a hundredth): Markdown 3.9,
English prose 4.9, Python 4.2, JSON 3.4; see docs/decisions/0010-prices.md."""

_PROMPT: Final = ("input_messages.bytes", "system_hash.bytes", "tools_hash.bytes")
_ANSWER: Final = ("output_messages.bytes",)


def guess_tokens(spans: Spans) -> None:
    """Fills in tokens where a model call that did not fail tells none, nor a cost, but text was recorded.

    The counts are marked by `usage_estimated`, and so are those of a call that was cut off; `has_usage` stays as it
    is: any count that was told is better.

    Args:
        spans: changed in place.
    """
    stopped = spans.status.isin(("cancelled", "interrupted"))
    spans.usage_estimated = spans.usage_estimated | _cut_off(spans, stopped)
    wanted = spans.inference & ~spans.has_usage & ~(spans.reported_cost_usd >= 0) & ~spans.error & ~stopped
    if not wanted.any():
        return
    prompt = _bytes(spans.otlp, _PROMPT)
    answer = _bytes(spans.otlp, _ANSWER)
    wanted &= prompt + answer > 0
    if wanted.any():
        spans.input_tokens = np.where(wanted, -(-prompt // BYTES_PER_TOKEN), spans.input_tokens)
        spans.output_tokens = np.where(wanted, -(-answer // BYTES_PER_TOKEN), spans.output_tokens)
        spans.usage_estimated = spans.usage_estimated | wanted


def _cut_off(spans: Spans, stopped: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Calls that told tokens, but not all of the answer's: these come with its end, as its finish reason does."""
    told = spans.inference & spans.has_usage & ~spans.error
    cut_off = told & (stopped | spans.request_stream) & ~spans.finish_reason.present
    silent = told & (spans.output_tokens == 0)  # an answer of no tokens has no text
    if silent.any():
        cut_off |= silent & (_bytes(spans.otlp, _ANSWER) > 0)
    return cut_off


def _bytes(otlp: pa.RecordBatch, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Bytes of text per span in some contents."""
    total = np.zeros(otlp.num_rows, np.int64)
    for name in names:
        column = otlp.column(name)
        if hasattr(column, "offsets"):
            sums = np.concatenate(([0], np.cumsum(column.values.to_numpy(), dtype=np.int64)))
            offsets = column.offsets.to_numpy()
            total += sums[offsets[1:]] - sums[offsets[:-1]]
        else:
            total += column.to_numpy().astype(np.int64)
    return total
