-- otel_traces with later verdicts applied and the text of messages back in SpanAttributes; a span without messages has those
-- that came in log records. Ask it for few spans at a time (a trace, a page): every message is looked up. Arguments and
-- results are those of an equal call: the same JSON, perhaps spelled differently.
CREATE OR REPLACE VIEW otel_traces_full AS
WITH
    (tenant, hashes) -> '[' || arrayStringConcat(arrayMap(
        hash -> dictGet('$database.span_content_text', 'content', (tenant, toUInt64(bitShiftRight(hash, 64)), toUInt64(hash))),
        hashes), ',') || ']' AS messages,
    (tenant, hash) -> dictGet('$database.span_content_text', 'content',
        (tenant, toUInt64(bitShiftRight(hash, 64)), toUInt64(hash))) AS text,
    (tenant, hash) -> dictGet('$database.span_content_canonical_text', 'content',
        (tenant, toUInt64(bitShiftRight(hash, 64)), toUInt64(hash))) AS canonical_text,
    (high, low) -> bitOr(bitShiftLeft(toUInt128(high), 64), toUInt128(low)) AS hash_of,
    dictGet('$database.span_late_messages',
        ('input_messages', 'output_messages', 'system_high', 'system_low', 'tools_high', 'tools_low'),
        (toString(span.TenantId), span.TraceId, span.SpanId)) AS late,
    if(empty(span.InputMessages), late.1, span.InputMessages) AS input_messages,
    if(empty(span.OutputMessages), late.2, span.OutputMessages) AS output_messages,
    if(span.SystemHash = 0, hash_of(late.3, late.4), span.SystemHash) AS system_hash,
    if(span.ToolsHash = 0, hash_of(late.5, late.6), span.ToolsHash) AS tools_hash
SELECT span.* REPLACE (
    CAST(if(verdict.version > 0, verdict.usage_scope, span.UsageScope), 'LowCardinality(String)') AS UsageScope,
    if(verdict.version > 0, verdict.cost_usd, span.CostUsd) AS CostUsd,
    ifNull(verdict.input_tokens, span.InputTokens) AS InputTokens,
    ifNull(verdict.output_tokens, span.OutputTokens) AS OutputTokens,
    ifNull(verdict.cache_read_tokens, span.CacheReadTokens) AS CacheReadTokens,
    ifNull(verdict.cache_write_tokens, span.CacheWriteTokens) AS CacheWriteTokens,
    ifNull(verdict.reasoning_tokens, span.ReasoningTokens) AS ReasoningTokens,
    ifNull(verdict.usage_estimated, span.UsageEstimated) AS UsageEstimated,
    CAST(if(verdict.version > 0, verdict.cost_source, span.CostSource), 'LowCardinality(String)') AS CostSource,
    if(verdict.pricing_version != '', verdict.computed_cost_usd, span.ComputedCostUsd) AS ComputedCostUsd,
    CAST(if(verdict.pricing_version != '', verdict.pricing_version, span.PricingVersion), 'LowCardinality(String)') AS PricingVersion,
    input_messages AS InputMessages,
    output_messages AS OutputMessages,
    system_hash AS SystemHash,
    tools_hash AS ToolsHash,
    CAST(mapUpdate(span.SpanAttributes, mapFilter((key, value) -> value NOT IN ('', '[]'), map(
        'gen_ai.input.messages', messages(toString(span.TenantId), input_messages),
        'gen_ai.output.messages', messages(toString(span.TenantId), output_messages),
        'gen_ai.system_instructions', text(toString(span.TenantId), system_hash),
        'gen_ai.tool.definitions', text(toString(span.TenantId), tools_hash),
        'gen_ai.tool.call.arguments', canonical_text(toString(span.TenantId), span.ArgsHash),
        'gen_ai.tool.call.result', canonical_text(toString(span.TenantId), span.ResultHash)
    ))), 'Map(LowCardinality(String), String)') AS SpanAttributes
)
FROM otel_traces AS span
LEFT JOIN (SELECT * FROM span_corrections FINAL) AS verdict
    ON verdict.tenant_id = span.TenantId AND verdict.trace_id = span.TraceId AND verdict.span_id = span.SpanId
