"""The boards: regenerated, self-contained, and every panel's number compared with one worked out by hand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.grafana_macros import Selection, UnknownMacroError, expand
from shared.grafana_panels import boards, panel_results, panel_sql, variable_sql
from shared.panel_store import PanelStore

DASHBOARDS = Path(__file__).parents[2] / "dashboards"

#: The range starts inside a minute: that whole minute counts in the rollup. Ten-minute bars.
START = datetime(2026, 3, 2, 10, 0, 30, tzinfo=UTC)
EVERYTHING = Selection(START, datetime(2026, 3, 2, 11, tzinfo=UTC), interval_s=600)
BAR_0 = datetime(2026, 3, 2, 10, 0)  # noqa: DTZ001 - the driver returns UTC without a zone
BAR_1 = datetime(2026, 3, 2, 10, 10)  # noqa: DTZ001
LATER = timedelta(days=1)  # of rows that no panel may count

R1, R2, R3, R4, R5 = (digit * 32 for digit in "12345")
USD = Decimal


def at(clock: str) -> datetime:
    """A moment of the test's day, e.g. at("10:12:05")."""
    return datetime.fromisoformat(f"2026-03-02T{clock}+00:00")


def middle(bucket: int) -> float:
    """Seconds in the middle of a duration bucket, as 0012_usage_1m.sql defines it."""
    return 2 ** ((bucket + 0.5) / 8)


# ---- rows with totals small enough to add up by hand ----


def usage(clock: str, key: str, numbers: str, cost: str, buckets: dict[int, int], **more: object) -> dict:
    """A `usage_1m` row.

    `key` is service, agent, provider, model, tool, op; `numbers` is calls, errors, input, output, cache read, cache
    write, reasoning tokens, unpriced calls.
    """
    service, agent, provider, model, tool, op = (part.strip() for part in key.split("|"))
    calls, errors, input_, output, read, write, reasoning, unpriced = map(int, numbers.split())
    return {
        "minute": at(clock),
        "tenant_id": "default",
        "service_name": service,
        "agent_name": agent,
        "agent_version": "",
        "provider": provider,
        "model": model,
        "tool_name": tool,
        "op": op,
        "calls": calls,
        "errors": errors,
        "input_tokens": input_,
        "output_tokens": output,
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "reasoning_tokens": reasoning,
        "cost_usd": USD(cost),
        "unpriced_calls": unpriced,
        "duration_buckets": buckets,
    } | more


GPT = "shop|planner|openai|gpt-4o||chat"
USAGE = [
    usage("10:00", GPT, "4 0 1000 200 400 0 50 0", "0.010000001", {0: 2, 8: 2}),
    usage("10:00", GPT, "2 1 200 20 0 0 0 0", "0.002", {16: 1, 0: 1}),
    # A correction: one of those calls was a duplicate.
    usage("10:00", GPT, "-1 0 -100 -10 0 0 0 0", "-0.001", {0: -1}),
    # Another, of a model's only call: nothing of it may be left.
    usage("10:00", "shop|planner|openai|gpt-copy||chat", "1 0 50 50 0 0 0 1", "0.5", {40: 1}),
    usage("10:00", "shop|planner|openai|gpt-copy||chat", "-1 0 -50 -50 0 0 0 -1", "-0.5", {40: -1}),
    usage("10:12", "shop|planner|anthropic|claude||chat", "2 0 500 100 0 300 0 0", "0.02", {24: 2}),
    usage("10:00", "shop|planner|||search|execute_tool", "10 3 0 0 0 0 0 0", "0", {-16: 9, 0: 1}),
    usage("10:12", "lab||local|mystery||chat", "3 0 30 30 0 0 0 3", "0", {8: 3}),
    usage("10:12", "lab|scout|||fetch|execute_tool", "1 0 0 0 0 0 0 0", "0", {-8: 1}),
    usage("10:12", "lab|scout|openai|gpt-4o||chat", "1 0 10 10 0 0 0 0", "0.000000009", {0: 1}),
    usage("10:00", GPT, "9 9 9 9 9 9 9 9", "9", {80: 9}, minute=at("10:00:00") + LATER),
]


def run(trace: str, service: str, agent: str, clock: str, seconds: int, **more: object) -> dict:
    """A `run_deltas` row of a run that took `seconds`; counts that are not given are 0."""
    started = more.pop("started_at", at(clock))
    start_ns = int(started.timestamp()) * 10**9
    return {
        "day": started.date(),
        "tenant_id": "default",
        "trace_id": trace,
        "root": (0, start_ns, service, "ok"),
        "agent": (start_ns, agent, "", "ok"),
        "outcome": (0, 0, "", -1.0),
        "started_at": started,
        "ended_at": started + timedelta(seconds=seconds),
        "sampled": 1,
        "spans": 1,
    } | more


