"""What a model call's window was made of, and what of it had been read before, as otel_traces says it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.genai import at, chat
from shared.otlp import request
from shared.pipeline import Recorder, arrived, new_pipeline

PARTS = {
    "system": "ContextSystemTokens",
    "tools": "ContextToolsTokens",
    "user": "ContextUserTokens",
    "history": "ContextHistoryTokens",
    "tool_results": "ContextToolResultTokens",
}


def message(role: str, text: str) -> dict[str, Any]:
    if role == "tool":
        return {"role": role, "parts": [{"type": "tool_call_response", "id": "c", "response": text}]}
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def call(number: int, messages: list[dict[str, Any]], *, tokens: int, system: str = "", tools: str = "", **fields):
    content = {"gen_ai.input.messages": json.dumps(messages)} if messages else {}
    if system:
        content["gen_ai.system_instructions"] = json.dumps([{"type": "text", "content": system}])
    if tools:
        content["gen_ai.tool.definitions"] = json.dumps([{"type": "function", "name": tools}])
    return chat(number, tokens={"input": tokens, "output": 1}, attributes=content, start=at(number), **fields)


def rows(*batches: list) -> list[dict[str, Any]]:
    """Rows of otel_traces in order of span id."""
    sink = Recorder()
    pipeline = new_pipeline(sink)
    for batch in batches:
        pipeline.process([arrived(request(*batch))])
    return sorted(sink.rows("otel_traces"), key=lambda row: row["SpanId"])


def parts(row: dict[str, Any]) -> dict[str, int]:
    return {name: row[column] for name, column in PARTS.items()}


def test_a_window_is_told_by_what_it_holds():
    said = [message("user", "u" * 100), message("assistant", "a" * 200), message("tool", "t" * 300)]
    (row,) = rows([call(1, said, tokens=600)])
    assert parts(row) == {"system": 0, "tools": 0, "user": 100, "history": 200, "tool_results": 300}


def test_instructions_and_tools_have_their_share():
    (row,) = rows([call(1, [message("user", "u" * 500)], tokens=1000, system="s" * 300, tools="x" * 200)])
    told = parts(row)
    assert sum(told.values()) == 1000
    assert told["user"] > told["system"] > told["tools"] > 0


def test_instructions_among_the_messages_are_instructions():
    (row,) = rows([call(1, [message("system", "s" * 100), message("user", "u" * 100)], tokens=50)])
    assert parts(row) == {"system": 25, "tools": 0, "user": 25, "history": 0, "tool_results": 0}


def test_without_content_nothing_is_told():
    (row,) = rows([call(1, [], tokens=600)])
    assert set(parts(row).values()) == {0}


def test_a_history_is_reread_by_the_next_call_of_the_run_and_by_no_other():
    first, second, third = message("user", "u" * 100), message("assistant", "a" * 100), message("user", "v" * 100)
    one, two, other = (
        call(1, [first], tokens=100),
        call(2, [first, second, third], tokens=300),
        call(3, [first, second, third], tokens=300, trace_id=9),
    )
    for batches in ([[one], [two], [other]], [[one, two, other]], [[two, one, other]]):
        assert [row["ContextRereadTokens"] for row in rows(*batches)] == [0, 100, 0]


def test_blocks_without_their_texts_are_alike_and_not_known_again():
    said = [{"role": "user", "parts": [{"type": "text"}]}, {"role": "assistant", "parts": [{"type": "text"}]}]
    first, second = rows([call(1, said, tokens=100), call(2, [*said, *said], tokens=200)])
    assert (first["ContextRereadTokens"], second["ContextRereadTokens"], second["ContextRepeatedTokens"]) == (0, 0, 0)


def test_shares_are_those_of_the_texts_that_marks_stand_for():
    said = [
        message("user", f"<HASHED:300 bytes:{'0a' * 16}>"),
        message("assistant", f"{'a' * 100}<TRUNCATED:500 characters:500 bytes:{'0b' * 16}>"),
        message("tool", f"<HASHED:100 bytes:{'0c' * 16}>"),
    ]
    (row,) = rows([call(1, said, tokens=1000)])
    assert parts(row) == {"system": 0, "tools": 0, "user": 300, "history": 600, "tool_results": 100}


def test_texts_cut_to_the_same_beginning_are_not_the_same():
    one, same, other = (message("user", f"{'u' * 100}<TRUNCATED:9 characters:9 bytes:{d * 32}>") for d in "aab")
    _, second, third = rows([call(1, [one], tokens=10), call(2, [same], tokens=10), call(3, [other], tokens=10)])
    assert (second["ContextRereadTokens"], third["ContextRereadTokens"]) == (10, 0)


def test_the_same_block_twice_in_one_window_is_repeated():
    block = message("tool", "t" * 100)
    (row,) = rows([call(1, [block, message("user", "u" * 100), block, block], tokens=400)])
    assert (row["ContextRepeatedTokens"], row["ContextRereadTokens"]) == (200, 0)


def test_a_copy_of_a_call_has_read_nothing():
    said = [message("user", "u" * 100)]
    spans = [call(i, said, tokens=100, response="r") for i in (1, 2)]
    told = rows(spans)
    assert sorted(row["ContextUserTokens"] for row in told) == [0, 100]
    assert [row["ContextRereadTokens"] for row in told] == [0, 0]


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool", "system"]), st.text(max_size=30)), min_size=1),
    st.integers(1, 10**9),
)
def test_the_parts_add_up_to_the_prompt(said, tokens):
    (row,) = rows([call(1, [message(role, text) for role, text in said], tokens=tokens)])
    assert sum(parts(row).values()) == tokens


def test_the_window_of_a_known_model_and_how_full_it_is():
    known, unknown = rows(
        [call(1, [], tokens=64_000, model="gpt-4o-mini"), call(2, [], tokens=1, model="nobody-knows-1")]
    )
    assert (known["ContextWindowTokens"], known["ContextUtilisation"]) == (128_000, 0.5)
    assert (unknown["ContextWindowTokens"], unknown["ContextUtilisation"]) == (0, 0)
