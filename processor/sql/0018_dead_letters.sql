-- Storage behind dead_letter. A letter has version 0; when its row has been stored after all, a row of version 1 marks it
-- as gone. Not partitioned, so that a repeated insert meets its token whatever the day.
CREATE TABLE IF NOT EXISTS dead_letters
(
    tenant_id  LowCardinality(String),
    `where`    LowCardinality(String) COMMENT 'table that refused the row; request: could not be processed',
    id         String COMMENT 'the same in every replay',
    reason     String CODEC(ZSTD(1)),
    code       UInt32 COMMENT 'of ClickHouse; 0 = it gave none',
    trace_id   String CODEC(ZSTD(1)),
    span_id    String CODEC(ZSTD(1)),
    batch      String CODEC(ZSTD(1)),
    position   String COMMENT 'partition and row in its batch' CODEC(ZSTD(1)),
    arrived_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    bytes      String COMMENT 'the row as an Arrow stream, or the request as it came' CODEC(ZSTD(3)),
    gone_in    String COMMENT 'batch that stored the row after all',
    version    UInt8,
    gone       UInt8
)
ENGINE = ReplacingMergeTree(version, gone)
ORDER BY (tenant_id, `where`, id)
TTL toDateTime(arrived_at) + toIntervalDay($spans_ttl_days)
SETTINGS non_replicated_deduplication_window = 10000
