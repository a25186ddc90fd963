"""Text that is too long is cut, and says so."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider

from clew._content import Content, ContentRules
from clew._content.prepare import prepare
from clew._content.truncate import cut, size

LIMIT = 4096
RULES = replace(ContentRules.all(Content.FULL), limit_bytes=LIMIT)
CUT = re.compile(r"<TRUNCATED:(\d+) characters:(\d+) bytes:([0-9a-f]{32})>$")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("CLEW_CONTENT_KEY", "the key of these tests")


def make_span(attributes, events=()):
    context = TracerProvider().get_tracer("t").start_span("name").get_span_context()
    return ReadableSpan("chat", context=context, attributes=attributes, events=events)


def prepared(attributes, events=()):
    return prepare(make_span(attributes, events), RULES)


def test_short_text_is_left_alone():
    span = make_span({"gen_ai.input.messages": "x" * LIMIT, "n": 1})
    assert prepare(span, RULES) is span


@pytest.mark.parametrize("letter", ["x", "ü", "語", "🙂"])
@pytest.mark.parametrize("name", ["gen_ai.tool.call.result", "custom"])
def test_cut_text_says_how_much_is_missing(name, letter):
    text = letter * 10_000
    span = prepared({name: text, "gen_ai.usage.input_tokens": 5})
    left = span.attributes[name]
    assert size(left) <= LIMIT
    missing = CUT.search(left)
    kept = left[: missing.start()]
    assert text.startswith(kept)
    assert len(kept) + int(missing[1]) == len(text)
    assert len(kept.encode()) + int(missing[2]) == len(text.encode())
    assert span.attributes["clew.content.truncated"] is True
    assert span.attributes["gen_ai.usage.input_tokens"] == 5


def test_texts_that_differ_after_the_cut_are_still_different():
    one, same, other = (prepared({"custom": "x" * 9000 + end}).attributes["custom"] for end in ("a", "a", "b"))
    assert one == same
    assert one != other


def test_messages_keep_their_shape_and_the_short_ones_their_text():
    messages = [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": 'a "long" one\n' * 1000}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c", "name": "f", "arguments": {"q": "z" * 5000}}]},
    ]
    left = prepared({"gen_ai.input.messages": json.dumps(messages)}).attributes["gen_ai.input.messages"]
    assert size(left) <= LIMIT
    system, user, assistant = json.loads(left)
    assert system == messages[0]
    assert CUT.search(user["parts"][0]["content"])
    assert assistant["parts"][0]["name"] == "f"
    assert CUT.search(assistant["parts"][0]["arguments"]["q"])


def test_json_of_nothing_but_shape_is_cut_as_text():
    left = prepared({"gen_ai.input.messages": json.dumps([{"role": "user"}] * 1000)}).attributes[
        "gen_ai.input.messages"
    ]
    assert size(left) <= LIMIT
    assert CUT.search(left)


def test_many_long_texts_on_one_span_are_cut_evenly():
    texts = {f"custom.{number}": "x" * LIMIT for number in range(10)} | {"custom.short": "y" * 100}
    events = [Event("e", {"custom": "z" * LIMIT}) for _ in range(3)]
    span = prepared(texts, events)
    assert sum(map(size, [*span.attributes.values(), *(e.attributes["custom"] for e in span.events)])) <= 4 * LIMIT + 8
    assert span.attributes["custom.short"] == "y" * 100
    assert CUT.search(span.attributes["custom.0"])
    assert CUT.search(span.events[2].attributes["custom"])
    assert span.attributes["clew.content.truncated"] is True
    missing = CUT.search(span.attributes["custom.0"])
    assert missing.start() + int(missing[1]) == LIMIT


def test_text_cut_twice_says_what_is_missing_of_the_whole():
    text = "x" * 30_000
    once = cut(text, 9000)
    twice = cut(once, 3000)
    first, second = CUT.search(once), CUT.search(twice)
    assert second.start() + int(second[1]) == 30_000
    assert first[3] == second[3]


def test_secret_at_the_cut_is_replaced_before():
    key = "sk-" + "A1b2C3d4E5f6G7h8I9j0"
    for length in range(LIMIT - 140, LIMIT + 10, 7):
        left = prepared({"custom": "x " * (length // 2) + key + " y" * LIMIT}).attributes["custom"]
        assert "A1b2C3" not in left


def test_hashed_text_is_not_cut():
    rules = replace(ContentRules.all(Content.HASHED), limit_bytes=LIMIT)
    span = prepare(make_span({"gen_ai.tool.call.result": "x" * 100_000}), rules)
    assert span.attributes["gen_ai.tool.call.result"].startswith("<HASHED:100000 bytes:")
    assert "clew.content.truncated" not in span.attributes


json_values = st.recursive(
    st.integers() | st.text(max_size=3000),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner, max_size=5),
    max_leaves=10,
)


@given(json_values, st.integers(300, 3000))
def test_any_value_is_short_enough_and_json_stays_json_where_it_can(value, limit):
    text = json.dumps(value, ensure_ascii=False)
    left = cut(text, limit)
    assert size(left) <= limit
    if left != text and not CUT.search(left):
        json.loads(left)
