"""Decoded columns to canonical ones.

What each dialect calls things is in its table; work is per distinct word or per column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from clew_processor.arrow import id_keys
from clew_processor.dialects import common, dialects
from clew_processor.grouping import dense
from clew_processor.normalise.columns import Columns
from clew_processor.normalise.spans import INFERENCE_OPS, USAGE_OPS, Spans
from clew_processor.normalise.tokens import TokenRules
from clew_processor.normalise.values import Named, Providers, ValueTables, first_of, spoken_by
from clew_processor.words import Words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from clew_processor.decode.decoder import DecodedBatch
    from clew_processor.dialects.schema import Dialect

STATUSES = frozenset({"ok", "error", "interrupted", "cancelled"})
MAX_DEPTH = 64
"""Ancestors followed when an agent's name is looked for."""


class Normaliser:
    """Decoded columns to `Spans`. Holds only tables."""

    def __init__(self, tables: Sequence[Dialect] | None = None) -> None:
        """With the tables of all dialects, unless others are given."""
        tables = dialects() if tables is None else tables
        shared = common()
        self._values = ValueTables(tables, shared)
        self._tokens = TokenRules(tables)
        self._providers = Providers(shared)
        self._frameworks = Named(shared.frameworks)
        self._control_flow = shared.control_flow

    def normalise(self, batch: DecodedBatch) -> Spans:
        """The batch in canonical columns."""
        col = Columns(batch.spans)
        start = col.ints("Timestamp")
        duration = col.ints("Duration")
        parent_row = col.numpy("parent_row").astype(np.int32, copy=False)
        parent_span_id = col.arrow("ParentSpanId")
        dialect, op = col.words("dialect"), col.words("op")

        spoken = spoken_by(dialect)

        def words(name: str) -> Words:
            return self._values.apply(name, col.words(name), spoken)

        said = words("provider")
        server, request_model, response_model = words("server_address"), words("request_model"), words("response_model")
        provider = self._provider(said, server, response_model.otherwise(request_model), op)
        scope = col.words("ScopeName")
        framework = words("framework").otherwise(scope.map(self._frameworks.get))
        agent_name, agent_version = _inherit_agent(words("agent_name"), words("agent_version"), parent_row)

        tokens = self._tokens.totals(col, spoken, provider)
        has_usage = np.zeros(len(op), np.bool_)
        for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"):
            has_usage |= tokens[name] > 0

        code = col.words("StatusCode")
        error_type = words("error_type")
        # An exception that was handled is on a span that says it is well.
        error_type = error_type.overlaid(words("exception_type"), ~error_type.present & ~code.isin(("Ok",)))
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
            scope=scope,
            dialect=dialect,
            signature=col.words("signature"),
            known=col.flags("known"),
            op=op,
            inference=op.isin(INFERENCE_OPS),
            framework=framework.otherwise(said.map(self._providers.framework)),
            provider=provider,
            server_address=server,
            request_model=request_model,
            response_model=response_model,
            response_id=col.numpy("response_id").astype(np.uint64, copy=False),
            service_tier=words("service_tier"),
            request_stream=col.flags("request_stream"),
            agent_name=agent_name,
            agent_version=agent_version,
            agent_id=words("agent_id"),
            agent_run_id=words("agent_run_id"),
            conversation_id=words("conversation_id"),
            user_id=words("user_id"),
            input_tokens=tokens["input_tokens"],
            output_tokens=tokens["output_tokens"],
            cache_read_tokens=tokens["cache_read_tokens"],
            cache_write_tokens=tokens["cache_write_tokens"],
            cache_write_5m_tokens=tokens["cache_write_5m_tokens"],
            cache_write_1h_tokens=tokens["cache_write_1h_tokens"],
            reasoning_tokens=tokens["reasoning_tokens"],
            input_audio_tokens=tokens["input_audio_tokens"],
            output_audio_tokens=tokens["output_audio_tokens"],
            cache_read_audio_tokens=tokens["cache_read_audio_tokens"],
            has_usage=has_usage,
            usage_estimated=col.flags("usage_estimated"),
            requested_tool_ids=words("requested_tool_ids"),
            usage_of_other=words("usage_of_other"),
            reported_cost_usd=col.floats("cost_usd"),
            reported_cost_source=words("cost_source"),
            tool_name=words("tool_name"),
            tool_type=words("tool_type"),
            tool_call_id=pc.fill_null(col.arrow("tool_call_id"), ""),
            mcp_method=words("mcp_method"),
            args_hash=col.arrow("args_hash"),
            step_kind=words("step_kind"),
            step_index=np.minimum(col.counts("step_index"), 2**32 - 1).astype(np.uint32),
            confidence=col.arrow("confidence").cast(pa.float32()),
            gate_name=words("gate_name"),
            gate_kind=words("gate_kind"),
            gate_phase=words("gate_phase"),
            gate_outcome=words("gate_outcome"),
            gate_source=words("gate_source"),
            gate_actor_type=words("gate_actor_type"),
            gate_wait_ms=col.counts("gate_wait_ms"),
            gate_reason=words("gate_reason"),
            gate_target_kind=words("gate_target_kind"),
            gate_target_id=words("gate_target_id"),
            outcome_status=words("outcome_status"),
            outcome_score=col.floats("outcome_score"),
            outcome_source=words("outcome_source"),
            status=(status := self._status(words("status"), error_type, code)),
            error=status.isin(("error",)),
            error_type=error_type,
            finish_reason=self._values.apply("finish_reason", col.words("finish_reason").map(first_of), spoken),
            time_to_first_ms=_milliseconds(col.floats("time_to_first_s")),
            log_event=words("log_event"),
        )

    def _provider(self, said: Words, server: Words, model: Words, op: Words) -> Words:
        """By its canonical name; of a model call that names none, by where it went, else by the model's name."""
        provider = said.map(self._providers.name)
        nameless = op.isin(USAGE_OPS) & ~provider.present
        if not nameless.any():
            return provider
        told = server.map(self._providers.at).otherwise(model.map(self._providers.of_model))
        return provider.overlaid(told, nameless)

    def _status(self, said: Words, error_type: Words, code: Words) -> Words:
        """What the span said itself, else control flow told by its error, else the OTLP status."""
        control_flow = error_type.map(lambda name: self._control_flow.get(name.rpartition(".")[2], ""))
        failed = error_type.map(lambda name: "error" if name else "")
        otlp = code.map(lambda word: {"Ok": "ok", "Error": "error"}.get(word, "unset"))
        said = said.map(lambda status: status if status in STATUSES else "")
        return said.otherwise(control_flow).otherwise(failed).otherwise(otlp)


def _milliseconds(seconds: NDArray[np.float64]) -> NDArray[np.float32]:
    """0 for what is no time: absent, negative, or beyond thirty years."""
    return (np.where((seconds >= 0) & (seconds < 1e9), seconds, 0) * 1000).astype(np.float32)


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
    run, first = dense([tenant, trace])
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
