-- Costs that were reported beside what the price table says of the same calls, by day and model. Of kept spans only:
-- with sampling these are not all calls.
CREATE VIEW IF NOT EXISTS cost_differences AS
SELECT
    toDate(span.Timestamp) AS day,
    span.TenantId AS tenant_id,
    span.Provider AS provider,
    if(span.ResponseModel != '', span.ResponseModel, span.RequestModel) AS model,
    if(verdict.version > 0, verdict.cost_source, span.CostSource) AS cost_source,
    count() AS calls,
    sum(toDecimal128(if(verdict.version > 0, verdict.cost_usd, span.CostUsd), 9)) AS reported_usd,
    sum(toDecimal128(span.ComputedCostUsd, 9)) AS computed_usd,
    countIf(span.ComputedCostUsd = 0) AS calls_without_price,
    sumIf(toDecimal128(if(verdict.version > 0, verdict.cost_usd, span.CostUsd), 9) - toDecimal128(span.ComputedCostUsd, 9),
        span.ComputedCostUsd > 0) AS difference_usd
FROM otel_traces AS span
LEFT JOIN (SELECT * FROM span_corrections FINAL) AS verdict
    ON verdict.tenant_id = span.TenantId AND verdict.trace_id = span.TraceId AND verdict.span_id = span.SpanId
WHERE if(verdict.version > 0, verdict.usage_scope, span.UsageScope) = 'own'
    AND span.PricingVersion = '' AND verdict.pricing_version = ''
    AND if(verdict.version > 0, verdict.cost_source, span.CostSource) NOT IN ('', 'unpriced')
GROUP BY day, tenant_id, provider, model, cost_source
