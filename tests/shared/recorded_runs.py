"""Hand-made runs in the store's tables: a loop, a denied gate, hostile and broken spans, a very long run.

They happen in the year 2100, so that every age reads ``0s`` and any ``--since`` includes them whenever the tests run.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

#: 2100-01-02 03:04:05 UTC in nanoseconds.
T0 = 4_102_542_245_000_000_000
MS = 1_000_000

LOOPING = "a1" * 16
DENIED = "b2" * 16
BROKEN = "c3" * 16
LONG = "d4" * 16
SAMPLED_OUT = "e5" * 16
BARE = "f6" * 16
TWINS = ("abcdef0121" + "0" * 22, "abcdef0122" + "0" * 22)
LONG_AGO = "99" * 16
HUNG = "1a" * 16
KILLED = "2b" * 16

#: Moves the cursor, recolours, reverses the reading direction, breaks the line.
HOSTILE = "evil\x1b[2J\x1b]0;owned\x07\r\n\u202egnp.exe\x9b31m"


def _at(nanos: int) -> str:
    return f"{nanos // 10**9}.{nanos % 10**9:09d}"


@dataclass
class Run:
    """One run's rows. Every method adds one; ``at`` and ``took`` are milliseconds from `T0`."""

    trace_id: str
    agent: str
    start: int = T0
    service: str = "svc"
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    spans: int = 0

    def add(self, table: str, **row: Any) -> None:
        self.rows.setdefault(table, []).append(row)

    def span(self, name: str, op: str = "", *, parent: str = "", at: int = 0, took: int = 1, **columns: Any) -> str:
        """A span; returns its id. Costs go as text."""
        self.spans += 1
        span_id = columns.pop("SpanId", f"{self.spans:016x}")
        self.add(
            "otel_traces",
            Timestamp=_at(self.start + at * MS),
            TraceId=self.trace_id,
            SpanId=span_id,
            ParentSpanId=parent,
            SpanName=name,
            ServiceName=self.service,
            Duration=took * MS,
            Op=op,
            Status=columns.pop("Status", "ok"),
            **columns,
        )
        return span_id

    def chat(self, tokens: tuple[int, int], usd: str, *, model: str = "gpt-4o-mini", **columns: Any) -> str:
        """A priced model call."""
        own = {"UsageScope": "own", "CostSource": "computed", "InputTokens": tokens[0], "OutputTokens": tokens[1]}
        return self.span(f"chat {model}", "chat", **{**own, "CostUsd": usd, "RequestModel": model, **columns})

    def tool(self, tool: str, *, args: int, **columns: Any) -> str:
        """A tool call."""
        return self.span(f"execute_tool {tool}", "execute_tool", ToolName=tool, ArgsHash=str(args), **columns)

    def gate(self, span_id: str, name: str, outcome: str, *, at: int, wait: int = 0, **columns: Any) -> None:
        """A gate decision."""
        self.add(
            "gates",
            tenant_id="default",
            trace_id=self.trace_id,
            span_id=span_id,
            agent_name=self.agent,
            gate_name=name,
            outcome=outcome,
            requested_at=_at(self.start + at * MS),
            decided_at=_at(self.start + (at + wait) * MS),
            wait_ms=wait,
            **columns,
        )

    def loop(self, first: str, last: str, tool: str, args: int, *, at: tuple[int, int], **columns: Any) -> None:
        """A loop."""
        self.add(
            "loop_versions",
            tenant_id="default",
            trace_id=self.trace_id,
            agent_name=self.agent,
            pattern="same_call",
            period=1,
            first_span_id=first,
            last_span_id=last,
            tool_name=tool,
            fingerprint=str(args),
            started_at=_at(self.start + at[0] * MS),
            last_seen_at=_at(self.start + at[1] * MS),
            action="none",
            version=1,
            deleted=0,
            **columns,
        )

    def open(
        self, span_id: str, name: str, op: str, *, heard: int, parent: str = "", at: int = 0, **columns: Any
    ) -> None:
        """A span that has not ended; ``heard`` is when its process said so last."""
        self.add(
            "open_span_marks",
            **{"tenant_id": "default", "agent_name": self.agent, "service_name": self.service} | columns,
            trace_id=self.trace_id,
            span_id=span_id,
            parent_span_id=parent,
            name=name,
            op=op,
            started_at=_at(self.start + at * MS),
            last_seen_at=_at(self.start + heard * MS)[:-6],
        )

    def sums(self, *, took: int, status: str = "ok", outcome: str = "", version: str = "", **columns: Any) -> Run:
        """The run's own row, in the storage behind ``runs``."""
        self.add(
            "run_deltas",
            day="2100-01-02",
            tenant_id="default",
            trace_id=self.trace_id,
            root={
                "not_root": int(status == "running"),
                "start_ns": self.start,
                "service_name": self.service,
                "status": status,
            },
            agent={
                "start_ns": self.start,
                "name": self.agent,
                "version": version,
                "status": "" if status == "running" else status,
            },
            outcome={"strength": int(bool(outcome)), "time_ns": 0, "status": outcome, "score": -1},
            started_at=_at(self.start),
            ended_at=_at(self.start + took * MS),
            updated_at="2100-01-02 03:04:05",
            sampled=1,
            spans=max(1, self.spans),  # they count from before sampling
            **columns,
        )
        return self

    def statements(self) -> list[str]:
        """INSERTs of all rows."""
        return [
            f"INSERT INTO clew.{table} FORMAT JSONEachRow " + "\n".join(json.dumps(row) for row in rows)
            for table, rows in self.rows.items()
        ]


