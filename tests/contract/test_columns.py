"""Tables and columns that users, dashboards and other tools hold on to: there, with the type promised."""

from __future__ import annotations

import re

import pytest

from shared.engine import fresh_store
from shared.genai import chat
from shared.otlp import log, logs_request, request
from shared.pipeline import Recorder, arrived, arrived_logs, new_pipeline

LOW = "LowCardinality(String)"
ATTRIBUTES = "Map(LowCardinality(String), String)"

#: What the OpenTelemetry Collector's ClickHouse exporter makes, in its order (Nested columns as arrays).
COLLECTOR = {
    "Timestamp": "DateTime64(9)",
    "TraceId": "String",
    "SpanId": "String",
    "ParentSpanId": "String",
    "TraceState": "String",
    "SpanName": LOW,
    "SpanKind": LOW,
    "ServiceName": LOW,
    "ResourceAttributes": ATTRIBUTES,
    "ScopeName": "String",
    "ScopeVersion": "String",
    "SpanAttributes": ATTRIBUTES,
    "Duration": "UInt64",
    "StatusCode": LOW,
    "StatusMessage": "String",
    "Events.Timestamp": "Array(DateTime64(9))",
    "Events.Name": "Array(LowCardinality(String))",
    "Events.Attributes": f"Array({ATTRIBUTES})",
    "Links.TraceId": "Array(String)",
    "Links.SpanId": "Array(String)",
    "Links.TraceState": "Array(String)",
    "Links.Attributes": f"Array({ATTRIBUTES})",
}

#: The same of its logs.
COLLECTOR_LOGS = {
    "Timestamp": "DateTime64(9)",
    "TimestampTime": "DateTime",
    "TraceId": "String",
    "SpanId": "String",
    "TraceFlags": "UInt8",
    "SeverityText": LOW,
    "SeverityNumber": "UInt8",
    "ServiceName": LOW,
    "Body": "String",
    "ResourceSchemaUrl": LOW,
    "ResourceAttributes": ATTRIBUTES,
    "ScopeSchemaUrl": LOW,
    "ScopeName": "String",
    "ScopeVersion": LOW,
    "ScopeAttributes": ATTRIBUTES,
    "LogAttributes": ATTRIBUTES,
    "EventName": "String",
}

OURS = {
    **dict.fromkeys(("TenantId", "Op", "Dialect", "Framework", "Provider", "RequestModel", "ResponseModel"), LOW),
    **dict.fromkeys(("AgentName", "AgentVersion"), LOW),
    **dict.fromkeys(("AgentId", "AgentRunId", "ConversationId", "UserId"), "String"),
    **dict.fromkeys(
        ("InputTokens", "OutputTokens", "CacheReadTokens", "CacheWriteTokens", "ReasoningTokens"), "UInt64"
    ),
    **dict.fromkeys(("CacheWrite1hTokens", "InputAudioTokens", "OutputAudioTokens", "CacheReadAudioTokens"), "UInt64"),
    "ServiceTier": LOW,
    "UsageScope": LOW,
    "UsageEstimated": "Bool",
    "CostUsd": "Decimal(18, 9)",
    "ComputedCostUsd": "Decimal(18, 9)",
    "PricingVersion": LOW,
    "CostSource": LOW,
    "ToolName": LOW,
    "ToolCallId": "String",
    **dict.fromkeys(("ArgsHash", "ResultHash"), "UInt128"),
    **dict.fromkeys(("InputMessages", "OutputMessages"), "Array(UInt128)"),
    **dict.fromkeys(("SystemHash", "ToolsHash"), "UInt128"),
    "StepKind": LOW,
    "StepIndex": "UInt32",
    "Confidence": "Nullable(Float32)",
    **dict.fromkeys(("GateName", "GateKind", "GatePhase", "GateOutcome", "GateSource", "GateActorType"), LOW),
    "GateWaitMs": "UInt64",
    **dict.fromkeys(("Status", "ErrorType", "FinishReason"), LOW),
    "TimeToFirstTokenMs": "Float32",
    "SampleWeight": "Float64",
    "KeepReason": LOW,
    "IngestedAt": "DateTime64(3)",
}

#: Columns each of our own tables must have.
TABLES = {
    "runs": """
        tenant_id trace_id agent_name agent_version conversation_id user_id service_name started_at ended_at duration_ms
        status outcome outcome_score steps model_calls tool_calls errors retries input_tokens output_tokens
        cache_read_tokens cache_write_tokens cost_usd loops loop_cost_usd gates gates_denied gate_wait_ms sampled""",
    "loops": """
        tenant_id trace_id agent_name pattern period repetitions first_span_id last_span_id tool_name fingerprint
        started_at last_seen_at wasted_tokens wasted_cost_usd action""",
    "gates": """
        tenant_id trace_id span_id agent_name gate_name kind phase outcome source actor_type requested_at decided_at
        wait_ms target_kind target_id""",
    "open_spans": "tenant_id trace_id span_id parent_span_id name op agent_name started_at last_seen_at",
    "usage_1m": """
        minute tenant_id service_name agent_name agent_version provider model tool_name op calls errors input_tokens
        output_tokens cache_read_tokens cache_write_tokens reasoning_tokens cost_usd duration_buckets""",
    "span_corrections": """
        tenant_id trace_id span_id usage_scope cost_usd computed_cost_usd cost_source pricing_version reason version""",
    "cost_differences": """
        day tenant_id provider model cost_source calls reported_usd computed_usd calls_without_price difference_usd""",
    "unpriced_models": "tenant_id provider model calls input_tokens output_tokens first_seen last_seen",
    "ledger_1m": "minute tenant_id signal reason received stored sampled_out rejected dead_letter",
    "dialects": "day tenant_id service_name scope_name dialect signature spans last_seen_at",
    "span_content": "tenant_id hash canonical_hash kind content bytes seen_at",
    "dead_letter": "reason where bytes",
    "schema_migrations": "version name checksum applied_at",
}

