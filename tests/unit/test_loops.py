"""Loops found in spans as they arrive: rows of `loops` and what runs add up to."""

from __future__ import annotations

from decimal import Decimal

import pytest

from clew_processor.enrich import loops as loops_module
from shared.genai import agent, at, chat, tool
from shared.merged import current_loops, merged_runs
from shared.otlp import request
from shared.pipeline import ARRIVAL, TENANT, Recorder, arrived, new_pipeline
from shared.stages import HOUR, SECOND, Arrival, Stages, decoded
from shared.stages import run as run_stages

#: 100 input and 10 output tokens of gpt-4o-mini: 0.15 and 0.60 USD per million.
TOKENS = {"input": 100, "output": 10}
USD = Decimal("0.000021000")
CACHED = Decimal("0.000000075")  # what a token costs less that was read from the cache


def sent(*batches) -> Recorder:
    sink = Recorder()
    pipeline = new_pipeline(sink)
    for spans in batches:
        pipeline.process([arrived(request(*spans))])
    return sink


def turns(count: int, arguments: object = None) -> list:
    """Each turn a model call and the same tool call, a second apart; span ids 1, 2 for the first turn and so on."""
    made = []
    for i in range(count):
        made.append(chat(2 * i + 1, tokens=TOKENS, response=f"r{i}", start=at(i)))
        made.append(tool(2 * i + 2, "search", arguments or {"q": "x"}, start=at(i + 0.5)))
    return made


def found(sink: Recorder) -> list[tuple]:
    return [
        (row["pattern"], row["repetitions"], int(row["first_span_id"], 16), int(row["last_span_id"], 16))
        for row in sorted(current_loops(sink), key=lambda row: row["started_at"])
    ]


def run(sink: Recorder) -> dict:
    (row,) = merged_runs(sink).values()
    return row


def test_three_same_calls_are_a_loop_whatever_model_calls_lie_between():
    sink = sent(turns(3))
    assert found(sink) == [("same_call", 3, 2, 6)]
    (row,) = current_loops(sink)
    assert (row["tool_name"], row["period"], row["action"]) == ("search", 1, "none")
    assert (row["started_at"].value, row["last_seen_at"].value) == (at(0.5), at(2.5))


def test_waste_is_what_led_to_the_second_repetition_and_later():
    sink = sent(turns(5))
    (row,) = current_loops(sink)
    assert row["wasted_tokens"] == 4 * 110
    assert row["wasted_cost_usd"] == 4 * USD
    assert (run(sink)["loops"], run(sink)["loop_tokens"], run(sink)["loop_cost_usd"]) == (1, 440, 4 * USD)


def test_calls_before_and_after_a_loop_are_not_its_waste():
    before = [chat(90, tokens=TOKENS, start=at(-5)), tool(91, "other", {}, start=at(-4))]
    after = [chat(92, tokens=TOKENS, start=at(60)), tool(93, "other", {}, start=at(61))]
    (row,) = current_loops(sent([*before, *turns(3), *after]))
    assert row["wasted_tokens"] == 2 * 110


def test_a_loop_is_told_while_it_goes_on():
    sink, spans = Recorder(), turns(6)
    pipeline = new_pipeline(sink)
    seen = []
    for i in range(0, len(spans), 2):
        pipeline.process([arrived(request(*spans[i : i + 2]))])
        seen.append([row["repetitions"] for row in current_loops(sink)])
    assert seen == [[], [], [3], [4], [5], [6]]
    assert found(sink) == [("same_call", 6, 2, 12)]
    assert run(sink)["loops"] == 1
    assert run(sink)["loop_tokens"] == 5 * 110


@pytest.mark.parametrize(
    "arguments",
    [
        ['{"a":1,"b":"x"}', '{"b":"x","a":1}', ' { "a" : 1 , "b" : "x" } '],
        ['{"a":{"c":2,"d":3}}', '{"a":{"d":3,"c":2}}', '{"a": {"c": 2, "d": 3}}'],
        ['{"a":"é"}', '{"a":"\\u00e9"}', '{"a":"é"}'],
        ['{"a":1}', '{"a":1.0}', '{"a":1,"b":null}'],
    ],
)
def test_spelling_of_arguments_does_not_matter(arguments):
    spans = [tool(i + 1, "search", text, start=at(i)) for i, text in enumerate(arguments)]
    assert found(sent(spans)) == [("same_call", 3, 1, 3)]


