"""Usage on agents, workflows and steps: it counts where nothing below tells any, and is taken back when some does."""

from __future__ import annotations

from itertools import permutations

import pytest

from clew_processor.enrich import carriers, links
from shared.genai import at, chat, tool
from shared.merged import merged_runs, merged_usage
from shared.otlp import request, span
from shared.pipeline import ARRIVAL, Recorder, arrived, new_pipeline
from shared.stages import SECOND, Arrival, Stages, decoded, run

USAGE = {"gen_ai.usage.input_tokens": 300, "gen_ai.usage.output_tokens": 30}
CALL = {"input": 100, "output": 10}


def carrier(span_id: int, op: str = "invoke_agent", **fields):
    known = {"gen_ai.operation.name": op, "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini"}
    return span(op, known | USAGE, span_id=span_id, **fields)


def plain(span_id: int, **fields):
    return span("GET /", span_id=span_id, **fields)


def sent(*batches, settle_s: float = 600, apart_s: float = 0.05) -> Recorder:
    sink = Recorder()
    pipeline = new_pipeline(sink, settle_s=settle_s)
    for i, spans in enumerate(batches):
        pipeline.process([arrived(request(*spans), at=ARRIVAL + round(i * apart_s * 10**9))])
    return sink


def one_by_one(spans, **how) -> Recorder:
    return sent(*([each] for each in spans), **how)


def scopes(sink: Recorder) -> dict[int, str]:
    found = {int(row["SpanId"], 16): row["UsageScope"] for row in sink.rows("otel_traces")}
    found |= {int(row["span_id"], 16): row["usage_scope"] for row in sink.rows("span_corrections")}
    return {span_id: scope for span_id, scope in found.items() if scope}


def tokens(sink: Recorder) -> int:
    """Input tokens, the same in both places."""
    runs = sum(row["input_tokens"] for row in merged_runs(sink).values())
    assert sum(row["input_tokens"] for row in merged_usage(sink).values()) == runs
    costs = sum(row["cost_usd"] for row in merged_runs(sink).values())
    assert sum(row["cost_usd"] for row in merged_usage(sink).values()) == costs
    return runs


TREES = {
    "an agent over its calls": ([carrier(1), chat(2, parent_id=1, tokens=CALL), chat(3, parent_id=1, tokens=CALL)],
    200, {1: "rollup", 2: "own", 3: "own"}),
    "through spans that are none of ours": ([carrier(1), plain(2, parent_id=1), plain(3, parent_id=2),
    chat(4, parent_id=3, tokens=CALL)], 100, {1: "rollup", 4: "own"}),
    "through a tool": ([carrier(1), tool(2, parent_id=1), chat(3, parent_id=2, tokens=CALL)], 100,
    {1: "rollup", 3: "own"}),
    "the only source": ([carrier(1), chat(2, parent_id=1), tool(3, parent_id=1)], 300, {1: "own"}),
    "the deepest of several": ([carrier(1), carrier(2, "invoke_workflow", parent_id=1), plain(3, parent_id=2),
    carrier(4, parent_id=3), chat(5, parent_id=4)], 300, {1: "rollup", 2: "rollup", 4: "own"}),
    "two only sources below one": ([carrier(1), carrier(2, parent_id=1), carrier(3, parent_id=1)], 600,
    {1: "rollup", 2: "own", 3: "own"}),
    "calls beside are not below": ([carrier(1, parent_id=9), chat(2, parent_id=9, tokens=CALL)], 400,
    {1: "own", 2: "own"}),
    "a copy below proves it as well": ([carrier(1), chat(3, parent_id=1, tokens=CALL, response="r"),
    chat(2, parent_id=8, tokens=CALL, response="r")], 100, {1: "rollup", 2: "own", 3: "duplicate"}),
    "a root over calls whose parents never came": ([carrier(1), chat(2, parent_id=8, tokens=CALL)], 100,
    {1: "rollup", 2: "own"}),
    "inside a call that tells it too": ([chat(1, tokens=CALL), plain(2, parent_id=1), carrier(3, "chain", parent_id=2)],
    100, {1: "own", 3: "rollup"}),
    "what was fetched again": ([carrier(1, "fetch_response")], 0, {1: "rollup"}),
    "another root beside": ([carrier(1), chat(2, tokens=CALL)], 400, {1: "own", 2: "own"}),
    "embeddings": ([carrier(1, "embed"), chat(2, parent_id=1, tokens={"input": 7},
    attributes={"gen_ai.operation.name": "embeddings"})], 7, {1: "rollup", 2: "own"}),
}  # fmt: skip


@pytest.mark.parametrize("what", TREES)
def test_usage_counts_where_nothing_below_tells_any(what):
    spans, total, expected = TREES[what]
    assert tokens(sent(spans)) == total
    for order in permutations(spans):
        sink = one_by_one(order)
        assert tokens(sink) == total
        assert scopes(sink) == expected