def verdict(status: str) -> tuple[int, int, str, float]:
    return (1, 1, status, -1.0)


RUNS = [
    # The first run came in two batches.
    run(R1, "shop", "planner", "10:01:00", 10, step_spans=1, model_calls=2, tool_calls=3, input_tokens=600,
        output_tokens=110, cost_usd=USD("0.005000001"), retries=2, outcome=verdict("success")),
    run(R1, "shop", "planner", "10:01:00", 30, step_spans=1, model_calls=3, tool_calls=7, input_tokens=500,
        output_tokens=100, cost_usd=USD("0.006"), gates=1, gate_wait_ms=1500),
    run(R2, "shop", "planner", "10:12:00", 45, model_calls=2, tool_calls=5, input_tokens=500, output_tokens=100,
        cost_usd=USD("0.02"), retries=1, outcome=verdict("failure"), loops=1, loop_tokens=400,
        loop_cost_usd=USD("0.012"), gates=2, gates_denied=1, gate_wait_ms=4000),
    run(R3, "lab", "scout", "10:13:00", 1, model_calls=1, tool_calls=1, input_tokens=10, output_tokens=10,
        cost_usd=USD("0.000000009"), loops=1, loop_tokens=20, loop_cost_usd=USD("0.000000004"), sampled=0),
    run(R4, "lab", "", "10:14:00", 5, model_calls=3, input_tokens=30, output_tokens=30, retries=3,
        outcome=verdict("unknown")),
    run(R5, "shop", "planner", "10:01:00", 99, cost_usd=USD(9), loops=9, loop_cost_usd=USD(9), retries=9,
        outcome=verdict("success"), started_at=at("10:01:00") + LATER),
]  # fmt: skip


def loop(trace: str, agent: str, tool: str, pattern: str, times: str, numbers: str, cost: str, **more: object) -> dict:
    """A `loop_versions` row; `times` is first and last, `numbers` is repetitions, wasted tokens, version."""
    started, last = (at(clock) for clock in times.split())
    repetitions, tokens, version = map(int, numbers.split())
    return {
        "tenant_id": "default",
        "trace_id": trace,
        "agent_name": agent,
        "pattern": pattern,
        "period": 1,
        "repetitions": repetitions,
        "first_span_id": "a" * 16,
        "tool_name": tool,
        "started_at": started,
        "last_seen_at": last,
        "wasted_tokens": tokens,
        "wasted_cost_usd": USD(cost),
        "action": "none",
        "version": version,
        "deleted": 0,
    } | more


LOOPS = [
    loop(R2, "planner", "search", "same_call", "10:12:10 10:12:20", "3 200 1", "0.006"),
    loop(R2, "planner", "search", "same_call", "10:12:10 10:12:40", "5 400 2", "0.012"),
    loop(R3, "scout", "fetch", "alternating", "10:13:00 10:13:01", "4 20 1", "0.000000004"),
    # Found, then disproved by a late span.
    loop(R1, "planner", "search", "same_call", "10:01:05 10:01:20", "3 900 1", "0.9"),
    loop(R1, "planner", "search", "same_call", "10:01:05 10:01:20", "3 900 2", "0.9", deleted=1),
    loop(R5, "planner", "search", "same_call", "10:01:05 10:01:20", "9 9 1", "9", started_at=at("10:01:05") + LATER),
]  # fmt: skip


def gate(trace: str, name: str, kind: str, outcome: str, clock: str, wait_ms: int) -> dict:
    return {
        "tenant_id": "default",
        "trace_id": trace,
        "span_id": "b" * 16,
        "agent_name": "planner",
        "service_name": "shop",
        "gate_name": name,
        "kind": kind,
        "outcome": outcome,
        "requested_at": at(clock) if trace != R5 else at(clock) + LATER,
        "decided_at": at(clock) + timedelta(milliseconds=wait_ms),
        "wait_ms": wait_ms,
    }


GATES = [
    gate(R1, "spend limit", "budget", "allow", "10:01:10", 1500),
    gate(R2, "approve", "human", "deny", "10:12:05", 3000),
    gate(R2, "approve", "human", "allow", "10:12:20", 1000),
    gate(R5, "approve", "human", "deny", "10:01:10", 99_000),
]


