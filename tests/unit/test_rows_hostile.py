"""Values nobody should send, all the way into the real engine: stored or refused, never in the others' way."""

from __future__ import annotations

import pytest

from clew_processor.decode.decoder import TimeWindow, inspector
from shared.engine import fresh_store
from shared.genai import agent, at, chat, gate, outcome, tool
from shared.otlp import T0, request, span
from shared.pipeline import ARRIVAL, Recorder, arrived, new_pipeline

DAY = 86_400 * 10**9
NASTY = [
    "\x00", "a\x00b", "\n\t\r\x1b[2J", "'; DROP TABLE otel_traces; --", "\\", "`", '"', "{}",
    "\u202e\u200b\ufeff", "😀" * 50,
    "\U0010ffff", "x" * 100_000, " ", "NULL", "nan", "日本語", "e\u0301",
]  # fmt: skip
TEXT_KEYS = [
    "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model",
    "gen_ai.response.id",
    "gen_ai.agent.name", "gen_ai.agent.version", "gen_ai.agent.id", "gen_ai.conversation.id", "user.id",
    "gen_ai.tool.name",
    "gen_ai.tool.call.id", "clew.op", "clew.step.kind", "clew.gate.name", "clew.gate.kind", "clew.gate.outcome",
    "clew.gate.reason", "clew.gate.target.id", "clew.outcome.status", "clew.outcome.source", "clew.status",
    "error.type",
    "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.call.arguments", "gen_ai.system_instructions",
]  # fmt: skip
NUMBER_KEYS = [
    "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.reasoning.output_tokens", "clew.cost.usd", "clew.step.index", "clew.decision.confidence",
    "clew.gate.wait_ms", "clew.outcome.score", "gen_ai.response.time_to_first_chunk",
]  # fmt: skip
NUMBERS = [
    -1,
    2**63 - 1,
    -(2**63),
    0.1,
    -0.0,
    1e308,
    -1e308,
    5e-324,
    float("nan"),
    float("inf"),
    "1e9",
    "\x00",
    True,
    [1],
    {"a": 1},
]

INSPECT = inspector(max_span_bytes=1 << 24, window=TimeWindow(3650, 3650))


def stored(*bodies, at_ns: int = ARRIVAL):
    """A store with what the pipeline made of them, and how many spans of each were rejected at the door."""
    store = fresh_store()
    requests = [arrived(body, at=at_ns) for body in bodies]
    new_pipeline(store).process(requests)
    return store, [sum(count for _, count in INSPECT(one).rejected) for one in requests]


def test_nasty_text_is_stored_as_it_is_in_every_column():
    spans = [
        span(text, dict.fromkeys(TEXT_KEYS, text), span_id=i, trace_state=text, message=text)
        for i, text in enumerate(NASTY, 1)
    ]
    body = request(*spans, resource={"service.name": NASTY[0], NASTY[1]: NASTY[2]}, scope=NASTY[1])
    store, rejected = stored(body)
    assert rejected == [0]
    rows = store.client.query(
        "SELECT SpanName, AgentName, RequestModel, ToolName, StatusMessage, AgentId FROM otel_traces ORDER BY SpanId"
    ).result_rows
    assert rows == [(text,) * 6 for text in NASTY]
    assert store.client.query("SELECT DISTINCT ServiceName, ScopeName FROM otel_traces").result_rows == [
        ("\x00", "a\x00b")
    ]
    for table in ("runs", "loops", "gates", "usage_1m", "span_content"):
        assert store.client.command(f"SELECT count() FROM {table}") >= (table != "loops")


def test_nonsense_numbers_leave_sensible_ones_alone():
    spans = [
        chat(i, attributes=dict.fromkeys(NUMBER_KEYS, number) | {"clew.outcome.status": "success"}, trace_id=i)
        for i, number in enumerate(NUMBERS, 1)
    ]
    sensible = chat(999, tokens={"input": 1000}, trace_id=999)
    store, rejected = stored(request(*spans, sensible))
    assert rejected == [0]
    assert store.client.command("SELECT count() FROM otel_traces") == len(NUMBERS) + 1
    (row,) = store.client.query(
        f"SELECT input_tokens, toString(cost_usd) FROM runs WHERE trace_id = '{999:032x}'"
    ).result_rows
    assert row == (1000, "0.00015")
    assert store.client.command("SELECT min(input_tokens) >= 0 AND min(cost_usd) >= 0 FROM runs") == 1
    assert store.client.command("SELECT countIf(outcome_score NOT BETWEEN 0 AND 1) FROM runs") == 0


def test_sums_of_absurd_costs_do_not_wrap_around():
    spans = [chat(i, attributes={"clew.cost.usd": 8.9e8}, start=at(0)) for i in range(1, 101)]
    store, _ = stored(request(*spans))
    assert store.client.command("SELECT sum(cost_usd) FROM runs") == 89_000_000_000
    assert store.client.command("SELECT sum(cost_usd) FROM usage_1m") == 89_000_000_000


