"""Whatever a message looks like, its canonical form is a message of ours, and its own canonical form."""

from __future__ import annotations

import json
from typing import Any

import clew_kernel
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kernel import KEY, content, contents, decode, decoder
from shared.otlp import request, span

ROLES = st.sampled_from(["system", "user", "assistant", "tool"])

# The words of all shapes, so that generated messages are nearly right.
keys = st.sampled_from(
    [
        "role", "_role", "type", "content", "_content", "contents", "parts", "blocks", "message", "data",
        "kwargs", "id", "lc", "tool_calls", "function_call", "additional_kwargs", "function", "name",
        "arguments", "args", "input", "toolCallId", "toolName", "tool_call_id", "call_id", "tool_use_id",
        "output", "result", "response", "value", "text", "thinking", "reasoning", "reasoning_content", "summary",
        "refusal", "functionCall", "functionResponse", "toolUse", "toolResult", "json", "tool_call",
        "tool_call_result", "origin", "message_content", "inlineData", "source", "image", "url", "uri",
        "file_id", "event.name", "prompt", "completion", "other",
    ]
)  # fmt: skip
words = st.sampled_from(
    [
        "system", "user", "assistant", "tool", "human", "ai", "model", "function", "text", "tool_call",
        "tool_use", "tool-call", "tool_result", "tool_call_response", "function_call", "function_call_output",
        "reasoning", "thinking", "refusal", "image", "blob", "uri", "file", "message", "constructor",
        "HumanMessage", "AIMessage", "ToolMessage", "gen_ai.choice", "gen_ai.tool.message", "data:x,y",
        "https://x", "{}", "[]", "[1]", "x", "json", "weird",
    ]
)  # fmt: skip
scalars = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), words, words, st.text(max_size=4))


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(keys, inner, max_size=4),
        inner.map(json.dumps),
        inner.map(repr),
    )


values = st.recursive(scalars, containers, max_leaves=12)


def canonical(text: bytes, role: str) -> dict[str, Any]:
    form = clew_kernel.canonical_message(text, role)
    for other in ("user", "tool"):
        assert clew_kernel.canonical_message(form, other) == form
    message = json.loads(form)
    assert message.keys() == {"parts", "role"}
    assert isinstance(message["parts"], list)
    return message


@settings(max_examples=600, deadline=None)
@given(values, ROLES)
def test_the_canonical_form_is_its_own(value: Any, role: str) -> None:
    canonical(json.dumps(value).encode(), role)
    canonical(repr(value).encode(), role)


@settings(max_examples=300, deadline=None)
@given(values)
def test_the_canonical_form_of_a_value_is_its_own(value: Any) -> None:
    for text in (json.dumps(value).encode(), repr(value).encode()):
        form = clew_kernel.canonical_json(text)
        assert clew_kernel.canonical_json(form) == form
        json.loads(form)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=40), st.text(max_size=40).map(str.encode)), ROLES)
def test_any_bytes_are_a_message(text: bytes, role: str) -> None:
    form = clew_kernel.canonical_message(text, role)
    assert clew_kernel.canonical_message(form, role) == form


@settings(max_examples=300, deadline=None)
@given(values, st.data())
def test_what_a_text_is_cut_into_is_in_it(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    kernel = decoder(contents=[content("m", calls=True, sizes=True)])
    rows = contents(decode(kernel, request(span(attributes={"m": text}))))
    once = json.loads(text) if isinstance(value, str) else ""
    for row in rows:
        piece = row["content"].decode()
        assert piece in text or piece in once
        forms = {clew_kernel.canonical_message(row["content"], role) for role in ("system", "user", "assistant")}
        assert row["canonical_hash"] in {clew_kernel.content_hash(KEY, form) for form in forms}


@settings(max_examples=200, deadline=None)
@given(st.text("{}[]()\"\\',: \n1aTrueNone.", max_size=30))
def test_nearly_json_is_a_message(text: str) -> None:
    canonical(text.encode(), "user")
