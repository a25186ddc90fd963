"""One model call seen as several spans counts once: which copy is own, and what later ones take back."""

from __future__ import annotations

from itertools import permutations

import pytest

from clew_processor.enrich import calls as calls_module
from shared.genai import agent, at, chat
from shared.merged import merged_runs, merged_usage
from shared.otlp import request
from shared.pipeline import ARRIVAL, Recorder, arrived, new_pipeline
from shared.stages import SECOND, Arrival, Stages, decoded, run

TWO = {"input": 100, "output": 10}
THREE = {"input": 100, "output": 10, "read": 40}


def sent(*batches, settle_s: float = 600, apart_s: float = 0.05) -> Recorder:
    """Each batch arrives `apart_s` after the one before."""
    sink = Recorder()
    pipeline = new_pipeline(sink, settle_s=settle_s)
    for i, spans in enumerate(batches):
        pipeline.process([arrived(request(*spans), at=ARRIVAL + round(i * apart_s * 10**9))])
    return sink


def scopes(sink: Recorder) -> dict[int, str]:
    """Usage scope by span id, later verdicts applied."""
    found = {int(row["SpanId"], 16): row["UsageScope"] for row in sink.rows("otel_traces")}
    return found | {int(row["span_id"], 16): row["usage_scope"] for row in sink.rows("span_corrections")}


def counted(sink: Recorder) -> tuple[int, int]:
    """Model calls and input tokens over all runs; usage_1m says the same."""
    runs, minutes = merged_runs(sink).values(), merged_usage(sink)
    calls = sum(run["model_calls"] for run in runs)
    tokens = sum(run["input_tokens"] for run in runs)
    assert sum(row["calls"] for where, row in minutes.items() if where[-1] == "chat") == calls
    assert sum(row["input_tokens"] for row in minutes.values()) == tokens
    assert sum(run["cost_usd"] for run in runs) == sum(row["cost_usd"] for row in minutes.values())
    return calls, tokens


COPIES = {
    "more kinds of tokens": ([chat(1, tokens=TWO, response="r"), chat(2, tokens=THREE, response="r")], 2),
    "the lower span id among equals": ([chat(2, tokens=TWO, response="r"), chat(1, tokens=TWO, response="r")], 1),
    "the lower trace id before the lower span id": (
        [chat(1, tokens=TWO, response="r", trace_id=2), chat(2, tokens=TWO, response="r", trace_id=1)],
        2,
    ),
    "one of three": ([chat(i, tokens=tokens, response="r") for i, tokens in ((1, TWO), (2, THREE), (3, TWO))], 2),
    "one with usage before one without": ([chat(1, response="r"), chat(2, tokens=TWO, response="r")], 2),
}


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
@pytest.mark.parametrize("what", COPIES)
def test_own_is(what, together):
    spans, own = COPIES[what]
    for order in permutations(spans):
        sink = sent(order) if together else sent(*([span] for span in order))
        assert counted(sink) == (1, 100), what
        verdicts = scopes(sink)
        assert verdicts.pop(own) == "own"
        assert set(verdicts.values()) == {"duplicate"}


def test_copies_never_cost():
    sink = sent([chat(2, tokens=TWO, response="r")], [chat(1, tokens=TWO, response="r")])
    first, better = sink.rows("otel_traces")
    assert first["CostUsd"] == better["CostUsd"] > 0
    (correction,) = sink.rows("span_corrections")
    assert (int(correction["span_id"], 16), correction["cost_usd"], correction["cost_source"]) == (2, 0, "")
    assert correction["reason"] == "duplicate"