@pytest.mark.parametrize(
    "arguments",
    [
        ['{"a":1}', '{"a":2}', '{"a":1}'],
        ['{"a":"1"}', '{"a":1}', '{"a":"1"}'],
        ['{"a":[1,2]}', '{"a":[2,1]}', '{"a":[1,2]}'],
        ['"a"', '"A"', '"a"'],
    ],
)
def test_other_arguments_are_other_calls(arguments):
    spans = [tool(i + 1, "search", text, start=at(i)) for i, text in enumerate(arguments)]
    assert found(sent(spans)) == []


def test_calls_whose_arguments_were_not_recorded_are_never_the_same():
    assert found(sent([tool(i + 1, "search", start=at(i)) for i in range(5)])) == []
    unrecorded = [("search", None)] * 5
    assert found(sent([chat(1, tokens=TOKENS, asks=unrecorded)])) == []


def test_a_tool_without_parameters_can_loop():
    assert found(sent([tool(i + 1, "now", {}, start=at(i)) for i in range(3)])) == [("same_call", 3, 1, 3)]


def test_another_tool_between_breaks_it():
    spans = [tool(i + 1, name, {}, start=at(i)) for i, name in enumerate(["a", "a", "b", "a"])]
    assert found(sent(spans)) == []


def test_retries_after_failure_are_counted_and_no_loop():
    spans = [tool(i + 1, "pay", {"sum": 1}, failed=i < 2, start=at(i)) for i in range(3)]
    sink = sent(spans)
    assert found(sink) == []
    assert run(sink)["retries"] == 2


def test_three_failures_are_a_retry_storm():
    sink = sent([tool(i + 1, "pay", {"sum": 1}, failed=True, start=at(i)) for i in range(3)])
    assert found(sink) == [("retry_storm", 3, 1, 3)]
    assert run(sink)["retries"] == 2


def test_a_storm_that_goes_on_succeeding_becomes_a_loop_and_stays_one_row():
    fails = [tool(i + 1, "pay", {"sum": 1}, failed=True, start=at(i)) for i in range(3)]
    works = [tool(i + 4, "pay", {"sum": 1}, start=at(i + 3)) for i in range(3)]
    sink = sent(fails, works)
    assert found(sink) == [("same_call", 6, 1, 6)]
    assert run(sink)["loops"] == 1


def test_what_a_bare_clients_models_asked_for_is_counted():
    spans = [chat(i + 1, tokens=TOKENS, response=f"r{i}", asks=[("search", {"q": "x"})], start=at(i)) for i in range(4)]
    sink = sent(spans)
    assert found(sink) == [("same_call", 4, 1, 4)]
    (row,) = current_loops(sink)
    assert row["wasted_tokens"] == 3 * 110
    assert run(sink)["requested_tool_calls"] == 4


def test_calls_of_one_answer_stand_in_the_answers_order():
    pair = [("search", {"q": "x"}), ("fetch", {"u": "y"})]
    forth_and_back = [
        chat(i + 1, asks=pair[::1] if i % 2 else pair[::-1], tokens=TOKENS, start=at(i)) for i in range(6)
    ]  # fetch search, search fetch, fetch search: each twice in a row, never three times
    assert found(sent(forth_and_back)) == []


def test_tool_spans_that_come_later_replace_what_was_asked_for():
    asked = [chat(i + 1, asks=[("search", {"q": "x"})], tokens=TOKENS, start=at(i)) for i in range(3)]
    sink, pipeline = Recorder(), None
    pipeline = new_pipeline(sink)
    pipeline.process([arrived(request(*asked))])
    assert found(sink) == [("same_call", 3, 1, 3)]
    executed = [tool(i + 11, "search", {"q": f"really {i}"}, start=at(i + 0.5)) for i in range(3)]
    pipeline.process([arrived(request(*executed))])
    assert found(sink) == []
    assert (run(sink)["loops"], run(sink)["loop_tokens"], run(sink)["loop_cost_usd"]) == (0, 0, 0)


def test_a_late_span_between_disproves_a_loop():
    late = [tool(9, "other", {}, start=at(1.25))]
    sink = sent([span for span in turns(3) if span.name.startswith("execute")], late)
    assert found(sink) == []
    assert run(sink)["loops"] == 0


