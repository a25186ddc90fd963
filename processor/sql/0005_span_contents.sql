-- Storage behind span_content: messages, instructions, tool definitions, arguments and results, each once.
-- Sorted by the upper half of the hash first, because a dictionary can only look up 64-bit numbers (span_content_text).
CREATE TABLE IF NOT EXISTS span_contents
(
    tenant_id      LowCardinality(String),
    hash           UInt128 COMMENT 'HighwayHash-128 of content, keyed per tenant',
    canonical_hash UInt128 COMMENT 'of role and parts, or of the canonical JSON; equal across dialects',
    kind           LowCardinality(String) COMMENT 'message, system, tools, arguments, result',
    content        String CODEC(ZSTD(3)),
    bytes          UInt64 CODEC(T64, ZSTD(1)),
    seen_at        DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    INDEX idx_hash hash TYPE minmax GRANULARITY 1,
    INDEX idx_canonical_hash canonical_hash TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_canonical_high toUInt64(bitShiftRight(canonical_hash, 64)) TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(seen_at)
ORDER BY (tenant_id, toUInt64(bitShiftRight(hash, 64)), hash)
TTL toDateTime(seen_at) + toIntervalDay($content_ttl_days)
SETTINGS non_replicated_deduplication_window = 10000
