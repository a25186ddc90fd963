-- Models that nobody has told a price of: some of their calls told tokens and have no cost. Tokens are those of the
-- minutes in which there was such a call. A price that comes later, and `clew reprice`, take a model off.
CREATE VIEW IF NOT EXISTS unpriced_models AS
SELECT
    tenant_id,
    provider,
    model,
    sum(unpriced) AS calls,
    sum(minute_input_tokens) AS input_tokens,
    sum(minute_output_tokens) AS output_tokens,
    min(minute) AS first_seen,
    max(minute) AS last_seen
FROM
(
    SELECT
        tenant_id,
        provider,
        model,
        minute,
        sum(usage_1m.unpriced_calls) - sum(usage_1m.calls_without_usage) AS unpriced,
        sum(usage_1m.input_tokens) AS minute_input_tokens,
        sum(usage_1m.output_tokens) AS minute_output_tokens
    FROM usage_1m
    GROUP BY tenant_id, provider, model, minute
    HAVING unpriced > 0
)
GROUP BY tenant_id, provider, model