def looping() -> Run:
    """Five steps that search for the same, then an answer."""
    run = Run(LOOPING, "researcher")
    root = run.span("invoke_agent researcher", "invoke_agent", AgentName="researcher", took=6400)
    tools = []
    for i in range(5):
        step = run.span(f"step {i + 1}", "step", parent=root, at=i * 1200, took=1150, StepKind="act", StepIndex=i + 1)
        run.chat((1200, 40), "0.000204000", parent=step, at=i * 1200 + 1, took=800)
        tools.append(run.tool("web_search", args=77, parent=step, at=i * 1200 + 810, took=300))
    run.chat((1900, 250), "0.000435000", parent=root, at=6000, took=399)
    waste = {"repetitions": 5, "wasted_tokens": 4960, "wasted_cost_usd": "0.000816000"}
    run.loop(tools[0], tools[-1], "web_search", 77, at=(810, 5610), **waste)
    return run.sums(
        took=6400,
        outcome="failure",
        version="1.2",
        step_spans=5,
        model_calls=6,
        tool_calls=5,
        input_tokens=7900,
        output_tokens=450,
        cache_read_tokens=1000,
        cost_usd="0.001455000",
        loops=1,
        loop_tokens=4960,
        loop_cost_usd="0.000816000",
    )


def denied() -> Run:
    """A tool that passes a policy, a deployment a person says no to, and a tool that fails three times."""
    run = Run(DENIED, "deploy-bot-for-the-european-production-cluster", start=T0 - 60_000 * MS)
    root = run.span("invoke_agent", "invoke_agent", AgentName=run.agent, took=9000, Status="error", ErrorType="Denied")
    run.chat((800, 60), "0.000156000", parent=root, took=900)
    plan = run.tool("read_plan", args=5, parent=root, at=1000, took=20)
    run.gate(plan, "tool-policy", "allow", at=1000, kind="policy", source="policy")
    for i in range(3):
        run.tool(
            "check_status_of_every_replica_in_every_region_before_the_rollout",
            args=9,
            parent=root,
            at=1100 + i * 400,
            took=300,
            Status="error",
            ErrorType="TimeoutError",
            StatusMessage="no answer from replica-17.eu-central-1.internal within 300 ms; 3 attempts so far",
        )
    asked = run.span("gate deploy", "gate", parent=root, at=3000, took=4200, GateName="deploy", GateOutcome="deny")
    run.gate(
        asked,
        "deploy",
        "deny",
        at=3000,
        wait=4200,
        kind="human",
        actor_type="human",
        reason="three replicas do not answer; not on a Friday",
    )
    return run.sums(
        took=9000,
        status="error",
        outcome="partial",
        model_calls=1,
        tool_calls=4,
        errors=4,
        retries=2,
        input_tokens=800,
        output_tokens=60,
        cost_usd="0.000156000",
        gates=2,
        gates_denied=1,
        gate_wait_ms=4200,
    )