def opened(number: int, parent: int, name: str, clock: str, heard: str) -> dict:
    """An `open_span_marks` row of a run of its own."""
    return {
        "trace_id": "9" * 32,
        "span_id": f"{number:016x}",
        "parent_span_id": f"{parent:016x}" if parent else "",
        "name": name,
        "agent_name": "planner",
        "service_name": "shop",
        "started_at": at(clock),
        "last_seen_at": at(heard),
        "open": 1,
    }


OPEN = [
    opened(1, 0, "invoke_agent planner", "10:02:00", "10:14:00"),
    opened(2, 1, "execute_tool crawl", "10:02:30", "10:03:30"),
    opened(2, 1, "execute_tool crawl", "10:02:30", "10:14:00"),
    opened(3, 1, "gate approve", "10:02:40", "10:14:00"),
]


def span(trace: str, number: int, clock: str, model: str, first_token_ms: float, **more: object) -> dict:
    return {
        "Timestamp": at(clock),
        "TraceId": trace,
        "SpanId": f"{number:016x}",
        "ParentSpanId": "",
        "ServiceName": "shop",
        "SpanName": f"chat {model}",
        "SpanAttributes": {"gen_ai.operation.name": "chat"},
        "ResourceAttributes": {"service.name": "shop"},
        "Duration": 1_500_000_000,
        "StatusCode": "Unset",
        "StatusMessage": "",
        "Op": "chat",
        "AgentName": "planner",
        "RequestModel": model,
        "UsageScope": "own",
        "TimeToFirstTokenMs": first_token_ms,
        "SampleWeight": 1.0,
    } | more


SPANS = [
    span(R1, 1, "10:01:00", "gpt-4o", 100),
    span(R1, 2, "10:01:02", "gpt-4o", 200, ParentSpanId=f"{1:016x}", StatusCode="Error", StatusMessage="rate limit"),
    # Stands for eight such calls: the median of the ten is its own.
    span("6" * 32, 3, "10:02:00", "gpt-4o", 900, SampleWeight=8.0),
    # 1.25 calls against one: the median of the 2.25 is the former's, which rounding the weight would hide.
    span(R2, 4, "10:12:00", "claude", 50, SampleWeight=1.25),
    span(R2, 5, "10:12:10", "claude", 400),
    span(R2, 6, "10:12:10", "claude", 5000, UsageScope="duplicate"),
    span(R2, 7, "10:12:10", "claude", 6000, UsageScope="rollup"),
    span(R2, 8, "10:12:11", "claude", 0),
]  # fmt: skip

