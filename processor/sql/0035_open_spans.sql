-- One row per span known only by its start record; gone when the span ends. last_seen_at is when the processor was last
-- told that it is open: a process that lives says so every minute.
CREATE OR REPLACE VIEW open_spans AS
SELECT
    tenant_id,
    trace_id,
    span_id,
    max(open_span_marks.parent_span_id) AS parent_span_id,
    max(open_span_marks.name) AS name,
    max(open_span_marks.op) AS op,
    max(open_span_marks.agent_name) AS agent_name,
    max(open_span_marks.service_name) AS service_name,
    max(open_span_marks.conversation_id) AS conversation_id,
    max(open_span_marks.user_id) AS user_id,
    max(open_span_marks.tool_name) AS tool_name,
    max(open_span_marks.args_hash) AS args_hash,
    max(open_span_marks.step_kind) AS step_kind,
    max(open_span_marks.gate_name) AS gate_name,
    max(open_span_marks.gate_kind) AS gate_kind,
    min(open_span_marks.started_at) AS started_at,
    max(open_span_marks.last_seen_at) AS last_seen_at
FROM open_span_marks
GROUP BY tenant_id, trace_id, span_id
HAVING sum(open_span_marks.open) > 0
