-- One row per loop found.
CREATE VIEW IF NOT EXISTS loops AS
SELECT
    tenant_id, trace_id, agent_name, pattern, period, repetitions, first_span_id, last_span_id, tool_name, fingerprint,
    started_at, last_seen_at, wasted_tokens, wasted_cost_usd, action
FROM loop_versions FINAL
