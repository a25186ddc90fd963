-- Storage behind span_content: messages, instructions, tool definitions, arguments and results, each once.
CREATE TABLE IF NOT EXISTS span_contents
(
    tenant_id      LowCardinality(String),
    hash           UInt128 COMMENT 'SipHash-2-4-128 of content, keyed per tenant',
    canonical_hash UInt128 COMMENT 'of role and parts, or of the canonical JSON; equal across dialects',
    kind           LowCardinality(String) COMMENT 'message, system, tools, arguments, result',
    content        String CODEC(ZSTD(3)),
    bytes          UInt64 CODEC(T64, ZSTD(1)),
    seen_at        DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    INDEX idx_canonical_hash canonical_hash TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(seen_at)
ORDER BY (tenant_id, hash)
TTL toDateTime(seen_at) + toIntervalDay($content_ttl_days)
SETTINGS non_replicated_deduplication_window = 10000
