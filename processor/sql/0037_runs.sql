-- One row per run (trace), current while it runs; a run is there from its first start record on.
CREATE OR REPLACE VIEW runs AS
SELECT
    tenant_id,
    trace_id,
    tupleElement(min(run_deltas.agent), 2) AS agent_name,
    tupleElement(min(run_deltas.agent), 3) AS agent_version,
    max(run_deltas.conversation_id) AS conversation_id,
    max(run_deltas.user_id) AS user_id,
    tupleElement(min(run_deltas.root), 3) AS service_name,
    min(run_deltas.started_at) AS started_at,
    max(run_deltas.ended_at) AS ended_at,
    dateDiff('millisecond', min(run_deltas.started_at), max(run_deltas.ended_at)) AS duration_ms,
    multiIf(
        tupleElement(min(run_deltas.root), 1) = 0, tupleElement(min(run_deltas.root), 4),
        sum(run_deltas.open_spans) > 0, 'running',
        tupleElement(min(run_deltas.agent), 4) != '', tupleElement(min(run_deltas.agent), 4),
        'running') AS status,
    tupleElement(max(run_deltas.outcome), 3) AS outcome,
    if(tupleElement(max(run_deltas.outcome), 4) < 0, NULL, tupleElement(max(run_deltas.outcome), 4)) AS outcome_score,
    if(sum(run_deltas.step_spans) > 0, sum(run_deltas.step_spans), sum(run_deltas.model_calls)) AS steps,
    sum(run_deltas.model_calls) AS model_calls,
    if(sum(run_deltas.tool_calls) > 0, sum(run_deltas.tool_calls), sum(run_deltas.requested_tool_calls)) AS tool_calls,
    sum(run_deltas.errors) AS errors,
    sum(run_deltas.retries) AS retries,
    sum(run_deltas.input_tokens) AS input_tokens,
    sum(run_deltas.output_tokens) AS output_tokens,
    sum(run_deltas.cache_read_tokens) AS cache_read_tokens,
    sum(run_deltas.cache_write_tokens) AS cache_write_tokens,
    sum(run_deltas.reasoning_tokens) AS reasoning_tokens,
    sum(run_deltas.cost_usd) AS cost_usd,
    multiIf(
        sum(run_deltas.model_calls) = 0 AND sum(run_deltas.agent_spans) > 0
            AND sum(run_deltas.input_tokens) + sum(run_deltas.output_tokens) = 0, 'missing',
        sum(run_deltas.calls_without_usage) > 0, 'partial',
        'complete') AS usage_known,
    sum(run_deltas.unpriced_calls) AS unpriced_calls,
    sum(run_deltas.loops) AS loops,
    sum(run_deltas.loop_tokens) AS loop_tokens,
    sum(run_deltas.loop_cost_usd) AS loop_cost_usd,
    sum(run_deltas.gates) AS gates,
    sum(run_deltas.gates_denied) AS gates_denied,
    sum(run_deltas.gate_wait_ms) AS gate_wait_ms,
    sum(run_deltas.spans) AS spans,
    greatest(sum(run_deltas.open_spans), 0) AS open_spans,
    max(run_deltas.sampled) AS sampled,
    max(run_deltas.updated_at) AS updated_at
FROM run_deltas
GROUP BY tenant_id, trace_id
HAVING sum(run_deltas.spans) > 0 OR sum(run_deltas.open_spans) > 0
