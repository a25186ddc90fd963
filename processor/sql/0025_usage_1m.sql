ALTER TABLE usage_1m
    ADD COLUMN IF NOT EXISTS calls_without_usage SimpleAggregateFunction(sum, Int64) COMMENT 'of unpriced_calls, those that told no tokens: no price would help' AFTER unpriced_calls