#: What each panel must show, worked out from the rows above: rows of cells in the order of the SELECT.
EXPECTED = {
    ("clew-cost", "Spend"): [(USD("0.031000010"),)],
    ("clew-cost", "Spend per run"): [(0.03100001 / 4,)],
    ("clew-cost", "Cost per successful run"): [(0.011000001 + 0.02,)],
    ("clew-cost", "Cache share of input"): [(400 / 1640,)],
    ("clew-cost", "Wasted in loops"): [(USD("0.012000004"), 0.012000004 / 0.03100001)],
    ("clew-cost", "Spend by model"): [
        (BAR_0, "gpt-4o", USD("0.011000001")),
        (BAR_1, "claude", USD("0.02")),
        (BAR_1, "gpt-4o", USD("0.000000009")),
    ],
    ("clew-cost", "Spend by agent"): [
        (BAR_0, "planner", USD("0.011000001")),
        (BAR_1, "planner", USD("0.02")),
        (BAR_1, "scout", USD("0.000000009")),
    ],
    # time, fresh input, cache read, cache write, visible output, reasoning
    ("clew-cost", "Tokens by kind"): [(BAR_0, 700, 400, 0, 160, 50), (BAR_1, 240, 0, 300, 140, 0)],
    ("clew-cost", "Unpriced calls"): [("local", "mystery", 3)],
    # started, agent, run, cost, steps, model calls, tokens, loops, outcome, kept
    ("clew-cost", "Most expensive runs"): [
        (at("10:12:00"), "planner", R2, USD("0.02"), 2, 2, 600, 1, "failure", 1),
        (at("10:01:00"), "planner", R1, USD("0.011000001"), 2, 5, 1310, 0, "success", 1),
        (at("10:13:00"), "scout", R3, USD("0.000000009"), 1, 1, 20, 1, "", 0),
        (at("10:14:00"), "", R4, USD(0), 3, 3, 60, 0, "unknown", 1),
    ],
    ("clew-latency", "Model call latency"): [
        (BAR_0, middle(8), middle(16), middle(16)),
        (BAR_1, middle(8), middle(24), middle(24)),
    ],
    ("clew-latency", "Model call latency p95 by model"): [
        (BAR_0, "gpt-4o", middle(16)),
        (BAR_1, "claude", middle(24)),
        (BAR_1, "gpt-4o", middle(0)),
        (BAR_1, "mystery", middle(8)),
    ],
    ("clew-latency", "Time to first token"): [(BAR_0, 900.0, 900.0), (BAR_1, 50.0, 400.0)],
    ("clew-latency", "Error rate"): [
        (BAR_0, "chat", 1 / 5),
        (BAR_0, "execute_tool", 3 / 10),
        (BAR_1, "chat", 0.0),
        (BAR_1, "execute_tool", 0.0),
    ],
    ("clew-latency", "Tool latency p95"): [(BAR_0, "search", middle(0)), (BAR_1, "fetch", middle(-8))],
    # gate, kind, decisions, p50, p95, longest, in all
    ("clew-latency", "Gate waiting time"): [
        ("approve", "human", 2, 1000, 3000, 3000, 4000),
        ("spend limit", "budget", 1, 1500, 1500, 1500, 1500),
    ],
    # operation, model or tool, calls, p50, p95, p99
    ("clew-latency", "Latency by operation and model"): [
        ("chat", "claude", 2, middle(24), middle(24), middle(24)),
        ("chat", "gpt-4o", 6, middle(0), middle(16), middle(16)),
        ("chat", "mystery", 3, middle(8), middle(8), middle(8)),
        ("execute_tool", "search", 10, middle(-16), middle(0), middle(0)),
        ("execute_tool", "fetch", 1, middle(-8), middle(-8), middle(-8)),
    ],
    # started, agent, run, duration, gate wait, steps, model calls, tool calls, status, kept
    ("clew-latency", "Slowest runs"): [
        (at("10:12:00"), "planner", R2, 45_000, 4000, 2, 2, 5, "ok", 1),
        (at("10:01:00"), "planner", R1, 30_000, 1500, 2, 5, 10, "ok", 1),
        (at("10:14:00"), "", R4, 5000, 0, 3, 3, 0, "ok", 1),
        (at("10:13:00"), "scout", R3, 1000, 0, 1, 1, 1, "ok", 0),
    ],
    # since, open for, span, agent, service, run, last heard of: no other open span is in them
    ("clew-latency", "What runs now"): [
        (at("10:02:30"), 690_000, "execute_tool crawl", "planner", "shop", "9" * 32, at("10:14:00")),
        (at("10:02:40"), 680_000, "gate approve", "planner", "shop", "9" * 32, at("10:14:00")),
    ],
    ("clew-loops", "Loops"): [(2,)],
    ("clew-loops", "Runs with a loop"): [(2 / 4,)],
    ("clew-loops", "Wasted on loops"): [(USD("0.012000004"),)],
    ("clew-loops", "Wasted tokens"): [(420,)],
    ("clew-loops", "Loops over time"): [(BAR_1, "alternating", 1), (BAR_1, "same_call", 1)],
    # agent, tool, pattern, loops, repetitions, tokens, wasted
    ("clew-loops", "Waste by agent, tool and pattern"): [
        ("planner", "search", "same_call", 1, 5, 400, USD("0.012")),
        ("scout", "fetch", "alternating", 1, 4, 20, USD("0.000000004")),
    ],
    # began, last seen, run, agent, tool, pattern, repetitions, tokens, wasted, action
    ("clew-loops", "Loops found"): [
        (at("10:13:00"), at("10:13:01"), R3, "scout", "fetch", "alternating", 4, 20, USD("0.000000004"), "none"),
        (at("10:12:10"), at("10:12:40"), R2, "planner", "search", "same_call", 5, 400, USD("0.012"), "none"),
    ],
    ("clew-loops", "Denied gates"): [("approve", "human", 2, 1, 0.5)],
    ("clew-loops", "Errors by tool"): [("search", 10, 3, 0.3)],
    ("clew-loops", "Retries by agent"): [(BAR_0, "planner", 2), (BAR_1, "(none)", 3), (BAR_1, "planner", 1)],
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with PanelStore(tmp_path_factory.mktemp("panels")) as store:
        tables = {"usage_1m": USAGE, "run_deltas": RUNS, "loop_versions": LOOPS, "gates": GATES, "otel_traces": SPANS}
        tables["open_span_marks"] = OPEN
        for table, rows in tables.items():
            for row in rows:  # a part each: nothing may rely on the engine having merged them
                store.insert(table, [row])
        yield store


def cells(rows):
    """Rows as tuples, moments in UTC without a zone, floats to compare with a tolerance."""

    def cell(value):
        if isinstance(value, datetime) and value.tzinfo:
            return value.astimezone(UTC).replace(tzinfo=None)
        return pytest.approx(value, rel=1e-6) if isinstance(value, float) else value

    return [tuple(cell(value) for value in (row.values() if isinstance(row, dict) else row)) for row in rows]


def only(selection: Selection, **chosen: list[str]) -> Selection:
    return Selection(selection.start, selection.end, selection.interval_s, chosen)


# ---- the numbers ----


@pytest.fixture(scope="module")
def shown(store):
    return panel_results(store.rows, EVERYTHING)


def test_every_panel_has_a_known_number(shown):
    assert shown.keys() == EXPECTED.keys()


@pytest.mark.parametrize("panel", EXPECTED, ids=" / ".join)
def test_panel_shows_what_the_rows_add_up_to(shown, panel):
    assert cells(shown[panel]) == cells(EXPECTED[panel])


def test_choices_are_what_the_range_holds(store):
    choices = {
        name: [row["choice"] for row in store.rows(expand(sql, EVERYTHING))]
        for (_, name), sql in variable_sql().items()
    }
    assert choices == {
        "agent": ["planner", "scout"],
        "service": ["lab", "shop"],
        "model": ["claude", "gpt-4o", "gpt-copy", "mystery"],
    }


@pytest.mark.parametrize(
    ("chosen", "panel", "expected"),
    [
        ({"agent": ["scout"]}, ("clew-cost", "Spend"), [(USD("0.000000009"),)]),
        ({"model": ["gpt-4o", "mystery"]}, ("clew-cost", "Spend"), [(USD("0.011000010"),)]),
        ({"agent": ["planner"], "model": ["gpt-4o"]}, ("clew-cost", "Spend"), [(USD("0.011000001"),)]),
        ({"service": ["lab"]}, ("clew-cost", "Wasted in loops"), [(USD("0.000000004"), 4 / 9)]),
        ({"service": ["lab"]}, ("clew-loops", "Loops over time"), [(BAR_1, "alternating", 1)]),
        ({"agent": ["planner"]}, ("clew-loops", "Loops"), [(1,)]),
        ({"model": ["claude"]}, ("clew-latency", "Time to first token"), [(BAR_1, 50.0, 400.0)]),
        ({"service": ["lab"]}, ("clew-latency", "Gate waiting time"), []),
        ({"model": ["claude"]}, ("clew-loops", "Loops"), [(2,)]),
    ],
)
def test_variables_select_the_rows(store, chosen, panel, expected):
    sql = expand(panel_sql()[panel], only(EVERYTHING, **chosen))
    assert cells(store.rows(sql)) == cells(expected)


def test_a_quote_in_a_name_stays_inside_its_string(store):
    hostile = ["o'brien", "' OR 1=1 --"]
    shown = panel_results(store.rows, only(EVERYTHING, agent=hostile, service=hostile, model=hostile))
    assert shown["clew-cost", "Most expensive runs"] == []
    assert shown["clew-loops", "Loops"] == [{"found": 0}]


def test_a_range_without_data_is_empty_and_not_an_error(store):
    never = Selection(datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 2, tzinfo=UTC))
    shown = panel_results(store.rows, never)
    numbers = {panel: rows for panel, rows in shown.items() if rows}
    assert all(value in (None, 0) for rows in numbers.values() for row in rows for value in row.values())
    assert set(numbers) == {panel for panel, rows in EXPECTED.items() if not _grouped(panel)}


