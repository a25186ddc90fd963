-- Storage behind loops: each growth of a loop is a newer version; one that late spans disprove is deleted.
CREATE TABLE IF NOT EXISTS loop_versions
(
    tenant_id       LowCardinality(String),
    trace_id        String CODEC(ZSTD(1)),
    agent_name      LowCardinality(String),
    pattern         LowCardinality(String) COMMENT 'clew.loop.pattern, e.g. same_call',
    period          UInt32 COMMENT 'calls in one repetition',
    repetitions     UInt32,
    first_span_id   String CODEC(ZSTD(1)),
    last_span_id    String CODEC(ZSTD(1)),
    tool_name       LowCardinality(String),
    fingerprint     UInt128 COMMENT 'canonical hash of the arguments',
    started_at      DateTime64(9, 'UTC') COMMENT 'start of the first repetition',
    last_seen_at    DateTime64(9, 'UTC') COMMENT 'start of the last repetition',
    wasted_tokens   Int64 COMMENT 'input and output tokens of the model calls that led to repetitions 2 and later',
    wasted_cost_usd Decimal(38, 9),
    action          LowCardinality(String) COMMENT 'what was done about it: none',
    version         UInt64,
    deleted         UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
PARTITION BY toDate(started_at)
ORDER BY (tenant_id, trace_id, pattern, first_span_id)
TTL toDateTime(started_at) + toIntervalDay($runs_ttl_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
