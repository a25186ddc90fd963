"""Rows of the tables that need no aggregation: spans, contents, corrections, the ledger."""

from __future__ import annotations

from clew_processor.control.metrics import Metrics
from shared.genai import agent, chat, gate, tool
from shared.otlp import message, messages_json, request, span
from shared.pipeline import ARRIVAL, Recorder, arrived, new_pipeline

SAID = [message("user", "hello"), message("assistant", "hello yourself")]


def talk(span_id: int, *said, **fields):
    attributes = {
        "gen_ai.input.messages": messages_json(*said),
        "gen_ai.system_instructions": messages_json(message("system", "be brief")),
        "gen_ai.tool.definitions": '[{"name": "search"}]',
    }
    return chat(span_id, attributes=attributes, **fields)


def ledger(sink: Recorder) -> dict[tuple[str, str], tuple[int, ...]]:
    columns = ("received", "stored", "sampled_out", "rejected", "dead_letter")
    return {
        (row["tenant_id"], row["reason"]): tuple(row[column] for column in columns) for row in sink.rows("ledger_1m")
    }


def test_content_stands_beside_the_span_and_not_in_it():
    sink = Recorder()
    new_pipeline(sink).process([arrived(request(talk(1, *SAID), tool(2, arguments={"q": 1})))])
    first, second = sink.rows("otel_traces")
    assert not any(
        "messages" in key or "instructions" in key or "definitions" in key for key, _ in first["SpanAttributes"]
    )
    assert not any("arguments" in key for key, _ in second["SpanAttributes"])
    contents = {row["hash"]: row for row in sink.rows("span_contents")}
    assert [contents[hashed]["kind"] for hashed in first["InputMessages"]] == ["message", "message"]
    assert (contents[first["SystemHash"]]["kind"], contents[first["ToolsHash"]]["kind"]) == ("system", "tools")
    canonical = {row["canonical_hash"]: row["kind"] for row in contents.values()}
    assert canonical[second["ArgsHash"]] == "arguments"
    assert second["ResultHash"] == bytes(16)


def test_a_content_seen_again_is_not_written_again():
    sink = Recorder()
    pipeline = new_pipeline(sink)
    for i in range(1, 4):
        pipeline.process([arrived(request(talk(i, *SAID), talk(i + 10, *SAID)))])
    assert len(sink.rows("span_contents")) == 4


def test_a_content_is_written_again_before_it_expires():
    sink = Recorder()
    pipeline = new_pipeline(sink, refresh_s=100)
    for seconds in (0, 99, 101, 202):
        pipeline.process([arrived(request(tool(1, arguments={})), at=ARRIVAL + seconds * 10**9)])
    assert len(sink.rows("span_contents")) == 3


def test_tenants_do_not_share_contents():
    sink = Recorder()
    new_pipeline(sink).process([arrived(request(tool(1, arguments={})), tenant=tenant) for tenant in ("one", "other")])
    rows = sink.rows("span_contents")
    assert {row["tenant_id"] for row in rows} == {"one", "other"}
    assert len({row["hash"] for row in rows}) == 2


def test_contents_of_a_refused_span_are_not_taken_for_written():
    sink = Recorder()
    pipeline = new_pipeline(sink)
    pipeline.process([arrived(request(talk(1, *SAID, trace_id=bytes(16))))])
    assert sink.rows("span_contents") == []
    pipeline.process([arrived(request(talk(1, *SAID)))])
    assert len(sink.rows("span_contents")) == 4


def test_every_span_is_on_the_ledger_once():
    sink, metrics = Recorder(), Metrics()
    pipeline = new_pipeline(sink, metrics=metrics)
    pipeline.process(
        [
            arrived(request(chat(1), chat(2), span("GET /", span_id=3)), tenant="one"),
            arrived(b"\xff not protobuf", tenant="one"),
            arrived(request(chat(1), span(trace_id=bytes(16)), span(span_id=bytes(8)), span(start=1)), tenant="other"),
            arrived(request(), tenant="third"),
        ]
    )
    assert ledger(sink) == {
        ("one", ""): (3, 3, 0, 0, 0),
        ("other", ""): (1, 1, 0, 0, 0),
        ("one", "undecodable"): (1, 0, 0, 1, 0),
        ("other", "bad_trace_id"): (1, 0, 0, 1, 0),
        ("other", "bad_span_id"): (1, 0, 0, 1, 0),
        ("other", "bad_time"): (1, 0, 0, 1, 0),
    }
    assert b'clew_spans_total{outcome="stored",reason=""} 4.0' in metrics.exposition()
    assert b'clew_spans_total{outcome="rejected",reason="bad_time"} 1.0' in metrics.exposition()


