-- One row per gate decision.
CREATE TABLE IF NOT EXISTS gates
(
    tenant_id    LowCardinality(String),
    trace_id     String CODEC(ZSTD(1)),
    span_id      String CODEC(ZSTD(1)),
    agent_name   LowCardinality(String),
    service_name LowCardinality(String),
    gate_name    LowCardinality(String),
    kind         LowCardinality(String) COMMENT 'guardrail, policy, human, budget, sandbox, hook, classifier',
    phase        LowCardinality(String),
    outcome      LowCardinality(String) COMMENT 'allow, deny, modify, warn, require_approval, timeout, abort, unknown',
    source       LowCardinality(String),
    actor_type   LowCardinality(String),
    reason       String CODEC(ZSTD(1)),
    requested_at DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    decided_at   DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    wait_ms      UInt64 CODEC(T64, ZSTD(1)),
    target_kind  LowCardinality(String),
    target_id    String CODEC(ZSTD(1)),
    INDEX idx_trace_id trace_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(requested_at)
ORDER BY (tenant_id, gate_name, requested_at)
TTL toDateTime(requested_at) + toIntervalDay($runs_ttl_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