def broken() -> Run:
    """Hostile names, parents that are missing or go in a circle, a call told twice, a model without a price."""
    run = Run(BROKEN, HOSTILE, start=T0 - 120_000 * MS)
    root = run.span(HOSTILE, "invoke_agent", AgentName=HOSTILE, took=3000)
    # The outer span tells the same call as the one in it, which counts.
    outer = run.chat((500, 20), "0", parent=root, at=10, took=400, UsageScope="duplicate", CostSource="")
    run.chat((500, 20), "0.000087000", parent=outer, at=11, took=398)
    # Corrected later: this one turned out to be a second copy.
    late = run.chat((500, 20), "0.000087000", parent=root, at=500, took=400)
    run.add(
        "span_corrections",
        tenant_id="default",
        trace_id=BROKEN,
        span_id=late,
        usage_scope="duplicate",
        cost_usd="0",
        cost_source="",
        reason="duplicate",
        version=4_102_542_245_000_000_000,
    )
    run.chat((300, 10), "0", parent=root, at=1000, took=200, model="homemade-7b", CostSource="unpriced")
    run.tool(HOSTILE, args=1, parent="feedfacefeedface", at=1500, took=100)
    run.tool(
        "fetch", args=2, parent=root, at=1700, took=50, Status="error", ErrorType="Boom", StatusMessage="\x1b[31mred"
    )
    run.span("circle one", SpanId="0c" * 8, parent="0d" * 8, at=1800)
    run.span("circle two", SpanId="0d" * 8, parent="0c" * 8, at=1801)
    run.span("its own parent", SpanId="0e" * 8, parent="0e" * 8, at=1900)
    return run.sums(
        took=3000,
        model_calls=2,
        tool_calls=2,
        errors=1,
        input_tokens=800,
        output_tokens=30,
        cost_usd="0.000087000",
        unpriced_calls=1,
    )


def long() -> Run:
    """The summary of 5,001 spans (see `long_spans`)."""
    return Run(LONG, "crawler", start=T0 - 3_600_000 * MS).sums(
        took=3_500_000,
        status="running",
        step_spans=1000,
        model_calls=1000,
        tool_calls=2000,
        errors=1,
        input_tokens=2_499_500,
        output_tokens=100_000,
        cost_usd="0.400000000",
    )


#: Spans of each of a thousand steps: id, parent, milliseconds into the step, then the columns that differ.
_STEP = (
    ("s", "'0root'", 0, 3300, "format('step {}', toString(i + 1)) AS SpanName, 'step' AS Op, 'act' AS StepKind"),
    (
        "c",
        "format('{}s', toString(i))",
        1,
        2000,
        (
            "'chat gpt-4o-mini' AS SpanName, 'chat' AS Op, 'gpt-4o-mini' AS RequestModel, "
            "'own' AS UsageScope, 2000 + i AS InputTokens, 100 AS OutputTokens, "
            "toDecimal64('0.0004', 9) AS CostUsd, 'computed' AS CostSource"
        ),
    ),
    (
        "f",
        "format('{}s', toString(i))",
        2100,
        500,
        (
            "'execute_tool fetch_page' AS SpanName, 'execute_tool' AS Op, 'fetch_page' AS ToolName, "
            "10000 + i AS ArgsHash, "
            "if(i = 500, 'error', 'ok') AS Status, if(i = 500, 'HTTPError', '') AS ErrorType, "
            "if(i = 500, '404', '') AS StatusMessage"
        ),
    ),
    (
        "t",
        "format('{}s', toString(i))",
        2700,
        300,
        (
            "if(i % 2 = 1, 'extract', 'summarise') AS ToolName, format('execute_tool {}', ToolName) AS SpanName, "
            "'execute_tool' AS Op, 20000 + i AS ArgsHash"
        ),
    ),
    ("p", "format('{}s', toString(i))", 3100, 10, "'POST /index' AS SpanName"),
)


def long_spans() -> list[str]:
    """A root and a thousand steps of a model call, two tools and a request; other arguments every time, one fails."""
    start = T0 - 3_600_000 * MS
    columns = [re.findall(r" AS (\w+)", spec) for *_, spec in _STEP]
    return [
        (
            f"INSERT INTO clew.otel_traces (Timestamp, TraceId, SpanId, SpanName, Op, AgentName, Duration) VALUES "
            f"('{_at(start)}', '{LONG}', '0root', 'invoke_agent crawler', 'invoke_agent', 'crawler', {3_500_000 * MS})"
        ),
        *(
            f"INSERT INTO clew.otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, Duration, {', '.join(names)}) "
            f"SELECT fromUnixTimestamp64Nano(toInt64({start} + (i * 3400 + {at}) * {MS})), '{LONG}', "
            f"format('{{}}{letter}', toString(i)), {parent}, {took * MS}, {spec} "
            f"FROM (SELECT number AS i FROM numbers(1000))"
            for (letter, parent, at, took, spec), names in zip(_STEP, columns, strict=True)
        ),
    ]