def _grouped(panel: tuple[str, str]) -> bool:
    return "GROUP BY" in panel_sql()[panel] or "LIMIT" in panel_sql()[panel]


def test_a_run_links_to_its_spans_as_the_trace_view_wants_them(store):
    links = {
        link["url"]
        for board in boards().values()
        for panel in board["panels"]
        for override in panel["fieldConfig"]["overrides"]
        for found in override["properties"]
        if found["id"] == "links"
        for link in found["value"]
    }
    assert len(links) == 1
    query = _explore_query(links.pop().replace("${__value.raw}", R1))
    assert query["format"] == 3
    rows = store.rows(query["rawSql"])
    assert [row["spanID"] for row in rows] == [f"{1:016x}", f"{2:016x}"]
    child = rows[1]
    assert child.pop("startTime") == at("10:01:02").timestamp() * 1000
    assert child == {
        "traceID": R1,
        "spanID": f"{2:016x}",
        "parentSpanID": f"{1:016x}",
        "serviceName": "shop",
        "operationName": "chat gpt-4o",
        "duration": 1500.0,
        "tags": [{"key": "gen_ai.operation.name", "value": "chat"}],
        "serviceTags": [{"key": "service.name", "value": "shop"}],
        "statusCode": 2,
        "statusMessage": "rate limit",
    }


