"""`open_spans` and what it makes of `runs`: real stages, real tables."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from clew_processor.control.metrics import Metrics
from clew_processor.decode import starts
from clew_processor.enrich import open_spans
from shared.engine import fresh_store
from shared.genai import agent, at, chat, gate, started, tool
from shared.otlp import Span, request, span
from shared.pipeline import ARRIVAL, arrived, new_pipeline

if TYPE_CHECKING:
    from clew_processor.write.store import Store

TABLES = (
    "open_span_marks", "run_deltas", "otel_traces", "usage_1m", "loop_versions", "gates", "dialects", "ledger_1m",
    "span_contents",
)  # fmt: skip
SECOND = 10**9
DAY = 86_400 * SECOND

AGENT = {"start": at(0), "end": at(90)}
TOOL = {"parent_id": 1, "start": at(3), "end": at(80)}


@cache
def _store() -> Store:
    return fresh_store()


class Place:
    """A processor's stages over a store that was emptied."""

    def __init__(self, **stages: float) -> None:
        self.store = _store()
        for table in TABLES:
            self.store.client.command(f"TRUNCATE TABLE {table}")
        self.metrics = Metrics()
        self.pipeline = new_pipeline(self.store, metrics=self.metrics, resend_horizon_s=600, **stages)

    def take(self, *spans: Span, at: int = ARRIVAL, **more: Any) -> None:
        self.pipeline.process([arrived(request(*spans), at=at, **more)])

    def rows(self, columns: str, table: str = "open_spans", rest: str = "") -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.store.read(f"SELECT {columns} FROM {table} {rest}", {})]

    def open(self) -> list[str]:
        return [row[0] for row in self.rows("name", rest="ORDER BY started_at, name")]


@pytest.fixture
def place() -> Place:
    return Place()


def test_a_span_known_by_its_start_record_is_open_and_counted_nowhere_else(place: Place):
    place.take(
        started(agent(1, "boss", attributes={"gen_ai.conversation.id": "c"}, **AGENT)),
        started(tool(2, "search", {"q": 1}, **TOOL)),
    )
    columns = (
        "tenant_id, trace_id, span_id, parent_span_id, name, op, agent_name, tool_name, service_name, "
        "toUnixTimestamp64Nano(started_at), toUnixTimestamp64Milli(last_seen_at), args_hash != 0"
    )
    trace, arrival = "0" * 31 + "1", ARRIVAL // 10**6
    one, two = "0" * 15 + "1", "0" * 15 + "2"
    assert place.rows(columns, rest="ORDER BY span_id") == [
        ("default", trace, one, "", "invoke_agent boss", "invoke_agent", "boss", "", "test", at(0), arrival, 0),
        ("default", trace, two, one, "execute_tool search", "execute_tool", "boss", "search", "test", at(3), arrival,
         1),
    ]  # fmt: skip
    for table in ("otel_traces", "usage_1m", "gates", "loops", "dialects"):
        assert place.rows("count()", table) == [(0,)]
    assert place.rows("signal, reason, received, stored", "ledger_1m") == [("traces", "start_record", 2, 2)]
    assert b'clew_spans_total{outcome="stored",reason="start_record"} 2.0' in place.metrics.exposition()


