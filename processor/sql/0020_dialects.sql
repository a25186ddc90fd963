-- Which dialects spans came in, from before sampling: per day, sender and dialect. Read it with sum() and max().
-- dialect is empty where a span carries attributes as GenAI instrumentations write them, but none that is known wrote
-- it: signature then says which attributes, for somebody to make a dialect of. Plain spans are not counted.
CREATE TABLE IF NOT EXISTS dialects
(
    day          Date CODEC(Delta, ZSTD(1)),
    tenant_id    LowCardinality(String),
    service_name LowCardinality(String),
    scope_name   LowCardinality(String),
    dialect      LowCardinality(String),
    signature    String COMMENT 'scope and the telling attribute keys, numbers in them as N; empty for known dialects' CODEC(ZSTD(1)),
    spans        SimpleAggregateFunction(sum, Int64),
    last_seen_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'when one arrived'
)
ENGINE = AggregatingMergeTree
PARTITION BY day
ORDER BY (tenant_id, service_name, scope_name, dialect, signature)
TTL day + toIntervalDay($runs_ttl_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