def hung() -> Run:
    """An agent that has waited for its tool for fourteen minutes, while its process says that it lives."""
    run = Run(HUNG, "night-shift", start=T0 - 400_000 * MS)
    root, step = "00000000000000a1", "00000000000000a2"
    run.open(root, "invoke_agent night-shift", "invoke_agent", heard=840_000)
    run.chat((1500, 60), "0.000261000", parent=root, at=20, took=900, AgentName="night-shift")
    run.open(step, "step reconcile", "step", parent=root, at=1000, heard=840_000, step_kind="act")
    run.tool("read_ledger", args=1, parent=step, at=1100, took=250)
    run.open("00000000000000a3", "execute_tool call_bank", "execute_tool", parent=step, at=2000, heard=840_000,
             tool_name="call_bank", args_hash="2")  # fmt: skip
    return run.sums(
        took=2000, status="running", model_calls=1, tool_calls=1, input_tokens=1500, output_tokens=60,
        cost_usd="0.000261000", open_spans=3,
    )  # fmt: skip


def killed() -> Run:
    """Two tools at once, in a process that is not heard of any more after two minutes; another of the run lives."""
    run = Run(KILLED, "day-shift", start=T0 - 500_000 * MS)
    root, sub = "00000000000000b1", "00000000000000b2"
    run.open(root, "invoke_agent day-shift", "invoke_agent", heard=840_000)
    run.open(sub, "invoke_agent helper", "invoke_agent", parent=root, at=1000, heard=121_000, agent_name="helper")
    for i in (3, 4):
        run.open(f"00000000000000b{i}", "execute_tool crawl", "execute_tool", parent=sub, at=1000 + i, heard=121_000,
                 tool_name="crawl")  # fmt: skip
    return run.sums(took=1004, status="running", open_spans=4)


def bare() -> Run:
    """A plain client loop: the models ask for the same tool again and again, no tool is a span."""
    run = Run(BARE, "", start=T0 - 240_000 * MS, service="notebook")
    root = run.span("main", took=4000)
    chats = [run.chat((700, 30), "0.000123000", parent=root, at=i * 900, took=700) for i in range(4)]
    waste = {"repetitions": 3, "wasted_tokens": 1460, "wasted_cost_usd": "0.000246000"}
    run.loop(chats[0], chats[2], "lookup", 42, at=(0, 1800), **waste)
    return run.sums(
        took=4000,
        model_calls=4,
        requested_tool_calls=3,
        input_tokens=2800,
        output_tokens=120,
        cost_usd="0.000492000",
        loops=1,
        loop_tokens=1460,
        loop_cost_usd="0.000246000",
    )


def without_spans(trace_id: str, agent: str, *, start: int = T0 - 300_000 * MS) -> Run:
    """A run of which sampling kept no span."""
    totals = {"model_calls": 2, "input_tokens": 100, "output_tokens": 10, "cost_usd": "0.000000375"}
    return Run(trace_id, agent, start=start).sums(took=1500, **totals)


def ledger() -> list[str]:
    """A balanced ledger with something rejected, and a minute of usage without a price."""
    return [
        (
            "INSERT INTO clew.ledger_1m VALUES ('2100-01-02 03:04:00', 'default', 'traces', '', 5050, 5040, 10, 0, 0), "
            "('2100-01-02 03:04:00', 'default', 'traces', 'bad_id', 2, 0, 0, 2, 0)"
        ),
        (
            "INSERT INTO clew.usage_1m (minute, tenant_id, provider, model, op, calls, unpriced_calls) VALUES "
            "('2100-01-02 03:04:00', 'default', 'local', 'homemade-7b', 'chat', 1, 1)"
        ),
    ]


def statements() -> list[str]:
    """INSERTs of all of them."""
    all_runs = [
        looping(),
        denied(),
        broken(),
        long(),
        bare(),
        hung(),
        killed(),
        without_spans(SAMPLED_OUT, "sampled"),
        *(without_spans(twin, "twin") for twin in TWINS),
        without_spans(LONG_AGO, "old", start=10**18),
    ]
    return [statement for run in all_runs for statement in run.statements()] + long_spans() + ledger()
