-- Spans of the run that are open, as far as start records tell.
ALTER TABLE run_deltas
    ADD COLUMN IF NOT EXISTS open_spans SimpleAggregateFunction(sum, Int64) AFTER gate_wait_ms