def test_a_late_span_splits_a_loop_in_two():
    spans = [tool(i + 1, "search", {}, start=at(i)) for i in range(6)]
    sink = sent(spans, [tool(9, "other", {}, start=at(2.5))])
    assert found(sink) == [("same_call", 3, 1, 3), ("same_call", 3, 4, 6)]
    assert run(sink)["loops"] == 2


def test_a_late_span_extends_a_loop_at_its_front():
    spans = [tool(i + 1, "search", {}, start=at(i)) for i in range(4)]
    sink = sent(spans[1:], spans[:1])
    assert found(sink) == [("same_call", 4, 1, 4)]
    assert merged_runs(sink)[TENANT, f"{1:032x}"]["loops"] == 1


def test_late_model_calls_are_added_to_the_waste():
    spans = turns(3)
    sink = sent(
        [span for span in spans if not span.name.startswith("chat")], [s for s in spans if s.name.startswith("chat")]
    )
    (row,) = current_loops(sink)
    assert row["wasted_tokens"] == 220
    assert run(sink)["loop_tokens"] == 220


def test_a_call_that_turns_out_to_be_a_copy_is_not_wasted_twice():
    """The copy with fewer kinds of tokens comes first and is a repetition of the better one."""
    spans = []
    for i in range(3):
        asks = [("search", {"q": "x"})]
        spans.append([chat(20 + i, tokens=TOKENS, response=f"r{i}", asks=asks, start=at(i))])
        spans.append([chat(10 + i, tokens=TOKENS | {"read": 50}, response=f"r{i}", asks=asks, start=at(i))])
    sink = sent(*spans)
    cost = Decimal("0.000017250")  # 50 at 0.15, 50 cached at 0.075, 10 at 0.60 per million
    assert found(sink) == [("same_call", 3, 10, 12)]
    (row,) = current_loops(sink)
    assert (row["wasted_tokens"], row["wasted_cost_usd"]) == (220, 2 * cost)
    totals = run(sink)
    assert (totals["model_calls"], totals["requested_tool_calls"], totals["cost_usd"]) == (3, 3, 3 * cost)
    assert (totals["loops"], totals["loop_tokens"], totals["loop_cost_usd"]) == (1, 220, 2 * cost)


def test_two_loops_in_one_run_are_two_rows():
    spans = [tool(i + 1, name, {}, start=at(i)) for i, name in enumerate("aaabbb")]
    sink = sent(spans)
    assert found(sink) == [("same_call", 3, 1, 3), ("same_call", 3, 4, 6)]
    assert run(sink)["loops"] == 2


