-- What span_messages knows of one span. Of records that hold everything the newest that has something counts, of records of
-- one message each all do, in order.
CREATE DICTIONARY IF NOT EXISTS span_late_messages
(
    tenant_id       String,
    trace_id        String,
    span_id         String,
    input_messages  Array(UInt128),
    output_messages Array(UInt128),
    system_high     UInt64,
    system_low      UInt64,
    tools_high      UInt64,
    tools_low       UInt64
)
PRIMARY KEY tenant_id, trace_id, span_id
SOURCE(CLICKHOUSE(QUERY 'SELECT tenant_id, trace_id, span_id,
    if(countIf(is_part = 0 AND notEmpty(input_messages)) > 0,
        argMaxIf(input_messages, at, is_part = 0 AND notEmpty(input_messages)),
        arrayFlatten(arrayMap(part -> part.3, arraySort(groupArrayIf((at, number, input_messages), is_part = 1))))) AS input_messages,
    if(countIf(is_part = 0 AND notEmpty(output_messages)) > 0,
        argMaxIf(output_messages, at, is_part = 0 AND notEmpty(output_messages)),
        arrayFlatten(arrayMap(part -> part.3, arraySort(groupArrayIf((at, number, output_messages), is_part = 1))))) AS output_messages,
    argMaxIf(system_hash, at, system_hash != 0) AS system, argMaxIf(tools_hash, at, tools_hash != 0) AS tools,
    toUInt64(bitShiftRight(system, 64)) AS system_high, toUInt64(system) AS system_low,
    toUInt64(bitShiftRight(tools, 64)) AS tools_high, toUInt64(tools) AS tools_low
    FROM $database.span_messages FINAL WHERE {condition} GROUP BY tenant_id, trace_id, span_id'))
LAYOUT(COMPLEX_KEY_DIRECT())