def test_a_correction_stands_in_the_minute_of_the_call_it_corrects():
    sink = sent([chat(2, tokens=TWO, response="r", start=at(0))], [chat(1, tokens=TWO, response="r", start=at(120))])
    minutes = {where[0]: row["calls"] for where, row in merged_usage(sink).items()}
    assert minutes == {at(120) // 10**9 // 60 * 60: 1}


def test_a_trace_left_with_copies_counts_no_spans():
    """The view `runs` shows no such trace."""
    for first, second in ((1, 2), (2, 1)):
        spans = {i: chat(i, tokens=TWO, response="r", trace_id=i) for i in (1, 2)}
        sink = sent([spans[first]], [spans[second]])
        assert {int(trace, 16): run["spans"] for (_, trace), run in merged_runs(sink).items()} == {1: 1, 2: 0}


def test_same_response_id_of_another_tenant_is_another_call():
    sink = Recorder()
    pipeline = new_pipeline(sink)
    for tenant in ("one", "other"):
        pipeline.process([arrived(request(chat(1, tokens=TWO, response="r")), tenant=tenant)])
    assert counted(sink) == (2, 200)


def test_different_responses_are_different_calls():
    assert counted(sent([chat(1, tokens=TWO, response="a"), chat(2, tokens=TWO, response="b")])) == (2, 200)


def test_a_copy_within_the_settling_time_is_told_and_a_later_one_counts():
    copies = [[chat(1, tokens=TWO, response="r")], [chat(2, tokens=TWO, response="r")]]
    assert counted(sent(*copies, settle_s=600, apart_s=599)) == (1, 100)
    assert counted(sent(*copies, settle_s=600, apart_s=601)) == (2, 200)


LATE = {
    "never": ([], 0),
    "within the settling time": ([599], 0),
    "right after it": ([601], 1),
    "long after it": ([1100], 1),
    "after each time": ([700, 1400], 2),
    "after one that was told": ([300, 601], 1),
}


@pytest.mark.parametrize("when", LATE)
def test_copies_that_come_too_late_are_counted_apart(when):
    """Each copy arrives so many seconds after the first call; what is still told renews nothing."""
    after, expected = LATE[when]
    stages = Stages(settle_s=600)
    arrivals = [Arrival(ARRIVAL, ((chat(1, tokens=TWO, response="r"),),))]
    for i, seconds in enumerate(after, 2):
        arrivals.append(Arrival(ARRIVAL + (seconds - 1) * SECOND, ()))
        arrivals.append(Arrival(ARRIVAL + seconds * SECOND, ((chat(i, tokens=TWO, response="r"),),)))
    tables = run(stages, decoded(arrivals))
    assert sum(int(found.get("late duplicates", 0)) for found in tables) == expected


def test_a_late_copy_is_told_from_the_ones_that_come_after_it():
    """It counts, and is the call that further copies are compared with."""
    copies = [[chat(i, tokens=TWO, response="r")] for i in (1, 2, 3)]
    sink = sent(*copies, settle_s=600, apart_s=500)
    assert counted(sink) == (2, 200)
    assert scopes(sink) == {1: "own", 2: "duplicate", 3: "own"}


def remembered(stages: Stages) -> int:
    return sum(calls.rows for calls in stages.enricher.state()["usage"][0]["calls"])


def test_what_is_settled_is_forgotten_also_while_nothing_comes():
    stages = Stages(settle_s=10)
    for i in range(5):
        spans = (chat(10 * i + 1, response=f"r{i}", tokens=TWO), chat(10 * i + 2, parent_id=10 * i + 9))
        run(stages, decoded([Arrival(ARRIVAL + i * 11 * SECOND, (spans,))]))
        assert remembered(stages) == 2
    stages.enricher.tick(ARRIVAL + 54 * SECOND)
    assert remembered(stages) == 2
    stages.enricher.tick(ARRIVAL + 55 * SECOND)
    assert remembered(stages) == 0
    assert not stages.enricher._usage._calls._waiting


@pytest.mark.parametrize("jump_s", [-86_400 * 365, -3600, 3600, 86_400 * 365])
def test_a_clock_that_is_set_keeps_nothing_for_ever(jump_s):
    """Batches under the wrong clock between batches under the right one."""
    stages = Stages(settle_s=600)
    for seconds in (0, 5, jump_s, jump_s + 5, 10, 15):
        run(stages, decoded([Arrival(ARRIVAL + seconds * SECOND, ((chat(abs(seconds) + 1, tokens=TWO),),))]))
    assert remembered(stages) >= 2
    stages.enricher.tick(ARRIVAL + 615 * SECOND)
    stages.enricher.tick(ARRIVAL + 616 * SECOND)
    assert remembered(stages) == 0


def test_a_clock_that_is_set_back_does_not_hide_a_copy():
    sink = Recorder()
    pipeline = new_pipeline(sink)
    for i, seconds in enumerate((0, -86_400, -86_100), 1):
        pipeline.process([arrived(request(chat(i, tokens=TWO, response="r")), at=ARRIVAL + seconds * SECOND)])
    assert counted(sink) == (1, 100)


def test_more_calls_than_are_remembered_forget_the_oldest(monkeypatch):
    monkeypatch.setattr(calls_module, "MAX_CALLS", 3)
    fillers = [[chat(100 + i, tokens={"input": 1}, response=f"x{i}")] for i in range(6)]
    copy = [chat(2, tokens=TWO, response="r")]
    assert counted(sent([chat(1, tokens=TWO, response="r")], fillers[0], copy))[0] == 2
    assert counted(sent([chat(1, tokens=TWO, response="r")], *fillers, copy))[0] == 8


NESTED = {
    "a failed attempt seen from below is the copy": (chat(1), chat(2, parent_id=1), 1),
    "a child with usage is the call itself": (chat(1), chat(2, parent_id=1, tokens=TWO), 2),
    "a child with usage and id, a parent without": (chat(1, tokens=TWO), chat(2, parent_id=1, tokens=TWO,
    response="r"), 2),
    "a child without usage below a call with all of it": (chat(1, tokens=TWO, response="r"), chat(2, parent_id=1), 1),
}  # fmt: skip


@pytest.mark.parametrize("how", ["parent first", "child first", "one batch"])
@pytest.mark.parametrize("what", NESTED)
def test_inference_directly_inside_inference_counts_once(what, how):
    parent, child, counts = NESTED[what]
    batches = {"parent first": ([parent], [child]), "child first": ([child], [parent]), "one batch": ([parent, child],)}
    sink = sent(*batches[how])
    tokens = 100 if any("usage" in a.key for s in (parent, child) for a in s.attributes) else 0
    assert counted(sink) == (1, tokens)
    verdicts = scopes(sink)
    assert verdicts[3 - counts] == "duplicate"
    assert verdicts[counts] != "duplicate"


def test_two_failed_attempts_within_one_call_count_once():
    attempts = [chat(2, parent_id=1), chat(3, parent_id=1), chat(4, parent_id=1, tokens=TWO)]
    for order in permutations([chat(1), *attempts]):
        assert counted(sent(*([span] for span in order))) == counted(sent(order)) == (1, 100)


def test_nested_calls_with_responses_of_their_own_are_two():
    parent, child = chat(1, tokens=TWO, response="a"), chat(2, parent_id=1, tokens=TWO, response="b")
    assert (
        counted(sent([parent, child]))
        == counted(sent([child], [parent]))
        == counted(sent([parent], [child]))
        == (2, 200)
    )


def test_a_call_inside_an_agent_is_not_its_copy():
    spans = [agent(1, attributes={"gen_ai.usage.input_tokens": 100}), chat(2, parent_id=1, tokens=TWO)]
    sink = sent(spans)
    assert counted(sink) == (1, 100)
    assert scopes(sink) == {1: "rollup", 2: "own"}


def test_same_span_ids_in_another_trace_are_not_nested():
    parent, stranger = chat(1, trace_id=1, tokens=TWO), chat(2, trace_id=2, parent_id=1)
    assert counted(sent([parent], [stranger]))[0] == counted(sent([stranger], [parent]))[0] == 2


def test_a_failed_call_that_is_a_copy_takes_its_error_back():
    parent, child = (
        chat(1, attributes={"error.type": "api_error"}),
        chat(2, parent_id=1, attributes={"error.type": "api_error"}),
    )
    for batches in ([[parent, child]], [[parent], [child]], [[child], [parent]]):
        ((_, run),) = merged_runs(sent(*batches)).items()
        assert (run["model_calls"], run["errors"], run["calls_without_usage"], run["unpriced_calls"]) == (1, 1, 0, 0)


def test_a_copy_without_usage_leaves_no_gap_behind():
    bare, full = chat(2, response="r"), chat(1, tokens=TWO, response="r")
    for batches in ([[bare, full]], [[bare], [full]], [[full], [bare]]):
        ((_, run),) = merged_runs(sent(*batches)).items()
        assert (run["model_calls"], run["calls_without_usage"], run["unpriced_calls"]) == (1, 0, 0)


OF_AGENT = {
    "less kinds of tokens": (chat(9, trace_id=9, tokens=TWO, response="r"), chat(1, tokens=THREE, response="r")),
    "a higher id": (chat(9, trace_id=9, tokens=TWO, response="r"), chat(1, tokens=TWO, response="r")),
    "no usage at all": (chat(9, trace_id=9, response="r"), chat(1, tokens=TWO, response="r")),
}


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
@pytest.mark.parametrize("op", ["invoke_agent", "invoke_workflow"])
@pytest.mark.parametrize("what", OF_AGENT)
def test_own_is_the_copy_inside_an_agents_tree_even_with(what, op, together):
    """The agent's span comes before, between or after them."""
    inside, outside = OF_AGENT[what]
    around = agent(8, trace_id=9, attributes={"gen_ai.operation.name": op})
    for order in permutations([inside, outside, around]):
        sink = sent(order) if together else sent(*([span] for span in order))
        calls, tokens = counted(sink)
        assert (calls, tokens) == (1, 100)
        verdicts = scopes(sink)
        assert (verdicts[9], verdicts[1]) == ("own", "duplicate")
        runs = {int(trace, 16): run for (_, trace), run in merged_runs(sink).items()}
        assert (runs[9]["model_calls"], runs[9]["calls_without_usage"], runs[9]["unpriced_calls"]) == (1, 0, 0)
        assert runs[1]["spans"] == runs[1]["cost_usd"] == 0


def test_a_reinstated_copy_costs_what_it_would_have_cost():
    inside = chat(9, trace_id=9, tokens=TWO, response="r", asks=[("search", {})])
    told = {"clew.cost.usd": 0.5, "clew.cost.source": "gateway"}
    sink = sent([chat(1, tokens=TWO, response="r", attributes=told)], [inside], [agent(8, trace_id=9)])
    cost = counted(sent([inside])) and sent([inside]).rows("otel_traces")[0]["CostUsd"]
    gone, back = sorted(sink.rows("span_corrections"), key=lambda row: row["reason"])
    assert (gone["usage_scope"], gone["cost_usd"], gone["reason"]) == ("duplicate", 0, "duplicate")
    assert (int(back["trace_id"], 16), int(back["span_id"], 16), back["usage_scope"]) == (9, 9, "own")
    assert (back["cost_usd"], back["cost_source"], back["reason"]) == (cost, "computed", "reinstated")
    runs = {int(trace, 16): run for (_, trace), run in merged_runs(sink).items()}
    assert (runs[9]["cost_usd"], runs[9]["requested_tool_calls"], runs[1]["cost_usd"]) == (cost, 1, 0)


def test_two_agents_copies_are_told_apart_by_their_tokens_again():
    spans = [
        chat(1, trace_id=1, tokens=TWO, response="r"), chat(2, trace_id=2, tokens=THREE, response="r"),
        agent(11, trace_id=1), agent(12, trace_id=2),
    ]  # fmt: skip
    for order in permutations(spans):
        sink = sent(*([span] for span in order))
        assert counted(sink) == (1, 100)
        assert {span: scope for span, scope in scopes(sink).items() if span < 10} == {1: "duplicate", 2: "own"}


def test_an_agent_of_another_tenants_trace_vouches_for_nothing():
    sink = Recorder()
    pipeline = new_pipeline(sink)
    pipeline.process([arrived(request(agent(8, trace_id=9)), tenant="other")])
    pipeline.process([arrived(request(chat(9, trace_id=9, tokens=TWO, response="r")))])
    pipeline.process([arrived(request(chat(1, tokens=TWO, response="r")))])
    assert scopes(sink)[1] == "own"


def test_an_agent_that_comes_when_all_is_settled_changes_nothing():
    inside, outside = OF_AGENT["a higher id"]
    sink = sent([outside], [inside], [agent(8, trace_id=9)], settle_s=600, apart_s=400)
    assert (scopes(sink)[1], scopes(sink)[9]) == ("own", "duplicate")
    assert counted(sink) == (1, 100)