def test_a_run_that_has_only_begun_is_listed_as_running(place: Place):
    place.take(started(agent(1, "boss", attributes={"gen_ai.agent.version": "2"}, **AGENT)))
    place.take(started(tool(2, "search", **TOOL)), at=ARRIVAL + 5 * SECOND)
    columns = (
        "agent_name, agent_version, service_name, status, open_spans, spans, tool_calls, errors, "
        "toUnixTimestamp64Nano(started_at), duration_ms, toUnixTimestamp64Milli(updated_at)"
    )
    assert place.rows(columns, "runs") == [
        ("boss", "2", "test", "running", 2, 0, 0, 0, at(0), 3000, ARRIVAL // 10**6 + 5000)
    ]
    place.take(tool(2, "search", **TOOL))
    assert place.rows("status, open_spans, spans, tool_calls", "runs") == [("running", 1, 1, 1)]
    place.take(agent(1, "boss", **AGENT))
    assert place.rows("agent_name, status, open_spans, spans", "runs") == [("boss", "ok", 0, 2)]
    assert place.open() == []


def test_a_run_is_running_while_its_outermost_agent_is_though_an_inner_one_has_ended(place: Place):
    outer, inner = agent(1, "boss", parent_id=99, **AGENT), agent(2, "clerk", **TOOL)
    place.take(started(outer))
    place.take(inner)
    assert place.rows("agent_name, status", "runs") == [("boss", "running")]
    place.take(outer)
    assert place.rows("agent_name, status", "runs") == [("boss", "ok")]


def test_a_gate_that_waits_for_an_answer_is_open(place: Place):
    waiting = gate(2, "unknown", name="refunds", **TOOL)
    waiting.attributes.add(key="clew.gate.kind").value.string_value = "human"
    place.take(started(waiting))
    assert place.rows("op, gate_name, gate_kind") == [("gate", "refunds", "human")]
    assert place.rows("gates", "runs") == [(0,)]


def test_start_record_and_end_in_one_batch_leave_nothing_behind(place: Place):
    place.take(tool(2, **TOOL), started(tool(2, **TOOL)), started(agent(1, **AGENT)), agent(1, **AGENT))
    assert place.rows("count()", "open_span_marks") == [(0,)]
    assert place.rows("status, open_spans, spans", "runs") == [("ok", 0, 2)]
    assert place.rows("sum(received), sum(stored)", "ledger_1m") == [(4, 4)]


def test_a_start_record_after_the_end_opens_nothing(place: Place):
    place.take(tool(2, **TOOL))
    place.take(started(tool(2, **TOOL)), at=ARRIVAL + 30 * SECOND)
    assert place.open() == []
    assert place.rows("status, open_spans", "runs") == [("running", 0)]


def test_a_start_record_sent_again_changes_nothing_and_counts_as_a_duplicate(place: Place):
    record = started(tool(2, "search", **TOOL))
    for _ in range(2):
        place.take(record)
    place.take(tool(2, "search", **TOOL))
    place.take(record)
    assert place.open() == []
    assert place.rows("reason, sum(rejected)", "ledger_1m", "WHERE rejected > 0 GROUP BY reason") == [("duplicate", 2)]


def test_one_that_says_it_is_still_open_is_heard_of_again(place: Place):
    record = agent(1, **AGENT)
    place.take(started(record))
    place.take(started(record, again_after=60), at=ARRIVAL + 60 * SECOND)
    milliseconds = ARRIVAL // 10**6 + 60_000
    assert place.rows("toUnixTimestamp64Milli(last_seen_at)") == [(milliseconds,)]
    assert place.rows("open_spans, toUnixTimestamp64Milli(updated_at)", "runs") == [(1, milliseconds)]
    place.take(record, at=ARRIVAL + 90 * SECOND)
    assert place.open() == []


def test_a_span_that_sampling_drops_is_closed_all_the_same():
    place = Place(probability=1e-9)
    place.take(started(tool(2, **TOOL)))
    place.take(tool(2, **TOOL))
    assert place.rows("count()", "otel_traces") == [(0,)]
    assert place.open() == []


def test_other_tenants_spans_of_the_same_ids_are_others(place: Place):
    for tenant in ("one", "two"):
        place.take(started(tool(2, **TOOL)), tenant=tenant)
    place.take(tool(2, **TOOL), tenant="one")
    assert place.rows("tenant_id") == [("two",)]


@pytest.mark.parametrize("ranges", [0, 64])
def test_ended_spans_in_a_batch_with_start_records_are_what_they_are_without(
    ranges: int, monkeypatch: pytest.MonkeyPatch
):
    """Parents, agents, usage and loops do not see what is only open."""
    monkeypatch.setattr(starts, "_MOST_RANGES", ranges)  # taken out row by row, or in ranges
    spans = [
        chat(3, tokens={"input": 100, "output": 10}, parent_id=2, start=at(2), end=at(3)),
        agent(2, "clerk", parent_id=1, start=at(1), end=at(4)),
        *(tool(10 + i, "search", {"q": 1}, parent_id=2, start=at(4 + i), end=at(5 + i)) for i in range(4)),
        chat(4, tokens={"input": 5, "output": 1}, parent_id=2, start=at(20), end=at(21), trace_id=2),
    ]
    records = [started(agent(1, "boss", **AGENT)), started(spans[1]), started(spans[0]), started(tool(50, **TOOL))]
    mixed = [records[0], spans[0], records[1], *spans[1:4], records[2], *spans[4:], records[3]]
    tables = ("otel_traces", "usage_1m", "loops", "dialects", "span_content")
    made = []
    for some in (mixed, spans):
        here = Place()
        here.take(*some)
        made.append({table: here.rows("*", table, "ORDER BY ALL") for table in tables})
        assert here.open() == (["invoke_agent boss", "execute_tool search"] if some is mixed else [])
    assert made[0] == made[1]
    assert all(made[0].values())


def test_a_record_of_no_known_operation_is_open_but_makes_no_run(place: Place):
    place.take(started(span("GET /", span_id=7)))
    assert place.rows("name, op") == [("GET /", "")]
    assert place.rows("count()", "runs") == [(0,)]
    place.take(span("GET /", span_id=7))
    assert place.open() == []
    assert place.rows("count()", "run_deltas") == [(0,)]


def test_after_a_week_of_silence_a_span_is_shown_no_more(place: Place):
    place.take(started(agent(1, **AGENT)))
    place.take(started(agent(2, **AGENT, trace_id=2)), at=ARRIVAL + 3 * DAY)
    place.take(chat(3, trace_id=3), at=ARRIVAL + 8 * DAY)
    assert place.rows("toUInt64(trace_id)") == [(2,)]
    assert place.rows("toUInt64(trace_id), status", "runs", "ORDER BY trace_id") == [(2, "running"), (3, "ok")]
    place.take(agent(1, **AGENT), at=ARRIVAL + 9 * DAY)  # it lives after all
    assert place.rows("status, open_spans", "runs", "ORDER BY trace_id LIMIT 1") == [("ok", 0)]


def test_beyond_its_room_those_silent_for_the_longest_are_shown_no_more(place: Place):
    with patch.object(open_spans, "MOST", 3):
        for number in range(1, 6):
            record = agent(number, f"a{number}", trace_id=number, start=at(number), end=at(90))
            place.take(started(record), at=ARRIVAL + number * SECOND)
    assert place.open() == [f"invoke_agent a{number}" for number in (3, 4, 5)]
    assert place.rows("count(), sum(open_spans)", "runs") == [(3, 3)]


def test_what_opened_and_closed_is_dropped_from_the_storage_when_it_is_merged(place: Place):
    for number in (1, 2, 3):
        place.take(started(agent(number, f"a{number}", trace_id=number, **AGENT)))
    place.take(started(agent(1, "a1", trace_id=1, **AGENT), again_after=60))
    place.take(agent(1, trace_id=1, **AGENT), agent(2, trace_id=2, **AGENT))
    place.store.client.command("OPTIMIZE TABLE open_span_marks FINAL")
    assert place.rows("name, open", "open_span_marks") == [("invoke_agent a3", 1)]
