"""Canonical columns out of what the newest conventions and clew.* say."""

from __future__ import annotations

import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from clew_processor.normalise.columns import MAX_COUNT
from shared.genai import TOKENS, agent, at, chat, tool
from shared.otlp import request, span
from shared.pipeline import decode, new_decoder, normalise


def words(column: str, *spans) -> list[str]:
    return getattr(normalise(request(*spans)), column).tolist()


@pytest.mark.parametrize(
    ("attributes", "code", "status"),
    [
        ({}, Status.STATUS_CODE_UNSET, "unset"),
        ({}, Status.STATUS_CODE_OK, "ok"),
        ({}, Status.STATUS_CODE_ERROR, "error"),
        ({"error.type": "Timeout"}, Status.STATUS_CODE_UNSET, "error"),
        ({"error.type": "Timeout"}, Status.STATUS_CODE_OK, "error"),
        ({"error.type": "GraphInterrupt"}, Status.STATUS_CODE_ERROR, "interrupted"),
        ({"error.type": "langgraph.errors.GraphInterrupt"}, Status.STATUS_CODE_ERROR, "interrupted"),
        ({"error.type": "asyncio.exceptions.CancelledError"}, Status.STATUS_CODE_ERROR, "cancelled"),
        ({"error.type": "GeneratorExit"}, Status.STATUS_CODE_UNSET, "cancelled"),
        ({"error.type": "ApprovalRequired"}, Status.STATUS_CODE_UNSET, "interrupted"),
        ({"clew.status": "cancelled", "error.type": "Timeout"}, Status.STATUS_CODE_ERROR, "cancelled"),
        ({"clew.status": "ok"}, Status.STATUS_CODE_ERROR, "ok"),
        ({"clew.status": "made up"}, Status.STATUS_CODE_ERROR, "error"),
    ],
)
def test_status_is_what_it_says_then_control_flow_then_failure_then_otlp(attributes, code, status):
    assert words("status", span(attributes=attributes, status=code)) == [status]


@pytest.mark.parametrize(
    ("attributes", "op"),
    [
        ({"gen_ai.operation.name": "chat"}, "chat"),
        ({"gen_ai.operation.name": "chat", "clew.op": "step"}, "chat"),
        ({"clew.op": "handoff"}, "handoff"),
        ({"clew.gate.name": "g"}, "gate"),
        ({"clew.step.kind": "plan"}, "step"),
        ({"clew.gate.name": "g", "clew.step.kind": "plan"}, "gate"),
        ({}, ""),
    ],
)
def test_op(attributes, op):
    assert words("op", span(attributes=attributes)) == [op]


@pytest.mark.parametrize(
    ("attributes", "known", "dialect"),
    [
        ({"gen_ai.operation.name": "chat"}, True, "otel_genai"),
        ({"gen_ai.provider.name": "openai"}, True, "otel_genai"),
        ({"clew.outcome.status": "success"}, True, "clew"),
        ({"clew.step.kind": "plan"}, True, "clew"),
        ({"http.route": "/"}, False, ""),
        ({"gen_ai.operation.name": ""}, False, ""),
    ],
)
def test_only_genai_and_clew_spans_are_known(attributes, known, dialect):
    spans = normalise(request(span(attributes=attributes)))
    assert spans.known.tolist() == [known]
    assert spans.dialect.tolist() == [dialect]


@pytest.mark.parametrize(
    ("said", "provider"),
    [
        ("openai", "openai"),
        ("az.ai.openai", "azure.ai.openai"),
        ("bedrock", "aws.bedrock"),
        ("of-our-own", "of-our-own"),
    ],
)
def test_providers_get_their_canonical_name(said, provider):
    assert words("provider", span(attributes={"gen_ai.provider.name": said})) == [provider]
    assert words("provider", span(attributes={"gen_ai.system": said})) == [provider]


def test_the_newer_of_two_names_of_one_thing_counts():
    both = {"gen_ai.usage.cache_write.input_tokens": 5, "gen_ai.usage.cache_creation.input_tokens": 7}
    assert normalise(request(span(attributes=both))).cache_write_tokens.tolist() == [5]
    older = {"gen_ai.usage.cache_creation.input_tokens": 7}
    assert normalise(request(span(attributes=older))).cache_write_tokens.tolist() == [7]


