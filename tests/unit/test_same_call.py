"""Which spans show the same call, and which only look as if they did."""

from __future__ import annotations

from itertools import permutations

import pytest

from clew_processor.enrich import same
from shared.genai import agent, at, chat, tool
from shared.merged import merged_runs
from shared.otlp import message, messages_json, request, span
from shared.pipeline import Recorder, arrived, new_pipeline
from shared.seen import Counted, Seen, by, counted, one_by_one, own_tokens, scopes, sent

TWO = {"input": 811, "output": 31}
THREE = TWO | {"read": 400}
MS = 10**6


def during(start_ms: float, end_ms: float) -> dict[str, int]:
    return {"start": at(0) + round(start_ms * MS), "end": at(0) + round(end_ms * MS)}


def chain(span_id: int, **fields):
    return span("chain", {"gen_ai.operation.name": "chain"}, span_id=span_id, **fields)


OUTER = during(0, 64)
INNER = during(8.7, 63.6)
DATED = {"gen_ai.response.model": "gpt-4o-mini-2024-07-18"}

SAME = {
    "the client's span in a trace of its own": (
        [*by("langchain", agent(1, start=at(-1), end=at(1)), chat(2, parent_id=1, tokens=TWO, **OUTER)),
         *by("openai", chat(3, trace_id=3, tokens=TWO, **INNER))],
        Counted(1, 811), {2: "own", 3: "duplicate"},
    ),
    "where only one of them tells the id": (
        [*by("langchain", chat(2, trace_id=2, parent_id=1, tokens=TWO, **OUTER)),
         *by("openai", chat(3, trace_id=3, tokens=THREE, response="r", **INNER))],
        Counted(1, 811), {2: "duplicate", 3: "own"},
    ),
    "beside it below the same span": (
        [*by("langchain", chat(2, parent_id=1, tokens=TWO, **OUTER)),
         *by("openai", chat(3, parent_id=1, tokens=TWO, **INNER))],
        Counted(1, 811), {2: "own", 3: "duplicate"},
    ),
    "below a span further up": (
        [*by("langchain", chain(5, parent_id=1), chat(2, parent_id=5, tokens=TWO, **OUTER)),
         *by("openai", chat(3, parent_id=1, tokens=TWO, **INNER))],
        Counted(1, 811), {2: "own", 3: "duplicate"},
    ),
    "through a span in between": (
        [*by("framework", chat(2, tokens=TWO, **OUTER), chain(5, parent_id=2)),
         *by("openai", chat(3, parent_id=5, tokens=TWO, attributes=DATED, **INNER))],
        Counted(1, 811), {2: "own", 3: "duplicate"},
    ),
    "with the vendor before the model's name": (
        [*by("router", chat(2, tokens=TWO, model="openai/gpt-4o-mini", **OUTER)),
         *by("openai", chat(3, trace_id=3, tokens=TWO, attributes=DATED, **INNER))],
        Counted(1, 811), {2: "own", 3: "duplicate"},
    ),
    "seen three times": (
        [*by("langchain", chat(2, tokens=TWO, **OUTER)), *by("router", chat(3, trace_id=3, tokens=TWO, **INNER)),
         *by("openai", chat(4, trace_id=4, tokens=TWO, **during(9, 63)))],
        Counted(1, 811), {2: "own", 3: "duplicate", 4: "duplicate"},
    ),
    "one does not know what went in": (
        [*by("langchain", chat(2, tokens={"output": 31}, **OUTER)),
         *by("client", chat(3, trace_id=3, tokens=TWO, response="r", **INNER))],
        Counted(1, 811), {2: "duplicate", 3: "own"},
    ),
    "failed": (
        [*by("langchain", chat(2, attributes={"error.type": "Timeout"}, **OUTER)),
         *by("openai", chat(3, trace_id=3, attributes={"error.type": "Timeout"}, **INNER))],
        Counted(1, 0), {3: "duplicate"},
    ),
    "of equals the one that is no trace of its own": (
        [*by("langchain", chain(5, trace_id=9), chat(2, trace_id=9, parent_id=5, tokens=TWO, **OUTER)),
         *by("openai", chat(3, trace_id=3, tokens=TWO, **INNER))],
        Counted(1, 811), {2: "own", 3: "duplicate"},
    ),
    "embeddings": (
        [*by("langchain", chat(2, tokens={"input": 7}, attributes={"gen_ai.operation.name": "embeddings"}, **OUTER)),
         *by("openai", chat(3, trace_id=3, tokens={"input": 7}, attributes={"gen_ai.operation.name": "embeddings"},
                            **INNER))],
        Counted(0, 7), {2: "own", 3: "duplicate"},
    ),
    "three levels, the one in the middle the fullest": (
        [*by("a", chat(1, tokens=TWO)), *by("b", chat(2, parent_id=1, tokens=THREE)),
         *by("c", chat(3, parent_id=2, tokens=TWO, response="r"))],
        Counted(1, 811), {1: "duplicate", 2: "own", 3: "duplicate"},
    ),
    "a call that covers two": (
        [*by("a", chat(1, tokens={"input": 1622, "output": 62})), *by("b", chat(2, parent_id=1, tokens=TWO)),
         *by("c", chat(3, parent_id=1, tokens=TWO, start=at(2)), chat(4, parent_id=1, start=at(3)))],
        Counted(2, 1622), {1: "duplicate", 2: "own", 3: "own", 4: "duplicate"},
    ),
    "what covers two covered itself": (
        [*by("a", chat(1, tokens=TWO)), *by("b", chat(2, parent_id=1, tokens=TWO)),
         *by("c", chat(3, parent_id=2, tokens=TWO), chat(4, parent_id=2, tokens=TWO, start=at(3)))],
        Counted(2, 1622), {1: "duplicate", 2: "duplicate", 3: "own", 4: "own"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SAME)
def test_the_same_call(what):
    spans, expected, verdicts = SAME[what]
    assert counted(sent(spans)) == expected
    assert scopes(sent(spans)) == verdicts
    for order in permutations(spans):
        sink = one_by_one(order)
        assert counted(sink) == expected
        assert scopes(sink) == verdicts


def lang(**fields):
    return Seen(chat(2, trace_id=2, **({"tokens": TWO} | OUTER | fields)), "langchain")


def client(**fields):
    service = fields.pop("service", "test")
    by_whom = fields.pop("by", "openai")
    return Seen(chat(3, **({"trace_id": 3, "tokens": TWO} | INNER | fields)), by_whom, service)


DIFFERENT = {
    "two calls that one instrumentation saw": [lang(), client(by="langchain")],
    "another number of tokens": [lang(), client(tokens={"input": 811, "output": 32})],
    "another number of tokens in": [lang(), client(tokens={"input": 812, "output": 31})],
    "no tokens": [lang(tokens={}), client(tokens={})],
    "no tokens of the answer": [lang(tokens={"input": 5}), client(tokens={"input": 5})],
    "another model": [lang(), client(model="gpt-4o")],
    "no model": [lang(model=""), client(model="")],
    "another service": [lang(), client(service="other")],
    "began before": [lang(), client(**during(-7, 50))],
    "ended after": [lang(), client(**during(8, 71))],
    "ended long before": [lang(**during(0, 500)), client(**during(8, 390))],
    "one after the other": [lang(), client(**during(65, 120))],
    "answers of their own": [lang(response="a"), client(response="b")],
    "a parent elsewhere": [lang(), client(parent_id=9)],
    "one of them failed": [lang(), client(attributes={"error.type": "Timeout"})],
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_two_calls(what):
    spans = DIFFERENT[what]
    for order in permutations(spans):
        for sink in (sent(order), one_by_one(order)):
            assert counted(sink).model_calls == 2
            assert "duplicate" not in scopes(sink).values()


def test_calls_of_another_tenant_are_others():
    sink = Recorder()
    pipeline = new_pipeline(sink)
    for tenant, seen in zip(("one", "other"), (lang(), client()), strict=True):
        pipeline.process([arrived(request(seen.span, scope=seen.by), tenant=tenant)])
    assert sum(run["model_calls"] for run in merged_runs(sink).values()) == 2


def parallel(count: int, gap_ms: float = 1.0):
    """Equal calls at the same time, each seen by two."""
    found = []
    for i in range(count):
        shift = i * gap_ms
        found += by("langchain", chat(10 + i, parent_id=1, tokens=TWO, **during(shift, shift + 60)))
        found += by("openai", chat(1000 + i, trace_id=100 + i, tokens=TWO, **during(shift + 3, shift + 59)))
    return found


@pytest.mark.parametrize("count", [2, 3, 5])
def test_equal_calls_at_the_same_time_stay_as_many_as_they_are(count):
    spans = parallel(count)
    expected = {10 + i: "own" for i in range(count)} | {1000 + i: "duplicate" for i in range(count)}
    for order in (spans, spans[::-1], spans[1::2] + spans[::2], spans[::2] + spans[1::2]):
        for sink in (sent(order), one_by_one(order), sent(order[:3], order[3:])):
            assert counted(sink) == Counted(count, 811 * count)
            assert scopes(sink) == expected


def test_in_a_crowd_of_equal_calls_none_is_taken_for_a_copy():
    crowd = parallel(same.CROWD, 0.01)
    assert counted(sent(crowd)).model_calls == 2 * same.CROWD
    assert counted(sent(parallel(same.CROWD // 2, 0.01))).model_calls == same.CROWD // 2


def test_a_retry_with_equal_numbers_is_another_call():
    spans = by("openai", chat(1, tokens=TWO, **during(0, 50)), chat(2, tokens=TWO, **during(50, 100)))
    assert counted(sent(spans)) == counted(one_by_one(spans)) == Counted(2, 1622)


def test_the_fullest_copys_numbers_count_for_the_one_inside_the_agent():
    inside = [*by("langchain", agent(1, trace_id=2), chat(2, trace_id=2, parent_id=1, tokens=TWO, **OUTER))]
    full = TWO | {"read": 400, "reasoning": 20}
    spans = [*inside, *by("openai", chat(3, tokens=full, response="r", **INNER))]
    alone = sent([spans[-1]]).rows("otel_traces")[0]["CostUsd"]
    for order in permutations(spans):
        for sink in (sent(order), one_by_one(order)):
            assert counted(sink) == Counted(1, 811)
            assert own_tokens(sink) == {2: (811, 31, 400, 0, 20)}
            costs = {int(row["SpanId"], 16): row["CostUsd"] for row in sink.rows("otel_traces")}
            costs |= {int(row["span_id"], 16): row["cost_usd"] for row in sink.rows("span_corrections")}
            assert costs == {1: 0, 2: alone, 3: 0}


def test_what_a_settled_copy_lent_stays():
    inside = by("a", agent(1, trace_id=2), chat(2, trace_id=2, parent_id=1, tokens=TWO, response="r"))
    full = by("b", chat(3, tokens=THREE, response="r"))
    late = by("c", chat(4, trace_id=4, tokens=TWO, response="r"))
    sink = sent(full, inside, late, settle_s=600, apart_s=400)
    assert own_tokens(sink) == {2: (811, 31, 400, 0, 0)}
    assert counted(sink) == Counted(1, 811)


# A streamed call and the note of its usage.


def streamed(span_id: int, text: str = "", **fields):
    content = {"gen_ai.input.messages": messages_json(message("user", text))} if text else {}
    written = {"logfire.span_type": "log" if fields.get("tokens") else "span", "logfire.msg": "a message"}
    return chat(span_id, attributes=written | content, **fields)


def note(span_id: int, ms: float, text: str = "", tokens=TWO, **fields):
    return streamed(span_id, text, tokens=tokens, **during(ms, ms), **fields)


STREAM = during(0, 38)
NOTES = {
    "beside it": ([streamed(1, parent_id=9, **STREAM), note(2, 308, parent_id=9)], {1: "own", 2: "duplicate"}),
    "in a trace of its own": ([streamed(2, "hello", **STREAM), note(1, 308, "hello", trace_id=2)],
    {2: "own", 1: "duplicate"}),
    "in a trace of its own, content off": ([streamed(1, **STREAM), note(2, 308, trace_id=2)],
    {1: "own", 2: "duplicate"}),
}  # fmt: skip


@pytest.mark.parametrize("what", NOTES)
def test_a_call_gets_the_usage_that_a_note_tells(what):
    spans, verdicts = NOTES[what]
    for order in permutations(by("logfire.openai", *spans)):
        for sink in (sent(order), one_by_one(order)):
            assert counted(sink) == Counted(1, 811)
            assert scopes(sink) == verdicts


def test_a_note_that_tells_no_tokens_is_no_call_either():
    spans = by(
        "logfire.openai",
        streamed(1, parent_id=9, **STREAM),
        chat(2, parent_id=9, attributes={"logfire.span_type": "log", "logfire.msg": "x"}, **during(308, 308)),
    )
    for order in permutations(spans):
        assert counted(sent(order)) == counted(one_by_one(order)) == Counted(1, 0)


def test_streams_one_after_the_other_and_at_once_get_a_note_each():

    def pairs_of(begins, read):
        return [
            [
                streamed(i, parent_id=9, **during(begins(i), begins(i) + 10)),
                note(50 + i, read(i), parent_id=9, tokens={"input": i, "output": 1}),
            ]
            for i in (1, 2, 3)
        ]

    after = pairs_of(lambda i: 1000 * i, lambda i: 1000 * i + 500)
    at_once = pairs_of(lambda i: i, lambda i: i + 500)
    for pairs in (after, at_once):
        spans = by("logfire.openai", *(each for pair in pairs for each in pair))
        for order in (spans, spans[::-1], spans[::2] + spans[1::2], spans[1::2] + spans[::2]):
            for sink in (sent(order), one_by_one(order)):
                assert counted(sink) == Counted(3, 6)
                assert {one for one, scope in scopes(sink).items() if scope == "own"} == {1, 2, 3}
    spans = by("logfire.openai", *(each for pair in after for each in pair))
    assert own_tokens(one_by_one(spans)) == {i: (i, 1, 0, 0, 0) for i in (1, 2, 3)}


def test_a_stream_that_another_instrumentation_sees_whole_is_one_call():
    spans = [
        *by("logfire.openai", streamed(1, "hello", **STREAM), note(2, 308, "hello", trace_id=2)),
        *by("openai", chat(3, parent_id=1, tokens=TWO, response="r", **during(1, 307))),
    ]
    for order in permutations(spans):
        for sink in (sent(order), one_by_one(order)):
            assert counted(sink) == Counted(1, 811)


NOT_ITS_NOTE = {
    "another parent": [streamed(1, parent_id=9, **STREAM), note(2, 308, parent_id=8)],
    "other content": [streamed(1, "hello", **STREAM), note(2, 308, "bye", trace_id=2)],
    "before it": [streamed(1, parent_id=9, **STREAM), note(2, 20, parent_id=9)],
    "another model": [streamed(1, parent_id=9, **STREAM), note(2, 308, parent_id=9, model="gpt-4o")],
    "after too long": [streamed(1, parent_id=9, **STREAM), note(2, 601_000, parent_id=9)],
    "the call failed": [
        chat(1, parent_id=9, attributes={"error.type": "Timeout"}, **STREAM), note(2, 308, parent_id=9)
    ],
}  # fmt: skip


@pytest.mark.parametrize("what", NOT_ITS_NOTE)
def test_a_note_of_another_call(what):
    for order in permutations(by("logfire.openai", *NOT_ITS_NOTE[what])):
        for sink in (sent(order), one_by_one(order)):
            assert counted(sink).model_calls == 2


# Tool calls.


def execution(span_id: int, call_id: str = "", name: str = "search", **fields):
    known = {"gen_ai.tool.call.id": call_id} if call_id else {}
    return tool(span_id, name, fields.pop("args", None), attributes=known, **fields)


TOOLS = {
    "inside an execution of the same tool": (
        [*by("agent", execution(1, "c")), *by("mcp", execution(2, parent_id=1)), *by("mcp", execution(3, parent_id=2))],
        {2: "duplicate", 3: "duplicate"},
    ),
    "inside, without a name": (
        [*by("agent", execution(1, "c")), *by("agent", execution(2, name="", parent_id=1))], {2: "duplicate"},
    ),
    "with the same id, seen by two": (
        [*by("a", execution(1, "c", parent_id=8)), *by("b", execution(2, "c", parent_id=9, start=at(3)))],
        {2: "duplicate"},
    ),
    "with the same id at the same time": (
        [*by("a", execution(1, "c", parent_id=8)), *by("a", execution(2, "c", parent_id=9))], {2: "duplicate"},
    ),
    "the one that tells its arguments": (
        [*by("a", execution(1, "c")), *by("b", execution(2, "c", args={"q": 1}))], {1: "duplicate"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TOOLS)
def test_a_tool_call_seen_twice_counts_once(what):
    spans, verdicts = TOOLS[what]
    for order in permutations(spans):
        for sink in (sent(order), one_by_one(order)):
            assert counted(sink) == Counted(0, 0, 1)
            assert scopes(sink) == verdicts


TWO_EXECUTIONS = {
    "one after the other, without ids": [execution(1, start=at(0)), execution(2, start=at(1))],
    "at the same time, without ids": [execution(1), execution(2)],
    "ids of their own, one inside the other": [execution(1, "a"), execution(2, "b", parent_id=1)],
    "another tool inside": [execution(1), execution(2, name="fetch", parent_id=1)],
    "an id that is used again": [execution(1, "c", start=at(0)), execution(2, "c", start=at(1))],
    "the same id in another run": [execution(1, "c"), execution(2, "c", trace_id=2)],
    "the same id of another tool": [execution(1, "0"), execution(2, "0", name="fetch")],
}


@pytest.mark.parametrize("what", TWO_EXECUTIONS)
def test_two_executions(what):
    for order in permutations(by("agent", *TWO_EXECUTIONS[what])):
        for sink in (sent(order), one_by_one(order)):
            assert counted(sink).tool_calls == 2
            assert "duplicate" not in scopes(sink).values()


def test_an_execution_that_carries_usage_is_its_own():
    usage = {"gen_ai.usage.input_tokens": 5}
    spans = by("agent", execution(1), tool(2, "search", attributes=usage, parent_id=1))
    for order in permutations(spans):
        assert counted(one_by_one(order)) == counted(sent(order)) == Counted(0, 5, 2)


def test_long_ids_are_told_apart_by_what_differs():
    ids = ["call_" + "a" * 24, "call_" + "a" * 23 + "b", "call_b" + "a" * 23, "call_" + "a" * 25, "a", "b", "12345678"]
    spans = by("agent", *(execution(i, call_id) for i, call_id in enumerate(ids, 1)))
    assert counted(sent(spans)).tool_calls == len(ids)
