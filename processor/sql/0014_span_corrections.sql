-- A later verdict about a span that is already in otel_traces: the latest version counts.
CREATE TABLE IF NOT EXISTS span_corrections
(
    tenant_id   LowCardinality(String),
    trace_id    String CODEC(ZSTD(1)),
    span_id     String CODEC(ZSTD(1)),
    usage_scope LowCardinality(String),
    cost_usd    Decimal(18, 9),
    cost_source LowCardinality(String),
    reason      LowCardinality(String) COMMENT 'duplicate: a better copy of the same call came later; reinstated: it is the better copy after all',
    version     UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(fromUnixTimestamp64Nano(toInt64(version)))
ORDER BY (tenant_id, trace_id, span_id)
TTL toDateTime(fromUnixTimestamp64Nano(toInt64(version))) + toIntervalDay($spans_ttl_days)
SETTINGS non_replicated_deduplication_window = 10000
