-- Storage behind open_spans: a row for each start record of a span (open = 1), and one that takes them all back when it
-- ends. Rows of a span that add up to 0 are dropped when parts are merged.
CREATE TABLE IF NOT EXISTS open_span_marks
(
    tenant_id       LowCardinality(String),
    trace_id        String CODEC(ZSTD(1)),
    span_id         String CODEC(ZSTD(1)),
    parent_span_id  SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    name            SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    op              SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    agent_name      SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    service_name    SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    conversation_id SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    user_id         SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    tool_name       SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    args_hash       SimpleAggregateFunction(max, UInt128) CODEC(ZSTD(1)),
    step_kind       SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    gate_name       SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    gate_kind       SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    started_at      DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    last_seen_at    SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(Delta, ZSTD(1)),
    open            Int64 DEFAULT 1
)
ENGINE = SummingMergeTree(open)
PARTITION BY toDate(started_at)
ORDER BY (tenant_id, trace_id, span_id)
TTL toDateTime(started_at) + toIntervalDay($spans_ttl_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
