-- What counts by a span where a more complete copy of it tells its tokens: reason `completed`. And reason `rollup`: spans
-- below tell the usage of an agent, a workflow or a step, which counted until they came.
ALTER TABLE span_corrections
    ADD COLUMN IF NOT EXISTS input_tokens Nullable(UInt64) COMMENT 'tokens that count; NULL where they are as in otel_traces' AFTER pricing_version,
    ADD COLUMN IF NOT EXISTS output_tokens Nullable(UInt64) AFTER input_tokens,
    ADD COLUMN IF NOT EXISTS cache_read_tokens Nullable(UInt64) AFTER output_tokens,
    ADD COLUMN IF NOT EXISTS cache_write_tokens Nullable(UInt64) AFTER cache_read_tokens,
    ADD COLUMN IF NOT EXISTS reasoning_tokens Nullable(UInt64) AFTER cache_write_tokens,
    ADD COLUMN IF NOT EXISTS usage_estimated Nullable(Bool) COMMENT 'likewise' AFTER reasoning_tokens
