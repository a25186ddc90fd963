-- What a call is billed by beside its tokens, and what the price table says of it beside a cost that was reported.
--
-- What the window of a model call was made of: its input tokens by what they said, told from the lengths of the texts, so
-- the five parts add up to InputTokens where content was recorded (else all are 0). Repeated: in blocks that the same
-- window holds twice. Reread: in blocks that an earlier call of the run had in its window too. Window: the largest prompt
-- the model takes, 0 where that is not known; utilisation: which part of it the prompt took.
ALTER TABLE otel_traces
    ADD COLUMN IF NOT EXISTS ServiceTier LowCardinality(String) COMMENT 'as the provider calls it; empty or default: the standard one' AFTER ResponseModel,
    ADD COLUMN IF NOT EXISTS CacheWrite1hTokens UInt64 COMMENT 'of CacheWriteTokens, kept for an hour' CODEC(T64, ZSTD(1)) AFTER ReasoningTokens,
    ADD COLUMN IF NOT EXISTS InputAudioTokens UInt64 COMMENT 'of InputTokens' CODEC(T64, ZSTD(1)) AFTER CacheWrite1hTokens,
    ADD COLUMN IF NOT EXISTS OutputAudioTokens UInt64 COMMENT 'of OutputTokens' CODEC(T64, ZSTD(1)) AFTER InputAudioTokens,
    ADD COLUMN IF NOT EXISTS CacheReadAudioTokens UInt64 COMMENT 'of CacheReadTokens' CODEC(T64, ZSTD(1)) AFTER OutputAudioTokens,
    ADD COLUMN IF NOT EXISTS UsageEstimated Bool COMMENT 'the tokens are a guess: told from the length of the text, here or by the sender' AFTER UsageScope,
    ADD COLUMN IF NOT EXISTS ComputedCostUsd Decimal(18, 9) COMMENT 'what the price table says of the usage, wherever it counts and whatever was reported; 0 if nothing' CODEC(ZSTD(1)) AFTER CostUsd,
    ADD COLUMN IF NOT EXISTS ContextSystemTokens     UInt64 CODEC(T64, ZSTD(1)) AFTER ReasoningTokens,
    ADD COLUMN IF NOT EXISTS ContextToolsTokens      UInt64 CODEC(T64, ZSTD(1)) AFTER ContextSystemTokens,
    ADD COLUMN IF NOT EXISTS ContextUserTokens       UInt64 CODEC(T64, ZSTD(1)) AFTER ContextToolsTokens,
    ADD COLUMN IF NOT EXISTS ContextHistoryTokens    UInt64 CODEC(T64, ZSTD(1)) AFTER ContextUserTokens,
    ADD COLUMN IF NOT EXISTS ContextToolResultTokens UInt64 CODEC(T64, ZSTD(1)) AFTER ContextHistoryTokens,
    ADD COLUMN IF NOT EXISTS ContextRepeatedTokens   UInt64 CODEC(T64, ZSTD(1)) AFTER ContextToolResultTokens,
    ADD COLUMN IF NOT EXISTS ContextRereadTokens     UInt64 CODEC(T64, ZSTD(1)) AFTER ContextRepeatedTokens,
    ADD COLUMN IF NOT EXISTS ContextWindowTokens     UInt64 CODEC(T64, ZSTD(1)) AFTER ContextRereadTokens,
    ADD COLUMN IF NOT EXISTS ContextUtilisation      Float32 CODEC(ZSTD(1)) AFTER ContextWindowTokens
