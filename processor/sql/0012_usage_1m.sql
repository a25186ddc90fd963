-- Exact usage per minute (the minute in which the span ended), from before sampling. Read it with sum().
-- Only GenAI and clew spans; duplicates are not counted; tokens and cost are those of own usage.
-- duration_buckets: count per bucket i of the span's duration d in seconds, i = floor(8 * log2(d)), so a bucket is
-- 9 % wide and its middle is exp2((i + 0.5) / 8).
CREATE TABLE IF NOT EXISTS usage_1m
(
    minute             DateTime('UTC') CODEC(Delta, ZSTD(1)),
    tenant_id          LowCardinality(String),
    service_name       LowCardinality(String),
    agent_name         LowCardinality(String),
    agent_version      LowCardinality(String),
    provider           LowCardinality(String),
    model              LowCardinality(String) COMMENT 'response model, else request model',
    tool_name          LowCardinality(String),
    op                 LowCardinality(String),
    calls              SimpleAggregateFunction(sum, Int64),
    errors             SimpleAggregateFunction(sum, Int64),
    input_tokens       SimpleAggregateFunction(sum, Int64),
    output_tokens      SimpleAggregateFunction(sum, Int64),
    cache_read_tokens  SimpleAggregateFunction(sum, Int64),
    cache_write_tokens SimpleAggregateFunction(sum, Int64),
    reasoning_tokens   SimpleAggregateFunction(sum, Int64),
    cost_usd           SimpleAggregateFunction(sum, Decimal(38, 9)),
    unpriced_calls     SimpleAggregateFunction(sum, Int64),
    duration_buckets   SimpleAggregateFunction(sumMap, Map(Int16, Int64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(minute)
ORDER BY (tenant_id, minute, service_name, agent_name, agent_version, provider, model, tool_name, op)
TTL minute + toIntervalDay($runs_ttl_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
