"""What a batch adds to the history of its runs: model calls, tool calls, and tool calls that models asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xxhash

from clew_processor.enrich.ids import id_numbers
from clew_processor.words import Words

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from clew_processor.enrich.lookup import Keys
    from clew_processor.enrich.run_log import Columns
    from clew_processor.enrich.usage import Usage
    from clew_processor.normalise.spans import Spans

ARGS_BYTES = 16


def model_calls(spans: Spans, usage: Usage) -> tuple[NDArray[np.integer], Columns]:
    """Rows of the batch with own usage, and their columns: start_ns, tokens, cost_nano."""
    rows = np.flatnonzero(usage.own)
    return rows, {
        "start_ns": spans.start_ns[rows],
        "tokens": usage.tokens["input_tokens"][rows] + usage.tokens["output_tokens"][rows],
        "cost_nano": usage.cost_nano[rows],
    }


def tool_calls(spans: Spans) -> tuple[NDArray[np.integer], Columns]:
    """Rows of the batch that are tool calls, and their columns, see `_calls`.

    Copies are among them, as they may yet be reinstated.
    """
    rows = np.flatnonzero(spans.op.isin(("execute_tool",)))
    position = np.zeros(len(rows), np.int32)
    args = _halves(spans.args_hash)[rows]
    return rows, _calls(spans, rows, position, spans.tool_name.take(rows), args, spans.error[rows])


def requested_calls(spans: Spans) -> tuple[NDArray[np.integer], Columns]:
    """For each tool call that a model asked for the row of the batch, and their columns, see `_calls`.

    Copies are among them, as they may yet be reinstated.
    """
    asked = spans.otlp.column("output_messages.calls").flatten()
    counts = spans.requested_calls
    rows = np.repeat(np.arange(spans.rows), counts)
    position = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    keep = np.flatnonzero(spans.inference[rows])
    tool = Words.from_arrow(asked.field("name").dictionary_encode()).take(keep)
    args = _halves(asked.field("args"))[keep]
    rows = rows[keep]
    return rows, _calls(spans, rows, position[keep].astype(np.int32), tool, args, np.zeros(len(rows), np.bool_))


def fingerprints(columns: Columns, run: Keys) -> Keys:
    """A cheap mix of run, tool and arguments, equal for the same call of the same run and the same in every process.

    Equal ones are only a reason to look closer. 0 without arguments.
    """
    low = columns["args"][:, 0]
    return np.where(low == 0, np.uint64(0), low ^ columns["tool_key"] ^ run)


def _calls(
    spans: Spans,
    rows: NDArray[np.integer],
    position: NDArray[np.int32],
    tool: Words,
    args: NDArray[np.uint64],
    failed: NDArray[np.bool_],
) -> Columns:
    """Their columns.

    start_ns, span (id as a number), position (among the calls of one answer), tool and a key for it, args (calls, 2:
    the halves of the hash, 0 for none), failed, agent.
    """
    words = tool.words
    keys = np.fromiter((xxhash.xxh3_64_intdigest(word.encode()) for word in words), np.uint64, len(words))
    return {
        "start_ns": spans.start_ns[rows],
        "span": id_numbers(spans.span_id, rows),
        "position": position,
        "tool": tool,
        "tool_key": keys[tool.codes],
        "args": args,
        "failed": failed,
        "agent": spans.agent_name.take(rows),
    }


def _halves(hashes: pa.FixedSizeBinaryArray) -> NDArray[np.uint64]:
    data = np.frombuffer(hashes.buffers()[1], np.uint64, 2 * len(hashes), hashes.offset * ARGS_BYTES)
    return data.reshape(-1, 2)
