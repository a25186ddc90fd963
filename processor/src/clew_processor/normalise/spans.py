"""The canonical columns of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from clew_processor.words import Words

INFERENCE_OPS = frozenset({"chat", "text_completion", "generate_content"})
"""One model inference (dialects.md section 0)."""
AGENT_OPS = frozenset({"invoke_agent", "invoke_workflow"})
"""Work that calls models by itself."""
USAGE_OPS = INFERENCE_OPS | {"embeddings"}
"""Only these own tokens; usage on any other op repeats its children's."""


@dataclass(slots=True)
class Spans:
    """A batch of spans, all columns of the same length and order.

    Times are Unix ns, tokens are inclusive totals, absent text is "", absent numbers 0 (nan for floats).
    `trace` has exactly one word per distinct trace id, so its codes number the traces of the batch. A run is a tenant's
    trace; runs are numbered from 0, without gaps.
    """

    arrival_ns: int
    otlp: pa.RecordBatch  # the kernel's columns, passed on to otel_traces as they are
    contents: pa.RecordBatch
    request_tenants: list[str]

    tenant: Words
    trace: Words
    run: NDArray[np.int64]  # number of the span's run in this batch
    run_keys: NDArray[np.uint64]  # of each run: a number that tells it from others in any batch and process
    span_id: pa.StringArray
    parent_span_id: pa.StringArray
    span_key: NDArray[np.uint64]  # of span_id and parent_span_id: numbers to compare instead of text, 0 = none
    parent_key: NDArray[np.uint64]
    parent_row: NDArray[np.int32]
    is_root: NDArray[np.bool_]
    start_ns: NDArray[np.int64]
    duration_ns: NDArray[np.int64]
    service: Words
    scope: Words  # its name

    dialect: Words
    signature: Words  # of a span that looks like GenAI but is of no dialect: scope and keys
    known: NDArray[np.bool_]  # a span of a dialect, and no placeholder
    op: Words
    inference: NDArray[np.bool_]  # op is one of INFERENCE_OPS
    framework: Words
    provider: Words
    server_address: Words
    request_model: Words
    response_model: Words
    response_id: NDArray[np.uint64]  # keyed hash, 0 = none
    service_tier: Words
    request_stream: NDArray[np.bool_]
    agent_name: Words
    agent_version: Words
    agent_id: Words
    agent_run_id: Words
    conversation_id: Words
    user_id: Words
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    cache_read_tokens: NDArray[np.int64]
    cache_write_tokens: NDArray[np.int64]
    cache_write_5m_tokens: NDArray[np.int64]  # of cache_write_tokens, where told apart
    cache_write_1h_tokens: NDArray[np.int64]
    reasoning_tokens: NDArray[np.int64]
    input_audio_tokens: NDArray[np.int64]  # of input_tokens
    output_audio_tokens: NDArray[np.int64]
    cache_read_audio_tokens: NDArray[np.int64]  # of cache_read_tokens
    has_usage: NDArray[np.bool_]
    usage_estimated: NDArray[np.bool_]  # the counts are the sender's guess
    requested_tool_ids: (
        Words  # of the tool calls an answer asks for, where its messages do not tell: separated by commas
    )
    usage_of_other: Words  # the counts are of another span: `previous` is its elder sibling
    reported_cost_usd: NDArray[np.float64]
    reported_cost_source: Words
    tool_name: Words
    tool_type: Words
    tool_call_id: pa.StringArray
    mcp_method: Words
    args_hash: pa.FixedSizeBinaryArray
    step_kind: Words
    step_index: NDArray[np.uint32]
    confidence: pa.Array
    gate_name: Words
    gate_kind: Words
    gate_phase: Words
    gate_outcome: Words
    gate_source: Words
    gate_actor_type: Words
    gate_wait_ms: NDArray[np.int64]
    gate_reason: Words
    gate_target_kind: Words
    gate_target_id: Words
    outcome_status: Words
    outcome_score: NDArray[np.float64]
    outcome_source: Words
    status: Words
    error: NDArray[np.bool_]  # status is error
    error_type: Words
    finish_reason: Words
    time_to_first_ms: NDArray[np.float32]
    log_event: Words

    @property
    def rows(self) -> int:
        """Number of spans."""
        return len(self.start_ns)

    @property
    def end_ns(self) -> NDArray[np.int64]:
        """End of each span, Unix ns."""
        return self.start_ns + self.duration_ns

    @property
    def requested_calls(self) -> NDArray[np.int64]:
        """How many tool calls each span's output messages ask for."""
        offsets: NDArray[np.int32] = self.otlp.column("output_messages.calls").offsets.to_numpy()
        return np.diff(offsets).astype(np.int64)

    @property
    def asked_calls(self) -> NDArray[np.int64]:
        """How many tool calls each answer asks for, told by its messages or, without them, by their ids alone."""
        told = self.requested_calls
        if not any(self.requested_tool_ids.words):
            return told
        counts = np.array([len([i for i in ids.split(",") if i]) for ids in self.requested_tool_ids.words], np.int64)
        return np.where(told > 0, told, counts[self.requested_tool_ids.codes])
