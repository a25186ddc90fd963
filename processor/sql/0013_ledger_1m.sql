-- What arrived and what became of it, per minute of arrival. Every row adds up by itself:
-- received = stored + sampled_out + rejected + dead_letter. Read it with sum().
CREATE TABLE IF NOT EXISTS ledger_1m
(
    minute      DateTime('UTC') CODEC(Delta, ZSTD(1)),
    tenant_id   LowCardinality(String),
    signal      LowCardinality(String) COMMENT 'traces',
    reason      LowCardinality(String) COMMENT 'why rejected; empty for accepted spans',
    received    SimpleAggregateFunction(sum, Int64),
    stored      SimpleAggregateFunction(sum, Int64),
    sampled_out SimpleAggregateFunction(sum, Int64),
    rejected    SimpleAggregateFunction(sum, Int64),
    dead_letter SimpleAggregateFunction(sum, Int64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(minute)
ORDER BY (tenant_id, minute, signal, reason)
TTL minute + toIntervalDay($runs_ttl_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
