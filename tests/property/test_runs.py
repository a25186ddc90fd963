"""A run's row is the same however its spans are cut into batches and in whatever order those come."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.engine import fresh_store
from shared.genai import agent, at, chat, gate, outcome, tool
from shared.merged import merged_runs, merged_usage
from shared.otlp import request, span
from shared.pipeline import ARRIVAL, Recorder, arrived, new_pipeline

MAKERS = {
    "agent": lambda i, e, f: agent(i, e["word"], attributes={"gen_ai.agent.version": e["other"]}, **f),
    "chat": lambda i, e, f: chat(
        i, tokens={"input": e["number"], "output": 1}, response=f"r{e['number']}", asks=[("t", {})] * (e["number"] % 2),
        attributes={"gen_ai.conversation.id": e["word"], "user.id": e["other"]}, **f,
    ),
    "tool": lambda i, e, f: tool(i, e["word"], {}, failed=e["number"] == 1, **f),
    "gate": lambda i, e, f: gate(i, "deny" if e["number"] % 2 else "allow", **f),
    "outcome": lambda i, e, f: outcome(i, e["word"], source=e["other"], score=e["number"] / 4, **f),
    "step": lambda i, e, f: span("step", {"clew.step.kind": "plan", "clew.status": e["status"]}, span_id=i, **f),
    "foreign": lambda i, e, f: span("GET", span_id=i, **f),
}  # fmt: skip
SPANS = st.lists(
    st.fixed_dictionaries(
        {
            "what": st.sampled_from(sorted(MAKERS)),
            "trace": st.integers(1, 2),
            "parent": st.sampled_from([0, 0, 1, 99]),
            "start": st.integers(0, 3),  # coarse clocks: many spans start and end together
            "word": st.sampled_from(["b", "a", "ä"]),
            "other": st.sampled_from(["user", "agent", "evaluator"]),
            "status": st.sampled_from(["ok", "error", "interrupted", ""]),
            "service": st.sampled_from(["s1", "s2"]),
            "number": st.integers(0, 4),
        }
    ),
    min_size=1,
    max_size=16,
)


def requests(events):
    made = []
    for i, event in enumerate(events, 1):
        fields = {
            "trace_id": event["trace"],
            "start": at(event["start"]),
            "end": at(event["start"] + event["number"] % 2),
        }
        if event["parent"] not in (0, i):
            fields["parent_id"] = event["parent"]
        made.append(request(MAKERS[event["what"]](i, event, fields), resource={"service.name": event["service"]}))
    return made


def rows(batches, tenant="default", sink=None):
    sink = Recorder() if sink is None else sink
    pipeline = new_pipeline(sink)
    for batch in batches:
        pipeline.process([arrived(body, tenant=tenant) for body in batch])
    return sink


def alone(row):
    """Agents' names are handed down within a batch only, so minutes compare without them."""
    totals = {}
    for where, sums in row.items():
        key = (*where[:3], *where[5:])
        before = totals.get(key, {})
        totals[key] = {name: before.get(name, 0) + value for name, value in sums.items() if name != "duration_buckets"}
    return totals


@settings(max_examples=120)
@given(SPANS, st.data())
def test_any_split_and_order_gives_the_same_rows(events, data):
    bodies = requests(events)
    together = rows([bodies])
    order = data.draw(st.permutations(bodies))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(bodies) - 1)), max_size=5)))
    split = rows([order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True) if order[a:b]])
    assert merged_runs(split) == merged_runs(together)
    assert alone(merged_usage(split)) == alone(merged_usage(together))


def test_the_engine_adds_up_as_the_emulation_does():
    """Forty runs, each in ten splits and orders of its own: ten tenants with the same forty rows."""
    chance = random.Random(7)

    def event(trace):
        return {
            "what": chance.choice(sorted(MAKERS)), "trace": trace, "parent": chance.choice([0, 1, 99]),
            "start": chance.randint(0, 3), "word": chance.choice("abä"), "status": chance.choice(["ok", "error", ""]),
            "other": chance.choice(["user", "agent", "evaluator"]), "service": chance.choice(["s1", "s2"]),
            "number": chance.randint(0, 4),
        }  # fmt: skip

    bodies = requests([event(trace) for trace in range(1, 41) for _ in range(8)])
    sink = Recorder()
    for tenant in range(10):
        order = chance.sample(bodies, len(bodies))
        size = chance.choice([30, 100, 400])
        rows([order[i : i + size] for i in range(0, len(order), size)], tenant=f"tenant {tenant}", sink=sink)
    store = fresh_store()
    for i, part in enumerate(sink.tables["run_deltas"]):
        store.put("run_deltas", part, token=f"part {i}")
    different = store.client.query(
        """SELECT count(), uniqExact(trace_id), countIf(rows > 1) FROM (
               SELECT trace_id, uniqExact(toString(tuple(* EXCEPT (tenant_id, trace_id)))) AS rows
               FROM runs GROUP BY trace_id)"""
    ).result_rows
    assert different == [(40, 40, 0)]

    columns = ["spans", "model_calls", "input_tokens", "cost_usd", "errors", "gates", "sampled", "conversation_id"]
    read = store.client.query(f"SELECT tenant_id, trace_id, {', '.join(columns)} FROM runs").result_rows
    emulated = merged_runs(sink)
    assert {row[:2]: list(row[2:]) for row in read} == {
        key: [row[column] for column in columns] for key, row in emulated.items() if row["spans"]
    }
    assert store.client.command("SELECT toUnixTimestamp64Milli(max(updated_at)) FROM runs") == ARRIVAL // 10**6
