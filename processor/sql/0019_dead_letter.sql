-- One row per refused or unstorable record that is still waiting.
CREATE VIEW IF NOT EXISTS dead_letter AS
SELECT tenant_id, id, `where`, reason, code, trace_id, span_id, batch, position, arrived_at, bytes
FROM dead_letters FINAL
