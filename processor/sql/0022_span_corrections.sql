-- A price that came later: reason `repriced`. Other verdicts leave these as they are in otel_traces.
ALTER TABLE span_corrections
    ADD COLUMN IF NOT EXISTS computed_cost_usd Decimal(18, 9) COMMENT 'where pricing_version is not empty' AFTER cost_usd,
    ADD COLUMN IF NOT EXISTS pricing_version LowCardinality(String) COMMENT 'price table of a later price; empty if there is none' AFTER cost_source