def test_runs_do_not_share_calls():
    spans = [tool(i + 1, "search", {}, start=at(i), trace_id=i // 2 + 1) for i in range(4)]
    assert found(sent(spans)) == []


def test_tenants_do_not_share_runs():
    sink = Recorder()
    pipeline = new_pipeline(sink)
    for i in range(4):
        body = request(tool(i + 1, "search", {}, start=at(i)))
        pipeline.process([arrived(body, tenant="one" if i % 2 else "other")])
    assert found(sink) == []


def test_a_loop_names_its_agent():
    spans = [
        agent(9, "clerk", start=at(0), end=at(9)),
        *(tool(i + 1, "search", {}, parent_id=9, start=at(i)) for i in range(3)),
    ]
    (row,) = current_loops(sent(spans))
    assert row["agent_name"] == "clerk"


def test_an_endless_run_is_closed_with_its_loop(monkeypatch):
    monkeypatch.setattr(loops_module, "MAX_CALLS_PER_RUN", 20)
    sink = sent(*([tool(i + 1, "search", {}, start=at(i))] for i in range(50)))
    assert found(sink) == [("same_call", 21, 1, 21)]
    assert run(sink)["loops"] == 1
    assert run(sink)["tool_calls"] == 50


def test_calls_of_longest_ago_are_forgotten_first(monkeypatch):
    monkeypatch.setattr(loops_module, "MAX_EVENTS", 4)
    old, new = ([tool(i + 1, "search", {}, start=at(i), trace_id=trace) for i in range(4)] for trace in (1, 2))
    sink = sent(old[:2], new[:2], new[2:3], old[2:3], old[3:])
    assert {row["trace_id"][-1] for row in current_loops(sink)} == {"2"}


def test_a_loop_that_was_told_stays_when_its_first_calls_are_forgotten(monkeypatch):
    monkeypatch.setattr(loops_module, "MAX_EVENTS", 8)
    looping = [tool(i + 1, "search", {}, start=at(i)) for i in range(6)]
    others = [tool(i + 20, "fetch", {"i": i}, trace_id=2, start=at(i)) for i in range(12)]
    sink = sent(looping[:4], others[:6], looping[4:5], others[6:], looping[5:])
    assert found(sink) == [("same_call", 4, 1, 4)]
    assert merged_runs(sink)[TENANT, f"{1:032x}"]["loops"] == 1


def held(stages: Stages) -> tuple[int, int]:
    """Suspicious runs remembered, and calls kept."""
    state = stages.enricher.state()["loops"]
    return len(state["suspects"]), sum(len(key) for pieces, _ in state["logs"] for key, *_ in pieces)


def test_calls_and_suspicions_are_forgotten_after_a_day():
    stages = Stages()
    spans = (tuple(tool(run, "search", {}, trace_id=run, failed=True) for run in (1, 2)),)
    run_stages(stages, decoded([Arrival(ARRIVAL, spans)]))
    run_stages(stages, decoded([Arrival(ARRIVAL + 20 * HOUR, ((tool(3, "search", {}, trace_id=2),),))]))
    stages.enricher.tick(ARRIVAL + 24 * HOUR)
    assert held(stages) == (2, 3)
    stages.enricher.tick(ARRIVAL + 24 * HOUR + SECOND)
    assert held(stages) == (1, 1)
    stages.enricher.tick(ARRIVAL + 45 * HOUR)
    assert held(stages) == (0, 0)


def test_a_run_that_makes_a_call_twice_is_not_looked_at():
    stages = Stages()
    asks = [("search", {})]
    turns = ((chat(2 * i + 1, asks=asks), tool(2 * i + 2, "search", {})) for i in range(3))
    for suspects in (0, 0, 1):
        run_stages(stages, decoded([Arrival(ARRIVAL, (next(turns),))]))
        assert held(stages)[0] == suspects


def test_no_more_calls_are_kept_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(loops_module, "MAX_EVENTS", 100)
    stages = Stages()
    most = 0
    for i in range(60):
        others = [tool(100 * i + j, "search", {}, trace_id=100 + i) for j in range(1, 30)]
        spans = ((tool(100 * i + 99, "fetch", {"i": i}, trace_id=1), *others),)
        run_stages(stages, decoded([Arrival(ARRIVAL + i * SECOND, spans)]))
        most = max(most, held(stages)[1])
    assert most <= 100


def test_what_a_reinstated_copy_asks_for_is_counted_again():
    """Copies in a trace of their own look better until the agent's span comes; they know more of the cost even then."""
    asks = [("search", {"q": "x"})]
    copies = [chat(i + 1, tokens=TOKENS | {"read": 1}, response=f"r{i}", asks=asks, start=at(i)) for i in range(3)]
    calls = [chat(i + 1, trace_id=2, tokens=TOKENS, response=f"r{i}", asks=asks, start=at(i + 0.5)) for i in range(3)]
    around = [agent(9, trace_id=2, start=at(0), end=at(9))]
    for batches in (
        [copies, calls, around],
        [calls, copies, around],
        [around, calls, copies],
        [copies + calls, around],
    ):
        sink = sent(*batches)
        (row,) = current_loops(sink)
        assert (int(row["trace_id"], 16), row["repetitions"], row["wasted_tokens"]) == (2, 3, 220)
        runs = {int(trace, 16): run for (_, trace), run in merged_runs(sink).items()}
        assert (runs[2]["loops"], runs[2]["loop_tokens"], runs[2]["loop_cost_usd"]) == (1, 220, 2 * (USD - CACHED))
        assert (runs[1]["loops"], runs[1]["loop_tokens"], runs[1]["loop_cost_usd"]) == (0, 0, 0)


def test_absurd_waste_is_no_reason_to_refuse_a_batch():
    """Ten calls at the greatest cost a span may have are more than 64 bits of nano-dollars."""
    huge = {"clew.cost.usd": 8.9e8, "gen_ai.usage.input_tokens": 2**36}
    spans = [tool(i + 1, "search", {}, start=at(i * 20)) for i in range(3)]
    spans += [chat(i + 10, attributes=huge, response=f"r{i}", start=at(i + 1)) for i in range(15)]
    sink = sent(spans)
    (row,) = current_loops(sink)
    assert row["wasted_cost_usd"] == 15 * Decimal(890_000_000)
    assert run(sink)["cost_usd"] == run(sink)["loop_cost_usd"] == 15 * Decimal(890_000_000)
