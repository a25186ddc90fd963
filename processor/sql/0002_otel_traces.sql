-- One row per kept span: the OpenTelemetry Collector exporter's columns, then clew's typed ones.
-- Written once; later verdicts are rows of span_corrections. Message text is in span_content.
CREATE TABLE IF NOT EXISTS otel_traces
(
    Timestamp            DateTime64(9) CODEC(Delta, ZSTD(1)),
    TraceId              String CODEC(ZSTD(1)),
    SpanId               String CODEC(ZSTD(1)),
    ParentSpanId         String CODEC(ZSTD(1)),
    TraceState           String CODEC(ZSTD(1)),
    SpanName             LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind             LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName          LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes   Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName            String CODEC(ZSTD(1)),
    ScopeVersion         String CODEC(ZSTD(1)),
    SpanAttributes       Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration             UInt64 COMMENT 'nanoseconds' CODEC(T64, ZSTD(1)),
    StatusCode           LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage        String CODEC(ZSTD(1)),
    Events Nested
    (
        Timestamp  DateTime64(9),
        Name       LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Links Nested
    (
        TraceId    String,
        SpanId     String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),

    TenantId             LowCardinality(String) DEFAULT 'default',
    Op                   LowCardinality(String),
    Dialect              LowCardinality(String),
    Framework            LowCardinality(String),
    Provider             LowCardinality(String),
    RequestModel         LowCardinality(String),
    ResponseModel        LowCardinality(String),
    AgentName            LowCardinality(String),
    AgentVersion         LowCardinality(String),
    AgentId              String CODEC(ZSTD(1)),
    AgentRunId           String CODEC(ZSTD(1)),
    ConversationId       String CODEC(ZSTD(1)),
    UserId               String CODEC(ZSTD(1)),
    InputTokens          UInt64 COMMENT 'inclusive of cache read and write' CODEC(T64, ZSTD(1)),
    OutputTokens         UInt64 COMMENT 'inclusive of reasoning' CODEC(T64, ZSTD(1)),
    CacheReadTokens      UInt64 CODEC(T64, ZSTD(1)),
    CacheWriteTokens     UInt64 CODEC(T64, ZSTD(1)),
    ReasoningTokens      UInt64 CODEC(T64, ZSTD(1)),
    UsageScope           LowCardinality(String) COMMENT 'own, rollup, duplicate or empty',
    CostUsd              Decimal(18, 9) COMMENT 'own cost; 0 on rollups and duplicates' CODEC(ZSTD(1)),
    CostSource           LowCardinality(String) COMMENT 'provider, sdk, gateway, computed, estimated, unpriced or empty',
    PricingVersion       LowCardinality(String) COMMENT 'price table that CostUsd was computed with',
    ToolName             LowCardinality(String),
    ToolCallId           String CODEC(ZSTD(1)),
    ArgsHash             UInt128 COMMENT 'canonical_hash in span_content; 0 = none' CODEC(ZSTD(1)),
    ResultHash           UInt128 COMMENT 'canonical_hash in span_content; 0 = none' CODEC(ZSTD(1)),
    InputMessages        Array(UInt128) COMMENT 'hash in span_content, in order' CODEC(ZSTD(1)),
    OutputMessages       Array(UInt128) COMMENT 'hash in span_content, in order' CODEC(ZSTD(1)),
    SystemHash           UInt128 COMMENT 'hash in span_content; 0 = none' CODEC(ZSTD(1)),
    ToolsHash            UInt128 COMMENT 'hash in span_content; 0 = none' CODEC(ZSTD(1)),
    StepKind             LowCardinality(String),
    StepIndex            UInt32 CODEC(T64, ZSTD(1)),
    Confidence           Nullable(Float32) CODEC(ZSTD(1)),
    GateName             LowCardinality(String),
    GateKind             LowCardinality(String),
    GatePhase            LowCardinality(String),
    GateOutcome          LowCardinality(String),
    GateSource           LowCardinality(String),
    GateActorType        LowCardinality(String),
    GateWaitMs           UInt64 CODEC(T64, ZSTD(1)),
    Status               LowCardinality(String) COMMENT 'ok, error, interrupted, cancelled or unset',
    ErrorType            LowCardinality(String),
    FinishReason         LowCardinality(String),
    TimeToFirstTokenMs   Float32 CODEC(ZSTD(1)),
    SampleWeight         Float64 DEFAULT 1 COMMENT 'adjusted count; 1 = kept with certainty' CODEC(ZSTD(1)),
    KeepReason           LowCardinality(String),
    IngestedAt           DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta, ZSTD(1)),

    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(Timestamp)
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
TTL toDateTime(Timestamp) + toIntervalDay($spans_ttl_days)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000
