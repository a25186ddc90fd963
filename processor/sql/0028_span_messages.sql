-- Messages of spans that came in log records: one row per record. Newer instrumentations send one record a call with all of
-- them, older ones a record a message.
CREATE TABLE IF NOT EXISTS span_messages
(
    tenant_id       LowCardinality(String),
    trace_id        String CODEC(ZSTD(1)),
    span_id         String CODEC(ZSTD(1)),
    at              DateTime64(9, 'UTC') COMMENT 'of the record' CODEC(Delta, ZSTD(1)),
    digest          UInt64 COMMENT 'of what it holds: a record sent again takes its own place' CODEC(ZSTD(1)),
    number          UInt32 COMMENT 'of the record in its request: the order of records of one time' CODEC(T64, ZSTD(1)),
    is_part         UInt8 COMMENT '1: one message of several records; 0: everything',
    input_messages  Array(UInt128) COMMENT 'hash in span_content, in order' CODEC(ZSTD(1)),
    output_messages Array(UInt128) COMMENT 'hash in span_content, in order' CODEC(ZSTD(1)),
    system_hash     UInt128 COMMENT 'hash in span_content; 0 = none' CODEC(ZSTD(1)),
    tools_hash      UInt128 COMMENT 'hash in span_content; 0 = none' CODEC(ZSTD(1)),
    version         UInt64 COMMENT 'when it arrived'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(at)
ORDER BY (tenant_id, trace_id, span_id, at, digest)
TTL toDateTime(at) + toIntervalDay($content_ttl_days)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
