-- One row per distinct message, argument or result.
CREATE VIEW IF NOT EXISTS span_content AS
SELECT tenant_id, hash, canonical_hash, kind, content, bytes, seen_at
FROM span_contents FINAL
