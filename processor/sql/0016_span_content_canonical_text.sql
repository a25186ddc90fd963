-- Text by canonical hash: arguments and results, of which spans keep only that hash.
CREATE DICTIONARY IF NOT EXISTS span_content_canonical_text
(
    tenant_id String,
    high      UInt64,
    low       UInt64,
    content   String
)
PRIMARY KEY tenant_id, high, low
SOURCE(CLICKHOUSE(QUERY 'SELECT tenant_id, toUInt64(bitShiftRight(canonical_hash, 64)) AS high, toUInt64(canonical_hash) AS low, any(content) AS content FROM $database.span_contents WHERE {condition} GROUP BY tenant_id, high, low'))
LAYOUT(COMPLEX_KEY_DIRECT())