@pytest.mark.parametrize("op", ["invoke_agent", "invoke_workflow", "create_agent", "step", "chain", "session", "other"])
def test_whatever_the_span_is_called(op):
    spans = [carrier(1, op), chat(2, parent_id=1, tokens=CALL)]
    assert [tokens(one_by_one(order)) for order in permutations(spans)] == [100, 100]


def test_what_is_taken_back_leaves_the_span_itself():
    sink = one_by_one([carrier(1, start=at(0)), chat(2, parent_id=1, tokens=CALL, start=at(120))])
    (correction,) = sink.rows("span_corrections")
    assert (correction["usage_scope"], correction["cost_usd"], correction["cost_source"]) == ("rollup", 0, "")
    assert (int(correction["span_id"], 16), correction["reason"]) == (1, "rollup")
    (row,) = merged_runs(sink).values()
    assert (row["spans"], row["agent_spans"], row["model_calls"], row["input_tokens"]) == (2, 1, 1, 100)
    by_op = {where[-1]: row for where, row in merged_usage(sink).items()}
    assert (by_op["invoke_agent"]["calls"], by_op["invoke_agent"]["input_tokens"]) == (1, 0)
    assert sum(by_op["invoke_agent"]["duration_buckets"].values()) == 1


def test_parent_and_child_minutes_apart_count_once_and_later_ones_are_settled():
    spans = [carrier(1), plain(2, parent_id=1), chat(3, parent_id=2, tokens=CALL)]
    for order in permutations(spans):
        assert tokens(one_by_one(order, apart_s=299)) == 100
    assert tokens(one_by_one(spans, apart_s=301)) == 400


def test_an_agent_that_ends_long_after_its_last_call_repeats_it():
    call, between = chat(2, parent_id=3, tokens=CALL), plain(3, parent_id=1)
    for spans in ([call, carrier(1)], [call, between, carrier(1)], [call, between, carrier(1, parent_id=7)]):
        assert tokens(one_by_one(spans, apart_s=3600)) == 100


def test_an_agent_whose_turns_are_the_only_source_counts_each():
    turns = [carrier(1), carrier(2), carrier(3)]
    assert tokens(one_by_one(turns, apart_s=3600)) == tokens(one_by_one(turns)) == 900


def test_other_runs_and_tenants_prove_nothing():
    sink = Recorder()
    pipeline = new_pipeline(sink)
    pipeline.process([arrived(request(carrier(1)))])
    pipeline.process([arrived(request(chat(2, parent_id=1, tokens=CALL)), tenant="other")])
    pipeline.process([arrived(request(chat(2, parent_id=1, tokens=CALL, trace_id=77)))])
    assert tokens(sink) == 500


def test_a_chain_that_closes_is_no_end_of_everything():
    spans = [carrier(1, parent_id=3), plain(2, parent_id=1), plain(3, parent_id=2), carrier(4, parent_id=4)]
    assert scopes(sent(spans))[4] == "own"
    for order in permutations(spans):
        assert scopes(one_by_one(order)) == scopes(sent(spans))


def remembered(stages: Stages) -> tuple[int, int, int]:
    """Owners, those that are open, and links."""
    kept = stages.enricher._usage._carriers
    return sum(len(each.span_ids) for each in kept._batches), sum(map(len, kept._of_run.values())), kept._links._rows


def test_what_is_settled_is_forgotten_also_while_nothing_comes():
    stages = Stages(settle_s=10)
    run(stages, decoded([Arrival(ARRIVAL, ((carrier(1), carrier(5)),))]))
    assert remembered(stages) == (2, 2, 2)
    run(stages, decoded([Arrival(ARRIVAL + SECOND, ((chat(2, parent_id=1, tokens=CALL),),))]))
    assert remembered(stages) == (2, 1, 3)
    stages.enricher.tick(ARRIVAL + 10 * SECOND)
    assert remembered(stages) == (2, 1, 3)
    stages.enricher.tick(ARRIVAL + 11 * SECOND)
    assert remembered(stages) == (0, 0, 1)
    stages.enricher.tick(ARRIVAL + 12 * SECOND)
    assert remembered(stages) == (0, 0, 0)


def test_more_than_is_remembered_never_counts_twice(monkeypatch):
    monkeypatch.setattr(links, "MAX_LINKS", 3)
    fillers = [plain(100 + i, trace_id=50 + i) for i in range(6)]
    assert tokens(one_by_one([chat(2, parent_id=1, tokens=CALL), *fillers, carrier(1)])) == 100


def test_more_owners_than_are_remembered_settle_the_oldest(monkeypatch):
    monkeypatch.setattr(carriers, "MAX_OPEN", 2)
    others = [carrier(10 + i, trace_id=50 + i) for i in range(3)]
    assert tokens(one_by_one([carrier(1), others[0], chat(2, parent_id=1, tokens=CALL)])) == 400
    assert tokens(one_by_one([carrier(1), *others, chat(2, parent_id=1, tokens=CALL)])) == 1300
