-- Text by hash, looked up directly in span_contents. Keys are 64-bit halves: the engine writes a UInt128 key of a
-- dictionary's query as a number that it then reads back as a float.
CREATE DICTIONARY IF NOT EXISTS span_content_text
(
    tenant_id String,
    high      UInt64,
    low       UInt64,
    content   String
)
PRIMARY KEY tenant_id, high, low
SOURCE(CLICKHOUSE(QUERY 'SELECT tenant_id, toUInt64(bitShiftRight(hash, 64)) AS high, toUInt64(hash) AS low, content FROM $database.span_contents WHERE {condition}'))
LAYOUT(COMPLEX_KEY_DIRECT())
