-- otel_traces with later verdicts applied and the text of messages back in SpanAttributes. Ask it for few spans at a
-- time (a trace, a page): every message is looked up. Arguments and results are those of an equal call: the same JSON,
-- perhaps spelled differently.
CREATE OR REPLACE VIEW otel_traces_full AS
WITH
    (tenant, hashes) -> '[' || arrayStringConcat(arrayMap(
        hash -> dictGet('$database.span_content_text', 'content', (tenant, toUInt64(bitShiftRight(hash, 64)), toUInt64(hash))),
        hashes), ',') || ']' AS messages,
    (tenant, hash) -> dictGet('$database.span_content_text', 'content',
        (tenant, toUInt64(bitShiftRight(hash, 64)), toUInt64(hash))) AS text,
    (tenant, hash) -> dictGet('$database.span_content_canonical_text', 'content',
        (tenant, toUInt64(bitShiftRight(hash, 64)), toUInt64(hash))) AS canonical_text
SELECT span.* REPLACE (
    CAST(if(verdict.version > 0, verdict.usage_scope, span.UsageScope), 'LowCardinality(String)') AS UsageScope,
    if(verdict.version > 0, verdict.cost_usd, span.CostUsd) AS CostUsd,
    CAST(if(verdict.version > 0, verdict.cost_source, span.CostSource), 'LowCardinality(String)') AS CostSource,
    if(verdict.pricing_version != '', verdict.computed_cost_usd, span.ComputedCostUsd) AS ComputedCostUsd,
    CAST(if(verdict.pricing_version != '', verdict.pricing_version, span.PricingVersion), 'LowCardinality(String)') AS PricingVersion,
    CAST(mapUpdate(span.SpanAttributes, mapFilter((key, value) -> value NOT IN ('', '[]'), map(
        'gen_ai.input.messages', messages(toString(span.TenantId), span.InputMessages),
        'gen_ai.output.messages', messages(toString(span.TenantId), span.OutputMessages),
        'gen_ai.system_instructions', text(toString(span.TenantId), span.SystemHash),
        'gen_ai.tool.definitions', text(toString(span.TenantId), span.ToolsHash),
        'gen_ai.tool.call.arguments', canonical_text(toString(span.TenantId), span.ArgsHash),
        'gen_ai.tool.call.result', canonical_text(toString(span.TenantId), span.ResultHash)
    ))), 'Map(LowCardinality(String), String)') AS SpanAttributes
)
FROM otel_traces AS span
LEFT JOIN (SELECT * FROM span_corrections FINAL) AS verdict
    ON verdict.tenant_id = span.TenantId AND verdict.trace_id = span.TraceId AND verdict.span_id = span.SpanId
