"""A first normaliser: the newest OpenTelemetry GenAI conventions and clew.*.

Tables come from the dialect's YAML file; work is per distinct word or per column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from clew_processor.arrow import id_keys
from clew_processor.dialects import dialect_table
from clew_processor.grouping import run_codes
from clew_processor.normalise.spans import INFERENCE_OPS, Spans
from clew_processor.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clew_processor.decode.decoder import DecodedBatch

STATUSES = frozenset({"ok", "error", "interrupted", "cancelled"})
MAX_COUNT = 2**36
"""No token count or waiting time (ms: two years) is this large; a larger one is nonsense and counts as this, so that
sums over any batch or run fit in 64 bits."""
MAX_DEPTH = 64
"""Ancestors followed when an agent's name is looked for."""


class Normaliser:
    """Decoded columns to `Spans`. Holds only tables."""

    def __init__(self, dialect: str) -> None:
        table = dialect_table(dialect)
        self._dialect = dialect
        self._providers: dict[str, str] = table["providers"]
        self._finish_reasons: dict[str, str] = table["finish_reasons"]
        self._frameworks: dict[str, str] = table["frameworks"]
        self._statuses: dict[str, str] = table["statuses"]

    def normalise(self, batch: DecodedBatch) -> Spans:
        """The batch in canonical columns."""
        col = _Columns(batch.spans)
        rows = batch.spans.num_rows
        start = col.ints("Timestamp")
        duration = col.ints("Duration")
        parent_row = col.numpy("parent_row").astype(np.int32, copy=False)
        parent_span_id = col.arrow("ParentSpanId")

        own_op = col.words("op")
        gate_name, step_kind, outcome = (
            col.words("gate_name"),
            col.words("step_kind"),
            col.words("outcome_status"),
        )
        op = own_op.otherwise(col.words("clew_op"))
        op = op.otherwise(_named(gate_name.present, "gate")).otherwise(_named(step_kind.present, "step"))
        provider = col.words("provider")
        is_genai = own_op.present | provider.present
        is_clew = op.present | outcome.present
        dialect = Words.choose(["", self._dialect, "clew"], np.where(is_genai, 1, np.where(is_clew, 2, 0)))

        agent_name, agent_version = _inherit_agent(col.words("agent_name"), col.words("agent_version"), parent_row)
        tokens = {name: col.counts(name) for name in _TOKENS}
        has_usage = np.zeros(rows, np.bool_)
        for count in tokens.values():
            has_usage |= count > 0
        cached = tokens["cache_read_tokens"] + tokens["cache_write_tokens"]
        exclusive = cached > tokens["input_tokens"]  # dialects.md 3.2: only an exclusive count can be that small
        input_tokens = np.where(exclusive, tokens["input_tokens"] + cached, tokens["input_tokens"])
        output_tokens = np.maximum(tokens["output_tokens"], tokens["reasoning_tokens"])

        error_type = col.words("error_type")
        tenant, trace = _tenant_of_rows(batch.tenants, col.numpy("request")), col.words("TraceId")
        run, run_keys = _runs(tenant, trace)
        return Spans(
            arrival_ns=batch.arrival_ns,
            otlp=batch.spans,
            contents=batch.contents,
            request_tenants=batch.tenants,
            tenant=tenant,
            trace=trace,
            run=run,
            run_keys=run_keys,
            span_id=col.arrow("SpanId"),
            parent_span_id=parent_span_id,
            span_key=id_keys(col.arrow("SpanId")),
            parent_key=(parent_key := id_keys(parent_span_id)),
            parent_row=parent_row,
            is_root=parent_key == 0,
            start_ns=start,
            duration_ns=duration,
            service=col.words("ServiceName"),
            dialect=dialect,
            known=is_genai | is_clew,
            op=op,
            inference=op.isin(INFERENCE_OPS),
            framework=col.words("ScopeName").map(lambda scope: self._frameworks.get(scope, "")),
            provider=provider.map(lambda name: self._providers.get(name, name)),
            request_model=col.words("request_model"),
            response_model=col.words("response_model"),
            response_id=col.numpy("response_id").astype(np.uint64, copy=False),
            agent_name=agent_name,
            agent_version=agent_version,
            agent_id=col.words("agent_id"),
            agent_run_id=col.words("agent_run_id"),
            conversation_id=col.words("conversation_id"),
            user_id=col.words("user_id"),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=tokens["cache_read_tokens"],
            cache_write_tokens=tokens["cache_write_tokens"],
            reasoning_tokens=tokens["reasoning_tokens"],
            has_usage=has_usage,
            reported_cost_usd=col.floats("cost_usd"),
            reported_cost_source=col.words("cost_source"),
            tool_name=col.words("tool_name"),
            tool_call_id=pc.fill_null(col.arrow("tool_call_id"), ""),
            args_hash=col.arrow("args_hash"),
            step_kind=step_kind,
            step_index=np.minimum(col.counts("step_index"), 2**32 - 1).astype(np.uint32),
            confidence=col.arrow("confidence").cast(pa.float32()),
            gate_name=gate_name,
            gate_kind=col.words("gate_kind"),
            gate_phase=col.words("gate_phase"),
            gate_outcome=col.words("gate_outcome"),
            gate_source=col.words("gate_source"),
            gate_actor_type=col.words("gate_actor_type"),
            gate_wait_ms=col.counts("gate_wait_ms"),
            gate_reason=col.words("gate_reason"),
            gate_target_kind=col.words("gate_target_kind"),
            gate_target_id=col.words("gate_target_id"),
            outcome_status=outcome,
            outcome_score=col.floats("outcome_score"),
            outcome_source=col.words("outcome_source"),
            status=(status := self._status(col.words("status"), error_type, col.words("StatusCode"))),
            error=status.isin(("error",)),
            error_type=error_type,
            finish_reason=col.words("finish_reason").map(lambda reason: self._finish_reasons.get(reason, reason)),
            time_to_first_ms=_milliseconds(col.floats("time_to_first_s")),
        )

    def _status(self, said: Words, error_type: Words, code: Words) -> Words:
        """What the span said itself, else control flow told by its error, else the OTLP status."""
        control_flow = error_type.map(lambda name: self._statuses.get(name.rpartition(".")[2], ""))
        failed = error_type.map(lambda name: "error" if name else "")
        otlp = code.map(lambda word: {"Ok": "ok", "Error": "error"}.get(word, "unset"))
        said = said.map(lambda status: status if status in STATUSES else "")
        return said.otherwise(control_flow).otherwise(failed).otherwise(otlp)


