-- Storage behind runs. Every batch adds one row per run it touched; sums add, the rest takes minima and maxima, so
-- the order and number of batches do not matter and nothing has to be remembered across a restart.
CREATE TABLE IF NOT EXISTS run_deltas
(
    day                Date COMMENT 'of arrival',
    tenant_id          LowCardinality(String),
    trace_id           String CODEC(ZSTD(1)),
    root               SimpleAggregateFunction(min, Tuple(not_root UInt8, start_ns Int64, service_name String, status String)),
    agent              SimpleAggregateFunction(min, Tuple(start_ns Int64, name String, version String, status String)),
    outcome            SimpleAggregateFunction(max, Tuple(strength UInt8, time_ns Int64, status String, score Float64)),
    conversation_id    SimpleAggregateFunction(max, String),
    user_id            SimpleAggregateFunction(max, String),
    started_at         SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
    ended_at           SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    updated_at         SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    sampled            SimpleAggregateFunction(max, UInt8),
    spans              SimpleAggregateFunction(sum, Int64),
    step_spans         SimpleAggregateFunction(sum, Int64),
    agent_spans        SimpleAggregateFunction(sum, Int64),
    model_calls        SimpleAggregateFunction(sum, Int64),
    calls_without_usage SimpleAggregateFunction(sum, Int64) COMMENT 'model calls that succeeded but told no tokens',
    tool_calls         SimpleAggregateFunction(sum, Int64),
    requested_tool_calls SimpleAggregateFunction(sum, Int64),
    errors             SimpleAggregateFunction(sum, Int64),
    retries            SimpleAggregateFunction(sum, Int64),
    input_tokens       SimpleAggregateFunction(sum, Int64),
    output_tokens      SimpleAggregateFunction(sum, Int64),
    cache_read_tokens  SimpleAggregateFunction(sum, Int64),
    cache_write_tokens SimpleAggregateFunction(sum, Int64),
    reasoning_tokens   SimpleAggregateFunction(sum, Int64),
    cost_usd           SimpleAggregateFunction(sum, Decimal(38, 9)),
    unpriced_calls     SimpleAggregateFunction(sum, Int64),
    loops              SimpleAggregateFunction(sum, Int64),
    loop_tokens        SimpleAggregateFunction(sum, Int64),
    loop_cost_usd      SimpleAggregateFunction(sum, Decimal(38, 9)),
    gates              SimpleAggregateFunction(sum, Int64),
    gates_denied       SimpleAggregateFunction(sum, Int64),
    gate_wait_ms       SimpleAggregateFunction(sum, Int64)
)
ENGINE = AggregatingMergeTree
PARTITION BY day
ORDER BY (tenant_id, trace_id, day)
TTL day + toIntervalDay($runs_ttl_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