@pytest.mark.parametrize(
    ("told", "inclusive"),
    [
        ({"input": 100, "read": 40}, (100, 0)),
        ({"input": 100, "read": 60, "write": 40}, (100, 0)),
        ({"input": 100, "read": 90, "write": 40}, (230, 0)),  # can only be exclusive
        ({"read": 40}, (40, 0)),
        ({"output": 10, "reasoning": 4}, (0, 10)),
        ({"output": 10, "reasoning": 40}, (0, 40)),
    ],
)
def test_totals_include_cache_and_reasoning(told, inclusive):
    spans = normalise(request(chat(1, tokens=told)))
    assert (spans.input_tokens[0], spans.output_tokens[0]) == inclusive


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (7, 7),
        ("7", 7),
        (7.0, 7),
        (0, 0),
        (-7, 0),
        ("seven", 0),
        (7.5, 0),
        (2**63 - 1, 0),
        (str(2**64 - 1), 0),
        (MAX_COUNT, MAX_COUNT),
        (True, 0),
        (float("nan"), 0),
        (None, 0),
    ],
)
def test_a_count_is_lenient_and_never_absurd(value, count):
    spans = normalise(request(span(attributes=dict.fromkeys(TOKENS.values(), value))))
    assert spans.cache_read_tokens.tolist() == [count]
    assert spans.has_usage.tolist() == [count > 0]
    assert int(spans.input_tokens[0]) <= 3 * MAX_COUNT


def test_absent_numbers_and_text_are_zero_and_empty():
    spans = normalise(request(span()))
    assert (spans.step_index[0], spans.gate_wait_ms[0], spans.response_id[0], spans.time_to_first_ms[0]) == (0, 0, 0, 0)
    assert np.isnan(spans.reported_cost_usd[0])
    assert np.isnan(spans.outcome_score[0])
    assert spans.confidence.to_pylist() == [None]
    assert spans.tool_call_id.to_pylist() == [""]
    assert {column.tolist()[0] for column in (spans.op, spans.provider, spans.agent_name, spans.tool_name)} == {""}


@pytest.mark.parametrize("seconds", [1e300, float("inf"), float("-inf"), float("nan")])
def test_a_latency_that_is_no_number_is_none(seconds):
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.response.time_to_first_chunk": seconds}
    assert normalise(request(span(attributes=attributes))).time_to_first_ms.tolist() == [0]


def test_first_token_latency_is_in_milliseconds():
    attributes = {"gen_ai.response.time_to_first_chunk": 0.25}
    assert normalise(request(span(attributes=attributes))).time_to_first_ms.tolist() == [250]


def test_finish_reasons_get_their_canonical_name_and_the_first_counts():
    for said, reason in (("tool_calls", "tool_call"), ("end_turn", "stop"), ("length", "length")):
        attributes = {"gen_ai.response.finish_reasons": [said, "other"]}
        assert words("finish_reason", span(attributes=attributes)) == [reason]


def test_an_agents_name_is_handed_down_to_what_it_did():
    spans = [
        agent(1, "boss", attributes={"gen_ai.agent.version": "2"}),
        chat(2, parent_id=1),
        span("step", span_id=3, parent_id=2),
        agent(4, "clerk", parent_id=3),
        tool(5, parent_id=4),
        chat(6, parent_id=99),
        chat(7, trace_id=2, parent_id=1),
    ]
    assert words("agent_name", *spans) == ["boss", "boss", "boss", "clerk", "clerk", "", ""]
    assert words("agent_version", *spans) == ["2", "2", "2", "", "", "", ""]
    assert words("agent_name", *spans[::-1]) == ["", "", "clerk", "clerk", "boss", "boss", "boss"]


def test_spans_that_are_each_others_parents_are_left_alone():
    assert words("agent_name", chat(1, parent_id=2), chat(2, parent_id=1), chat(3, parent_id=3)) == [""] * 3


def test_a_very_deep_tree_ends_the_search():
    chain = [agent(1), *(span(span_id=i + 1, parent_id=i) for i in range(1, 200))]
    names = words("agent_name", *chain)
    assert names[:50] == ["clerk"] * 50
    assert names[-1] == ""


def test_tenants_are_told_apart_row_by_row():
    bodies = [request(chat(1)), request(chat(2), chat(3)), request(chat(4))]
    assert normalise(*bodies, tenants=["b", "a", "b"]).tenant.tolist() == ["b", "a", "a", "b"]


def test_a_batch_of_nothing_has_no_rows():
    batch = decode(request())
    assert batch.spans.num_rows == 0
    assert batch.verdicts[0].error is None


def test_rows_of_a_refused_request_leave_the_others_alone():
    decoder = new_decoder()
    good, bad = request(chat(1)), request(span(trace_id=b"short"))
    spans = normalise(bad, good, bad, tenants=["x", "y", "z"], decoder=decoder)
    assert spans.rows == 1
    assert spans.tenant.tolist() == ["y"]


def test_times_are_nanoseconds_and_an_end_before_the_start_is_no_duration():
    spans = normalise(request(span(start=at(5), end=at(3)), span(span_id=2, start=at(1), end=at(1) + 7)))
    assert spans.start_ns.tolist() == [at(5), at(1)]
    assert spans.duration_ns.tolist() == [0, 7]
    assert spans.end_ns.tolist() == [at(5), at(1) + 7]
