"""A batch as the rows of each table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from clew_processor.arrow import decimals, milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clew_processor.decode.decoder import DecodedBatch, DecodedLogs
    from clew_processor.enrich.context import Context
    from clew_processor.enrich.usage import Usage
    from clew_processor.normalise.spans import Spans
    from clew_processor.sample.sampler import Sample

OTLP_COLUMNS = (
    "Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind", "ServiceName",
    "ResourceAttributes", "ScopeName", "ScopeVersion", "SpanAttributes", "Duration", "StatusCode", "StatusMessage",
    "Events.Timestamp", "Events.Name", "Events.Attributes",
    "Links.TraceId", "Links.SpanId", "Links.TraceState", "Links.Attributes",
)  # fmt: skip
"""Columns of otel_traces that are the kernel's as they are."""
CONTEXT_PARTS = (
    "ContextSystemTokens", "ContextToolsTokens", "ContextUserTokens", "ContextHistoryTokens",
    "ContextToolResultTokens",
)  # fmt: skip
"""In the order of `enrich.context.PARTS`."""


def span_rows(spans: Spans, usage: Usage, context: Context, sample: Sample) -> pa.Table:
    """Rows of otel_traces: the kept spans, every column of the contract."""
    otlp = spans.otlp
    words = {
        "TenantId": spans.tenant,
        "Op": spans.op,
        "Dialect": spans.dialect,
        "Framework": spans.framework,
        "Provider": spans.provider,
        "RequestModel": spans.request_model,
        "ResponseModel": spans.response_model,
        "ServiceTier": spans.service_tier,
        "AgentName": spans.agent_name,
        "AgentVersion": spans.agent_version,
        "AgentId": spans.agent_id,
        "AgentRunId": spans.agent_run_id,
        "ConversationId": spans.conversation_id,
        "UserId": spans.user_id,
        "UsageScope": usage.scope,
        "CostSource": usage.cost_source,
        "PricingVersion": usage.pricing_version,
        "ToolName": spans.tool_name,
        "StepKind": spans.step_kind,
        "GateName": spans.gate_name,
        "GateKind": spans.gate_kind,
        "GatePhase": spans.gate_phase,
        "GateOutcome": spans.gate_outcome,
        "GateSource": spans.gate_source,
        "GateActorType": spans.gate_actor_type,
        "Status": spans.status,
        "ErrorType": spans.error_type,
        "FinishReason": spans.finish_reason,
        "KeepReason": sample.reason,
    }
    columns = {name: otlp.column(name) for name in OTLP_COLUMNS}
    columns |= {name: column.to_arrow() for name, column in words.items()}
    columns |= {
        "InputTokens": pa.array(usage.tokens["input_tokens"].view(np.uint64)),
        "OutputTokens": pa.array(usage.tokens["output_tokens"].view(np.uint64)),
        "CacheReadTokens": pa.array(usage.tokens["cache_read_tokens"].view(np.uint64)),
        "CacheWriteTokens": pa.array(usage.tokens["cache_write_tokens"].view(np.uint64)),
        "ReasoningTokens": pa.array(usage.tokens["reasoning_tokens"].view(np.uint64)),
        "CacheWrite1hTokens": pa.array(spans.cache_write_1h_tokens.view(np.uint64)),
        "InputAudioTokens": pa.array(spans.input_audio_tokens.view(np.uint64)),
        "OutputAudioTokens": pa.array(spans.output_audio_tokens.view(np.uint64)),
        "CacheReadAudioTokens": pa.array(spans.cache_read_audio_tokens.view(np.uint64)),
        "UsageEstimated": pa.array(usage.estimated.view(np.uint8)),
        "CostUsd": decimals(usage.cost_nano, 18),
        "ComputedCostUsd": decimals(usage.computed_nano, 18),
        "ToolCallId": spans.tool_call_id,
        "ArgsHash": spans.args_hash,
        "ResultHash": otlp.column("result_hash"),
        "InputMessages": otlp.column("input_messages"),
        "OutputMessages": otlp.column("output_messages"),
        "SystemHash": otlp.column("system_hash"),
        "ToolsHash": otlp.column("tools_hash"),
        **{name: pa.array(context.parts[part].view(np.uint64)) for part, name in enumerate(CONTEXT_PARTS)},
        "ContextRepeatedTokens": pa.array(context.repeated.view(np.uint64)),
        "ContextRereadTokens": pa.array(context.reread.view(np.uint64)),
        "ContextWindowTokens": pa.array(context.window.view(np.uint64)),
        "ContextUtilisation": pa.array(
            (spans.input_tokens / np.maximum(context.window, 1) * (context.window > 0)).astype(np.float32)
        ),
        "StepIndex": pa.array(spans.step_index),
        "Confidence": spans.confidence,
        "GateWaitMs": pa.array(spans.gate_wait_ms.view(np.uint64)),
        "TimeToFirstTokenMs": pa.array(spans.time_to_first_ms),
        "SampleWeight": pa.array(sample.weight),
        "IngestedAt": milliseconds(spans.arrival_ns, spans.rows),
    }
    table = pa.table(columns)
    return table if sample.kept.all() else table.filter(pa.array(sample.kept))


def content_rows(batch: DecodedBatch | DecodedLogs) -> pa.Table | None:
    """Rows of span_contents: the contents not written lately; None when there are none."""
    contents = batch.contents
    if not contents.num_rows:
        return None
    return pa.table(
        {
            "tenant_id": _tenants(batch.tenants, contents),
            "hash": contents.column("hash"),
            "canonical_hash": contents.column("canonical_hash"),
            "kind": contents.column("kind"),
            "content": contents.column("content"),
            "bytes": contents.column("bytes"),
            "seen_at": milliseconds(batch.arrival_ns, contents.num_rows),
        }
    )


def log_rows(batch: DecodedLogs) -> pa.Table | None:
    """Rows of otel_logs; None when there are none."""
    logs = batch.logs
    if not logs.num_rows:
        return None
    columns = {"TenantId": _tenants(batch.tenants, logs)}
    columns |= {name: logs.column(name) for name in logs.schema.names if name != "request"}
    return pa.table(columns)


def message_rows(batch: DecodedLogs, *, version: int) -> pa.Table | None:
    """Rows of span_messages; None when there are none.

    Args:
        batch: what was decoded.
        version: of a record that came before, the newest stays.
    """
    messages = batch.messages
    if not messages.num_rows:
        return None
    columns = {"tenant_id": _tenants(batch.tenants, messages)}
    columns |= {name: messages.column(name) for name in messages.schema.names if name != "request"}
    columns["version"] = pa.array(np.full(messages.num_rows, version, np.uint64))
    return pa.table(columns)


def _tenants(tenants: Sequence[str], rows: pa.RecordBatch) -> pa.DictionaryArray:
    """Whose each row is, by the number of its request."""
    words = list(dict.fromkeys(tenants))
    of_request = np.array([words.index(tenant) for tenant in tenants], np.int32)
    return pa.DictionaryArray.from_arrays(
        pa.array(of_request[rows.column("request").to_numpy()]), pa.array(words, pa.utf8())
    )