TYPES = {
    ("usage_1m", "cost_usd"): "Decimal(38, 9)",
    ("runs", "cost_usd"): "Decimal(38, 9)",
    ("runs", "loop_cost_usd"): "Decimal(38, 9)",
    ("loops", "wasted_cost_usd"): "Decimal(38, 9)",
    ("loops", "fingerprint"): "UInt128",
    ("span_content", "hash"): "UInt128",
    ("span_content", "canonical_hash"): "UInt128",
    ("span_corrections", "cost_usd"): "Decimal(18, 9)",
    ("cost_differences", "reported_usd"): "Decimal(38, 9)",
    ("cost_differences", "difference_usd"): "Decimal(38, 9)",
    **{
        (table, column): "Int64"
        for table, columns in {
            "usage_1m": "calls errors input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens",
            "runs": "steps model_calls tool_calls errors retries input_tokens output_tokens loops gates gates_denied",
            "ledger_1m": "received stored sampled_out rejected dead_letter",
            "dialects": "spans",
            "loops": "wasted_tokens",
        }.items()
        for column in columns.split()
    },
}


@pytest.fixture(scope="module")
def columns() -> dict[str, dict[str, str]]:
    """Table -> column -> type: without a time zone, and without the aggregate function around it."""
    rows = (
        fresh_store()
        .client.query(
            "SELECT table, name, type FROM system.columns WHERE database = currentDatabase() ORDER BY table, position"
        )
        .result_rows
    )
    found: dict[str, dict[str, str]] = {}
    for table, name, kind in rows:
        plain = re.sub(r"^SimpleAggregateFunction\(\w+, (.*)\)$", r"\1", kind)
        found.setdefault(table, {})[name] = re.sub(r"(DateTime64\(\d), 'UTC'", r"\1", plain)
    return found


def test_otel_traces_begins_with_the_collectors_columns(columns):
    assert list(columns["otel_traces"].items())[: len(COLLECTOR)] == list(COLLECTOR.items())


def test_otel_logs_begins_with_the_collectors_columns(columns):
    assert list(columns["otel_logs"].items()) == [*COLLECTOR_LOGS.items(), ("TenantId", LOW)]


def test_otel_traces_has_every_column_of_ours(columns):
    assert {name: columns["otel_traces"].get(name) for name in OURS} == OURS


def test_a_stock_collector_can_write_to_it():
    """It names its own columns and leaves ours to their defaults."""
    store = fresh_store()
    store.client.command(
        "INSERT INTO otel_traces (Timestamp, TraceId, SpanName) VALUES ('2026-01-02 03:04:05', 'ab', 'x')"
    )
    assert store.client.query("SELECT TenantId, SampleWeight, UsageScope, CostUsd FROM otel_traces").result_rows == [
        ("default", 1.0, "", 0)
    ]
    assert store.client.query("SELECT TraceId FROM otel_traces_trace_id_ts").result_rows == [("ab",)]
    store.client.command("INSERT INTO otel_logs (Timestamp, Body) VALUES ('2026-01-02 03:04:05.678', 'x')")
    assert store.client.query("SELECT TenantId, toString(TimestampTime) FROM otel_logs").result_rows == [
        ("default", "2026-01-02 03:04:05")
    ]


def test_the_companion_for_lookups_by_trace_is_there(columns):
    assert columns["otel_traces_trace_id_ts"] == {"TraceId": "String", "Start": "DateTime", "End": "DateTime"}


@pytest.mark.parametrize("table", TABLES)
def test_our_own_tables_have_what_they_must(columns, table):
    assert set(TABLES[table].split()) <= columns[table].keys()


def test_whole_numbers_and_money_have_the_types_that_add_up(columns):
    assert {key: columns[key[0]][key[1]] for key in TYPES} == TYPES


def test_every_column_is_written_and_nothing_else(columns):
    """A column forgotten would silently hold its default; one too many would refuse the insert."""
    sink = Recorder()
    pipeline = new_pipeline(sink)
    for number in (2, 1):
        pipeline.process([arrived(request(chat(number, tokens={"input": 1}, response="r", asks=[("t", {})])))])
    details = {"gen_ai.input.messages": "[{}]"}
    named = {"event_name": "gen_ai.client.inference.operation.details", "trace_id": 1, "span_id": 1}
    pipeline.process([arrived_logs(logs_request(log("hello", details, **named)))])
    assert {*sink.tables["otel_logs"][-1].column_names, "TimestampTime"} == columns["otel_logs"].keys()
    for table in (
        "span_messages",
        "otel_traces",
        "span_contents",
        "run_deltas",
        "usage_1m",
        "ledger_1m",
        "span_corrections",
        "dialects",
    ):
        assert set(sink.tables[table][-1].column_names) == columns[table].keys(), table
