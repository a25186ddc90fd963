-- What a call is billed by beside its tokens, and what the price table says of it beside a cost that was reported.
ALTER TABLE otel_traces
    ADD COLUMN IF NOT EXISTS ServiceTier LowCardinality(String) COMMENT 'as the provider calls it; empty or default: the standard one' AFTER ResponseModel,
    ADD COLUMN IF NOT EXISTS CacheWrite1hTokens UInt64 COMMENT 'of CacheWriteTokens, kept for an hour' CODEC(T64, ZSTD(1)) AFTER ReasoningTokens,
    ADD COLUMN IF NOT EXISTS InputAudioTokens UInt64 COMMENT 'of InputTokens' CODEC(T64, ZSTD(1)) AFTER CacheWrite1hTokens,
    ADD COLUMN IF NOT EXISTS OutputAudioTokens UInt64 COMMENT 'of OutputTokens' CODEC(T64, ZSTD(1)) AFTER InputAudioTokens,
    ADD COLUMN IF NOT EXISTS CacheReadAudioTokens UInt64 COMMENT 'of CacheReadTokens' CODEC(T64, ZSTD(1)) AFTER OutputAudioTokens,
    ADD COLUMN IF NOT EXISTS UsageEstimated Bool COMMENT 'the tokens are a guess: told from the length of the text, here or by the sender' AFTER UsageScope,
    ADD COLUMN IF NOT EXISTS ComputedCostUsd Decimal(18, 9) COMMENT 'what the price table says of the usage, wherever it counts and whatever was reported; 0 if nothing' CODEC(ZSTD(1)) AFTER CostUsd