def test_ten_thousand_distinct_names_are_one_batch():
    count = 10_000
    spans = [
        span(
            f"s{i}",
            {"gen_ai.operation.name": "chat", "gen_ai.agent.name": f"a{i}", f"key{i}": i},
            span_id=i,
            trace_id=i,
        )
        for i in range(1, count + 1)
    ]
    store, rejected = stored(request(*spans))
    assert rejected == [0]
    distinct = "count(), uniqExact(SpanName), uniqExact(AgentName)"
    assert store.client.query(f"SELECT {distinct} FROM otel_traces").result_rows == [(count,) * 3]
    assert store.client.command("SELECT uniqExact(arrayJoin(mapKeys(SpanAttributes))) FROM otel_traces") == count + 2
    assert store.client.command("SELECT count() FROM runs") == count


def test_a_batch_of_three_hundred_days_is_one_insert():
    """The engine's own limit is 100 partitions an insert."""
    makers = (chat, tool, agent)
    spans = [makers[i % 3](i, start=T0 - i * DAY, trace_id=i) for i in range(1, 301)]
    spans += [gate(1000 + i, "deny", start=T0 - i * DAY) for i in range(1, 301)]
    spans += [
        tool(2000 + 3 * i + k, "t", {}, start=T0 - i * DAY + k, trace_id=5000 + i) for i in range(300) for k in range(3)
    ]
    store, rejected = stored(request(*spans))
    assert rejected == [0]
    days = {
        "otel_traces": "uniqExact(toDate(Timestamp))", "gates": "uniqExact(toDate(requested_at))",
        "usage_1m": "uniqExact(toDate(minute))", "loops": "uniqExact(toDate(started_at))",
    }  # fmt: skip
    assert {
        table: store.client.command(f"SELECT {what} >= 300 FROM {table}") for table, what in days.items()
    } == dict.fromkeys(days, 1)
    store.client.command(f"DROP DATABASE {store.database}")  # its thousands of parts would go on being merged


@pytest.mark.parametrize("start", [0, 1, T0 - 4000 * DAY, T0 + 4000 * DAY, 2**63 - 1, 2**63, 2**64 - 1])
def test_times_outside_the_window_are_refused_one_by_one(start):
    sink = Recorder()
    one = arrived(request(chat(1), span(span_id=2, start=start, end=start)))
    new_pipeline(sink).process([one])
    assert INSPECT(one).rejected == [("bad_time", 1)]
    assert "time" in INSPECT(one).message
    assert len(sink.rows("otel_traces")) == 1


@pytest.mark.parametrize("days", [-3649, 3649])
def test_times_at_the_windows_edge_read_back_to_the_nanosecond(days):
    start = T0 + days * DAY + 123_456_789
    store, rejected = stored(request(tool(1, "t", {}, start=start), outcome(2, "success", start=start, trace_id=2)))
    assert rejected == [0]
    assert store.client.command("SELECT max(toUnixTimestamp64Nano(Timestamp)) FROM otel_traces") == start
    assert store.client.command("SELECT max(toUnixTimestamp64Nano(started_at)) FROM runs") == start
    assert (
        store.client.command("SELECT toUnixTimestamp(max(minute)) FROM usage_1m")
        == (start + 10**6) // (60 * 10**9) * 60
    )


def test_an_end_before_its_start_is_no_time_at_all():
    store, _ = stored(request(chat(1, start=at(10), end=at(1)), chat(2, start=at(20), end=0)))
    assert store.client.query("SELECT DISTINCT Duration FROM otel_traces").result_rows == [(0,)]
    assert store.client.query("SELECT duration_ms FROM runs").result_rows == [(10_000,)]
    ((buckets,),) = store.client.query("SELECT sumMap(duration_buckets) FROM usage_1m").result_rows
    assert sum(buckets.values()) == 2


def test_one_spans_many_events_and_links_are_stored():
    body = request(chat(1))
    only = body.resource_spans[0].scope_spans[0].spans[0]
    for i in range(2000):
        only.events.add(time_unix_nano=T0 + i, name=f"e{i}")
        only.links.add(trace_id=bytes(15) + b"\x01", span_id=bytes(7) + b"\x01")
    store, _ = stored(body)
    assert store.client.query("SELECT length(`Events.Name`), length(`Links.SpanId`) FROM otel_traces").result_rows == [
        (2000, 2000)
    ]


def test_a_span_of_eight_megabytes_is_stored_and_one_over_the_limit_is_not():
    large, larger = (chat(i, attributes={"big": "x" * size}) for i, size in ((1, 8 << 20), (2, 17 << 20)))
    store, rejected = stored(request(large), request(larger, chat(3)))
    assert rejected == [0, 1]
    rows = store.client.query(
        "SELECT SpanId, length(SpanAttributes['big']) FROM otel_traces ORDER BY SpanId"
    ).result_rows
    assert rows == [(f"{1:016x}", 8 << 20), (f"{3:016x}", 0)]