def test_requests_without_a_span_write_nothing_but_what_was_refused():
    sink = Recorder()
    new_pipeline(sink).process([arrived(request())])
    new_pipeline(sink).process([arrived(b"\xff"), arrived(request(span(start=1)))])
    assert set(sink.tables) == {"ledger_1m"}
    assert ledger(sink).keys() == {("default", "undecodable"), ("default", "bad_time")}


def test_a_ledger_row_adds_up_by_itself():
    sink = Recorder()
    spans = [chat(i, trace_id=i * 2**50) for i in range(1, 60)]
    new_pipeline(sink, probability=0.3).process([arrived(request(*spans, span(start=1)))])
    for received, *parts in ledger(sink).values():
        assert received == sum(parts)
    assert sum(row[0] for row in ledger(sink).values()) == 60


def test_span_columns_are_what_was_sent():
    told = {
        "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk", "gen_ai.agent.id": "a1",
        "gen_ai.agent.version": "2", "clew.agent.run_id": "run", "gen_ai.conversation.id": "c", "user.id": "u",
        "clew.step.kind": "plan", "clew.step.index": 3, "clew.decision.confidence": 0.5, "error.type": "E",
    }  # fmt: skip
    sink = Recorder()
    scope = "opentelemetry.instrumentation.genai.langchain"
    pipeline = new_pipeline(sink)
    pipeline.process([arrived(request(span("s", told), scope=scope))])
    pipeline.process([arrived(request(tool(1, "search", {}, attributes={"gen_ai.tool.call.id": "call"})))])
    row, called = sink.rows("otel_traces")
    expected = {
        "TenantId": "default", "Op": "invoke_agent", "Dialect": "otel_genai", "Framework": "langchain",
        "AgentName": "clerk",
        "AgentId": "a1", "AgentVersion": "2", "AgentRunId": "run", "ConversationId": "c", "UserId": "u",
        "StepKind": "plan",
        "StepIndex": 3, "Confidence": 0.5, "ErrorType": "E", "Status": "error", "SampleWeight": 1.0,
        "KeepReason": "error",
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert (called["ToolName"], called["ToolCallId"]) == ("search", "call")
    assert row["IngestedAt"].timestamp() == ARRIVAL // 10**6 / 1000


def test_gates_are_rows_whatever_their_span():
    told = {
        "clew.gate.name": "spending", "clew.gate.kind": "human", "clew.gate.phase": "pre_tool",
        "clew.gate.outcome": "deny",
        "clew.gate.source": "user", "clew.gate.actor.type": "human", "clew.gate.wait_ms": 1500,
        "clew.gate.reason": "too much",
        "clew.gate.target.kind": "tool_call", "clew.gate.target.id": "call-1",
    }  # fmt: skip
    sink = Recorder()
    spans = [agent(1, "clerk"), span("ask", told, span_id=2, parent_id=1), gate(3, "perhaps"), chat(4)]
    new_pipeline(sink).process([arrived(request(*spans))])
    asked, vague = sink.rows("gates")
    expected = {
        "agent_name": "clerk", "gate_name": "spending", "kind": "human", "phase": "pre_tool", "outcome": "deny",
        "source": "user", "actor_type": "human", "wait_ms": 1500, "reason": "too much", "target_kind": "tool_call",
        "target_id": "call-1",
    }  # fmt: skip
    assert {name: asked[name] for name in expected} == expected
    assert asked["decided_at"].value - asked["requested_at"].value == 10**6
    assert vague["outcome"] == "unknown"
    assert sink.rows("otel_traces")[2]["GateOutcome"] == "perhaps"