_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


class _Columns:
    """The kernel's columns as numpy arrays and words, nulls filled."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self._index = {name: i for i, name in enumerate(batch.schema.names)}

    def arrow(self, name: str) -> Any:
        return self._batch.column(self._index[name])

    def words(self, name: str) -> Words:
        return Words.from_arrow(self.arrow(name))

    def numpy(self, name: str) -> NDArray[Any]:
        column = self.arrow(name)
        if column.null_count:
            column = column.fill_null(0)
        array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return array

    def ints(self, name: str) -> NDArray[np.int64]:
        array: NDArray[np.int64] = self.numpy(name).view(np.int64)
        return array

    def counts(self, name: str) -> NDArray[np.int64]:
        array: NDArray[np.int64] = np.minimum(self.numpy(name), np.uint64(MAX_COUNT)).astype(np.int64)
        return array

    def floats(self, name: str) -> NDArray[np.float64]:
        array: NDArray[np.float64] = self.arrow(name).to_numpy(zero_copy_only=False)
        return array.astype(np.float64, copy=False)


def _milliseconds(seconds: NDArray[np.float64]) -> NDArray[np.float32]:
    """0 for what is no time: absent, negative, or beyond thirty years."""
    return (np.where((seconds >= 0) & (seconds < 1e9), seconds, 0) * 1000).astype(np.float32)


def _named(mask: NDArray[np.bool_], word: str) -> Words:
    return Words.choose(["", word], mask)


def _tenant_of_rows(tenants: list[str], request: NDArray[np.integer]) -> Words:
    names = sorted(set(tenants))
    code = {name: i for i, name in enumerate(names)}
    by_request = np.fromiter((code[tenant] for tenant in tenants), np.int32, len(tenants))
    return Words(by_request[request], names)


def run_keys(tenants: list[str], traces: list[str]) -> NDArray[np.uint64]:
    """`Spans.run_keys` of some runs by their names."""
    if not traces:
        return np.zeros(0, np.uint64)
    of_tenant = {name: xxhash.xxh3_64_intdigest(name.encode()) for name in set(tenants)}
    return _trace_keys(traces) ^ np.array([of_tenant[name] for name in tenants], np.uint64)


def _runs(tenant: Words, trace: Words) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """`Spans.run` and `Spans.run_keys`."""
    trace_keys = _trace_keys(trace.words)
    tenant_keys = np.array([xxhash.xxh3_64_intdigest(name.encode()) for name in tenant.words], np.uint64)
    if len(tenant.words) == 1:
        return trace.codes.astype(np.int64), trace_keys ^ tenant_keys[0]
    _, first, run = np.unique(run_codes(tenant, trace), return_index=True, return_inverse=True)
    return run, trace_keys[trace.codes[first]] ^ tenant_keys[tenant.codes[first]]


def _trace_keys(ids: list[str]) -> NDArray[np.uint64]:
    """A number for each trace id; two ids meet with a chance of 2^-64."""
    quarters = np.frombuffer("".join(ids).encode(), np.uint64).reshape(-1, 4)
    factors = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)
    keys: NDArray[np.uint64] = np.bitwise_xor.reduce(quarters * np.array(factors, np.uint64), axis=1)
    return keys ^ keys >> np.uint64(32)  # the low bits of the products know only the low bits of the ids


def _inherit_agent(name: Words, version: Words, parent_row: NDArray[np.int32]) -> tuple[Words, Words]:
    """The nearest ancestor's agent, for spans that name none (as far as the ancestors are in this batch)."""
    has = name.present
    source = np.arange(len(name), dtype=np.int32)
    rows = np.flatnonzero(~has & (parent_row >= 0))
    ancestor = parent_row[rows]
    for _ in range(MAX_DEPTH):
        if not len(rows):
            break
        found = has[ancestor]
        source[rows[found]] = ancestor[found]
        rows, ancestor = rows[~found], parent_row[ancestor[~found]]
        alive = ancestor >= 0
        rows, ancestor = rows[alive], ancestor[alive]
    return name.take(source), version.take(source)