def _explore_query(url: str) -> dict:
    (panes,) = parse_qs(urlsplit(url).query)["panes"]
    (pane,) = json.loads(panes).values()
    (query,) = pane["queries"]
    return query


# ---- the boards themselves ----


def test_committed_boards_are_what_the_code_makes():
    made = subprocess.run([sys.executable, DASHBOARDS / "build.py", "--check"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr


def test_the_three_boards_keep_their_addresses_and_link_to_each_other():
    assert {uid: board["title"] for uid, board in boards().items()} == {
        "clew-cost": "clew: Cost",
        "clew-latency": "clew: Latency",
        "clew-loops": "clew: Loops",
    }
    for board in boards().values():
        (link,) = board["links"]
        assert link["type"] == "dashboards"
        assert link["keepTime"]
        assert link["includeVars"]
        assert all(set(link["tags"]) <= set(other["tags"]) for other in boards().values())


@pytest.mark.parametrize("uid", boards())
def test_board_is_small_and_its_panels_are_told_apart(uid):
    panels = boards()[uid]["panels"]
    assert 6 <= len(panels) <= 10
    for distinct in ("id", "title"):
        assert Counter(panel[distinct] for panel in panels).most_common(1)[0][1] == 1
    assert all(len(panel["description"]) > 60 for panel in panels)


@pytest.mark.parametrize("uid", boards())
def test_panels_do_not_overlap_and_stay_on_the_grid(uid):
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in boards()[uid]["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


@pytest.mark.parametrize("uid", boards())
def test_the_reader_picks_the_data_source(uid):
    def sources(node):
        if isinstance(node, list):
            return [found for item in node for found in sources(item)]
        if not isinstance(node, dict):
            return []
        own = [node["datasource"]] if "datasource" in node else []
        return own + [found for item in node.values() for found in sources(item)]

    board = boards()[uid]
    found = sources(board)
    assert found
    assert all(source == {"type": "grafana-clickhouse-datasource", "uid": "${datasource}"} for source in found)
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert list(variables) == ["datasource", "agent", "service", "model"]
    assert variables["datasource"]["query"] == "grafana-clickhouse-datasource"
    for name in ("agent", "service", "model"):
        assert variables[name]["includeAll"]
        assert variables[name]["multi"]
        assert variables[name]["current"]["value"] == ["$__all"]


@pytest.mark.parametrize("panel", panel_sql(), ids=" / ".join)
def test_reads_of_spans_are_weighted_and_counts_come_from_exact_tables(panel):
    sql = panel_sql()[panel]
    tables = set(re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", sql)) - {"mapKeys"}
    assert tables <= {"usage_1m", "runs", "loops", "gates", "open_spans", "otel_traces"}
    if "otel_traces" in tables:
        assert "SampleWeight" in sql


@pytest.mark.parametrize("uid", boards())
def test_lines_over_time_start_with_time_and_name_their_series(uid):
    for panel in (panel for panel in boards()[uid]["panels"] if panel["type"] == "timeseries"):
        (target,) = panel["targets"]
        columns = re.findall(r" AS (\w+)", target["rawSql"].split("FROM")[0])
        named = panel["fieldConfig"]["defaults"].get("displayName") == "${__field.labels.series}"
        assert target["format"] == 0
        assert "ORDER BY time" in target["rawSql"]
        assert named == bool(re.search(r"\bseries\b", target["rawSql"])), columns


@pytest.mark.parametrize(
    "sql",
    ["SELECT $__timeFliter(t)", "SELECT ${agent:sqlstring}", "SELECT $__conditionalAll(a IN (1), $agent, 2)"],
)
def test_a_macro_the_data_source_does_not_know_is_an_error(sql):
    with pytest.raises(UnknownMacroError):
        expand(sql, EVERYTHING)
