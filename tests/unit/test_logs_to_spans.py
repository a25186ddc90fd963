"""Log records of coding agents become spans: which, where in a trace, and with which ids."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from clew_processor.control.metrics import Metrics
from clew_processor.dialects import dialect, dialects
from clew_processor.errors import DialectError
from shared.coding_agents import (
    CLAUDE_SCOPE,
    MS,
    attributes,
    claude,
    claude_request,
    codex,
    gemini,
    made,
    spans_of,
    transcoded,
)
from shared.otlp import T0, log, logs_request, request, span
from shared.pipeline import ARRIVAL, Recorder, arrived, arrived_logs, new_pipeline


def ids(*records: Any) -> list[tuple[bytes, bytes]]:
    return [(one.trace_id, one.span_id) for one in made(*records)]


def test_a_prompt_its_calls_tools_and_decisions_are_one_trace_below_the_prompt():
    prompt, call, decision, tool = made(
        claude("user_prompt"),
        claude("api_request", {"request_id": "r1", "duration_ms": 250}, at=300),
        claude("tool_decision", {"tool_use_id": "t1", "decision": "accept"}, at=310),
        claude("tool_result", {"tool_use_id": "t1", "success": "true", "duration_ms": "46"}, at=400),
    )
    assert [one.name for one in (prompt, call, decision, tool)] == [
        "claude_code.user_prompt", "claude_code.api_request", "claude_code.tool_decision", "claude_code.tool_result",
    ]  # fmt: skip
    assert len({one.trace_id for one in (prompt, call, decision, tool)}) == 1
    assert prompt.parent_span_id == b""
    assert {one.parent_span_id for one in (call, decision, tool)} == {prompt.span_id}
    assert len({one.span_id for one in (prompt, call, decision, tool)}) == 4
    times = [(one.start_time_unix_nano - T0, one.end_time_unix_nano - T0) for one in (prompt, call, decision, tool)]
    assert times == [(0, 0), (50 * MS, 300 * MS), (310 * MS, 310 * MS), (354 * MS, 400 * MS)]


def test_every_attribute_the_resource_and_the_scope_are_kept_and_the_span_is_marked():
    body = claude_request(claude("api_request", {"request_id": "r1", "list": [1, {"a": None}], "cost_usd": 0.5}))
    (spans,) = transcoded([body])
    (group,) = spans.resource_spans
    assert group.resource == body.resource_logs[0].resource
    (scoped,) = group.scope_spans
    assert (scoped.scope.name, scoped.scope.version) == (CLAUDE_SCOPE, "2.1")
    (one,) = scoped.spans
    (record,) = body.resource_logs[0].scope_logs[0].log_records
    assert list(one.attributes)[:-1] == list(record.attributes)
    assert (one.attributes[-1].key, one.attributes[-1].value.bool_value) == ("clew.from_log", True)


def test_an_event_is_known_by_its_attribute_its_name_its_body_or_its_scope():
    common = {"session.id": "s", "prompt.id": "p", "request_id": "r", "model": "m"}
    by_body = log("claude_code.api_request", common)
    by_name = log(None, common, event_name="claude_code.api_request")
    by_attribute = log("x", common | {"event.name": "claude_code.api_request"})
    in_scope = logs_request(log("x", common | {"event.name": "api_request"}), scope=CLAUDE_SCOPE)
    spans = [*made(by_body, by_name, by_attribute), *spans_of(transcoded([in_scope])[0])]
    assert {(one.name, one.trace_id, one.span_id) for one in spans} == {
        ("claude_code.api_request", spans[0].trace_id, spans[0].span_id)
    }
    assert [attributes(one)["event.name"] for one in spans] == ["claude_code.api_request"] * 3 + ["api_request"]
    assert made(log("x", common | {"event.name": "api_request"})) == []  # of somebody else's scope


def test_what_tells_nothing_new_or_is_of_nobody_known_stays_a_record():
    assert transcoded([logs_request(claude("api_retries_exhausted"), claude("hook_registered"), log("hello"))]) == [
        None
    ]
    assert made(codex("sse_event", {"event.kind": "response.completed", "duration_ms": "4"})) == []
    assert made(codex("api_request", {"http.response.status_code": 200})) == []
    assert made(gemini("api_request"), gemini("model_routing")) == []
    assert made(log("claude_code.api_request", {"request_id": "r", "model": "m"})) == []  # of no session
    assert made(claude("tool_result", {"tool_name": ""})) == []


def test_of_a_stream_the_event_with_the_usage_is_the_call():
    usage = {"event.kind": "response.completed", "input_token_count": "10", "output_token_count": "3"}
    start, call = made(codex("conversation_starts"), codex("sse_event", usage, at=7))
    assert (call.name, call.end_time_unix_nano) == ("codex.sse_event", T0 + 7 * MS)
    assert (call.trace_id, call.parent_span_id) == (start.trace_id, start.span_id)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (claude("api_error", {"request_id": "r", "error": "The server had an error"}), "The server had an error"),
        (claude("tool_result", {"tool_use_id": "t", "success": "false", "error_type": "ShellError"}), "ShellError"),
        (codex("api_request", {"error.message": "http 500"}), "http 500"),
        (codex("tool_result", {"call_id": "c", "success": "false"}), ""),
        (gemini("tool_call", {"success": False, "error": "File not found"}), "File not found"),
        (gemini("api_error", {"error": "429"}), "429"),
    ],
)
def test_a_failure_is_an_error_with_what_was_said_of_it(record, message):
    (failed,) = made(record)
    assert (failed.status.code, failed.status.message) == (Status.STATUS_CODE_ERROR, message)


def test_success_is_no_error():
    (tool,) = made(gemini("tool_call", {"success": True, "error": ""}))
    assert tool.status.code == Status.STATUS_CODE_UNSET


def test_a_record_with_a_span_of_its_own_stays_in_that_trace_below_it():
    (own,) = made(claude("api_request", {"request_id": "r"}, trace_id=7, span_id=9))
    assert (int.from_bytes(own.trace_id), int.from_bytes(own.parent_span_id)) == (7, 9)
    zeros = {"trace_id": 0, "span_id": 0}  # the same as none
    assert ids(claude("api_request", {"request_id": "r"}, **zeros)) == ids(claude("api_request", {"request_id": "r"}))


def test_records_of_which_only_some_have_a_span_of_their_own_stay_together():
    usage = {"input_token_count": "1"}
    records = (codex("tool_result", {"call_id": "c"}, trace_id=7, span_id=9), codex("sse_event", usage))
    assert len({one.trace_id for one in made(*records)}) == 1
    records = (gemini("tool_call", {}, trace_id=7, span_id=9), gemini("api_response"))
    assert len({one.trace_id for one in made(*records)}) == 1


def test_without_a_prompt_a_session_is_one_trace_without_a_root():
    one, other = made(claude("user_prompt", prompt=""), claude("api_request", {"request_id": "r"}, prompt="", at=1))
    assert one.trace_id == other.trace_id
    assert one.parent_span_id == other.parent_span_id == b""
    assert one.span_id != other.span_id


def test_prompts_of_one_session_are_traces_of_their_own():
    first, second = made(claude("user_prompt", prompt="p1"), claude("user_prompt", prompt="p2"))
    assert first.trace_id != second.trace_id


def test_the_same_record_is_the_same_span_and_another_is_another():
    call = {"request_id": "r1"}
    assert ids(claude("api_request", call)) == ids(claude("api_request", call | {"model": "m"}, at=5))
    assert ids(claude("api_request", call)) != ids(claude("api_request", {"request_id": "r2"}))
    assert ids(claude("tool_decision", {"tool_use_id": "t"})) != ids(claude("tool_result", {"tool_use_id": "t"}))
    nameless = gemini("api_response", {"input_token_count": 5}, at=3)
    assert ids(nameless) == ids(nameless)
    assert ids(nameless) != ids(gemini("api_response", {"input_token_count": 6}, at=3))
    assert ids(nameless) != ids(gemini("api_response", {"input_token_count": 5}, at=4))


@pytest.mark.parametrize("duration", ["nonsense", -5, float("inf"), float("nan"), 1e300, None, [1]])
def test_a_duration_that_is_none_is_no_time(duration):
    (tool,) = made(claude("tool_result", {"tool_use_id": "t", "duration_ms": duration}))
    assert tool.start_time_unix_nano == tool.end_time_unix_nano


def test_the_spans_are_stored_beside_the_records_and_a_resend_is_a_duplicate():
    sink, metrics = Recorder(), Metrics()
    pipeline = new_pipeline(sink, metrics=metrics, resend_horizon_s=600)
    body = claude_request(claude("user_prompt"), claude("api_request", {"request_id": "r1"}), claude("compaction"))
    pipeline.process([arrived_logs(body), arrived(request(span("other")))])
    pipeline.process([arrived_logs(body, at=ARRIVAL + 10**9)])
    assert [row["SpanName"] for row in sink.rows("otel_traces")] == [
        "other", "claude_code.user_prompt", "claude_code.api_request",
    ]  # fmt: skip
    assert len(sink.rows("otel_logs")) == 6
    found: dict[tuple[str, str], list[int]] = {}
    for row in sink.rows("ledger_1m"):
        sums = found.setdefault((row["signal"], row["reason"]), [0, 0, 0])
        for i, column in enumerate(("received", "stored", "rejected")):
            sums[i] += row[column]
    assert found == {
        ("traces", ""): [1, 1, 0],
        ("logs", ""): [6, 6, 0],
        ("spans_from_logs", ""): [2, 2, 0],
        ("spans_from_logs", "duplicate"): [2, 0, 2],
    }
    shown = metrics.exposition()
    assert b'clew_spans_from_logs_total{outcome="received",reason=""} 4.0' in shown
    assert b'clew_spans_from_logs_total{outcome="rejected",reason="duplicate"} 2.0' in shown


def test_two_tenants_with_the_same_session_are_kept_apart():
    sink = Recorder()
    body = claude_request(claude("user_prompt"))
    pipeline = new_pipeline(sink, resend_horizon_s=600)
    pipeline.process([arrived_logs(body, tenant="a"), arrived_logs(body, tenant="b")])
    assert [row["TenantId"] for row in sink.rows("otel_traces")] == ["a", "b"]


def test_every_agent_that_sends_log_records_first_has_rules_for_them():
    assert [table.name for table in dialects() if table.logs] == ["claude_code", "codex_cli", "gemini_cli"]


def test_a_root_that_is_no_event_is_an_error_that_names_the_nearest():
    text = """
        {name: x, order: 1, source: s, detect: [{scope: x}],
         logs: {prefix: x., traces: [{keys: [k], root: user_promt}], events: {user_prompt: {}}}}
    """
    with pytest.raises(DialectError, match=r"user_promt.*did you mean 'user_prompt'"):
        dialect("x", text)
