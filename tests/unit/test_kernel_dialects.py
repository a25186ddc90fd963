"""Which dialect a span speaks, what operation it is, and where its columns and contents come from."""

from __future__ import annotations

import json
from typing import Any

import clew_kernel
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from shared.kernel import column, contents, decode, decoder, values
from shared.otlp import T0, key_values, request, span

OPS = ["chat", "execute_tool", "invoke_agent", "other"]
COLUMNS = [
    {"name": name, "type": kind}
    for name, kind in {"word": "dict", "text": "str", "count": "u64", "share": "f64"}.items()
]
CONTENTS = [
    {"name": "asked", "kind": "message", "form": "elements"},
    {"name": "given", "kind": "arguments", "form": "canonical"},
    {"name": "tools", "kind": "tools", "form": "whole"},
]


def kernel(*dialects: dict[str, Any], **plan: Any) -> clew_kernel.Decoder:
    return decoder(**({"ops": OPS, "columns": COLUMNS, "contents": CONTENTS, "dialects": list(dialects)} | plan))


def dialect(name: str = "d", **table: Any) -> dict[str, Any]:
    return {"name": name, "detect": [{"attribute": name}]} | table


def event(name: str, found: dict[str, object], at: int = T0) -> Span.Event:
    return Span.Event(time_unix_nano=at, name=name, attributes=key_values(found))


def one(
    kernel: clew_kernel.Decoder, wanted: str, /, *args: Any, scope: str = "", resource: Any = None, **fields: Any
) -> Any:
    """A column of one span."""
    return values(decode(kernel, request(span(*args, **fields), scope=scope, resource=resource)), wanted)[0]


def cell(source: dict[str, Any], found: dict[str, object], name: str = "word", **more: Any) -> Any:
    """What a source makes of a span's attributes in a column."""
    made = kernel(dialect(columns={name: [source]}))
    return one(made, name, attributes=found | {"d": 1}, **more)


def messages(source: dict[str, Any], found: dict[str, object], *, content: str = "asked", **fields: Any) -> list[str]:
    """The contents a source makes of a span's attributes."""
    made = kernel(dialect(contents={content: [source]}))
    decoded = decode(made, request(span(attributes=found | {"d": 1}, **fields)))
    return [row["content"].decode() for row in contents(decoded)]


@pytest.mark.parametrize(
    ("test", "holds", "fails"),
    [
        ({"attribute": "k"}, {"k": "v"}, {"K": "v"}),
        ({"attribute": "k"}, {"k": 0}, {"k": ""}),
        ({"attribute": "k"}, {"k": False}, {"k": None}),
        ({"attribute": "k", "is": ["v", "w"]}, {"k": "w"}, {"k": "x"}),
        ({"attribute": "k", "is": ["7"]}, {"k": 7}, {"k": 8}),
        ({"attribute": "k", "is": ["v"]}, {"k": ["v", "x"]}, {"k": ["x", "v"]}),
        ({"attribute": "k", "is": ["v"]}, {"k": '"v"'}, {"k": {"v": 1}}),
        ({"attribute": "k", "starts": ["v."]}, {"k": "v.w"}, {"k": "v"}),
        ({"attribute_prefix": ["k."]}, {"k.a": 1}, {"k": 1}),
        ({"all": [{"attribute": "k"}, {"attribute": "l"}]}, {"k": 1, "l": 1}, {"k": 1}),
        ({"any": [{"attribute": "k"}, {"attribute": "l"}]}, {"l": 1}, {"m": 1}),
        ({"none": [{"attribute": "k"}]}, {}, {"k": 1}),
        ({"all": [{"attribute": "k"}], "none": [{"attribute": "l"}]}, {"k": 1}, {"k": 1, "l": 1}),
        ({"all": [{"attribute": "k"}], "any": [{"attribute": "l"}, {"attribute": "m"}]}, {"k": 1, "m": 1}, {"k": 1}),
    ],
)
def test_a_dialect_is_told_by_attributes(test, holds, fails):
    made = kernel(dialect(detect=[test]))
    assert one(made, "dialect", attributes=holds) == "d"
    assert one(made, "dialect", attributes=fails) == ""


@pytest.mark.parametrize(
    ("test", "holds", "fails"),
    [
        ({"scope": ["a", "b"]}, {"scope": "b"}, {"scope": "bc"}),
        ({"scope_prefix": ["a."]}, {"scope": "a.b"}, {"scope": "a"}),
        ({"scope_contains": ["b"]}, {"scope": "abc"}, {"scope": "ac"}),
        ({"name": ["run"]}, {"name": "run"}, {"name": "runs"}),
        ({"name_prefix": ["run "]}, {"name": "run x"}, {"name": "run"}),
        ({"name_suffix": [".tool"]}, {"name": "x.tool"}, {"name": "tool"}),
        ({"resource": "k"}, {"resource": {"k": 1}}, {"attributes": {"k": 1}}),
        ({"resource": "k", "is": ["v"]}, {"resource": {"k": "v"}}, {"resource": {"k": "w"}}),
        ({"resource": "k", "starts": ["v"]}, {"resource": {"k": "vw"}}, {"resource": {"k": "w"}}),
        ({"event": ["e"]}, {"events": [event("x", {}), event("e", {})]}, {"events": [event("x", {})]}),
    ],
)
def test_a_dialect_is_told_by_scope_name_resource_and_events(test, holds, fails):
    made = kernel(dialect(detect=[test]))
    assert one(made, "dialect", **holds) == "d"
    assert one(made, "dialect", **fails) == ""


def test_the_first_dialect_that_holds_counts_span_by_span():
    made = kernel(dialect("first"), dialect("second", detect=[{"attribute": "second"}, {"scope": ["s"]}]))
    found = [{"second": 1}, {"first": 1, "second": 1}, {"x": 1}, {"first": 1}]
    decoded = decode(
        made, request(*(span(attributes=each) for each in found)), request(span(), scope="s"), request(span())
    )
    assert values(decoded, "dialect") == ["second", "first", "", "first", "second", ""]
    assert values(decoded, "known") == [True, True, False, True, True, False]


def test_a_placeholder_is_of_its_dialect_but_a_plain_span():
    table = dialect(
        ignore=[{"attribute": "pending"}], op=[{"is": "chat"}], columns={"count": [{"key": "n"}]},
        contents={"asked": [{"key": "m"}]},
    )  # fmt: skip
    decoded = decode(kernel(table), request(span(attributes={"d": 1, "pending": True, "n": 5, "m": "hello"})))
    assert [values(decoded, name) for name in ("dialect", "op", "known", "count", "asked")] == [
        ["d"],
        [""],
        [False],
        [None],
        [[]],
    ]
    assert ("m", "hello") in values(decoded, "SpanAttributes")[0]


@pytest.mark.parametrize(
    ("sources", "fields", "op"),
    [
        ([{"key": "kind", "values": {"LLM": "chat"}}], {"attributes": {"kind": "LLM"}}, "chat"),
        ([{"key": "kind", "values": {"LLM": "chat"}}], {"attributes": {"kind": '"LLM"'}}, "chat"),
        ([{"key": "kind", "values": {"LLM": "chat"}}], {"attributes": {"kind": "llm"}}, "other"),
        ([{"key": "kind", "values": {"LLM": "chat"}}], {}, "other"),
        ([{"key": "kind", "is": "chat"}], {"attributes": {"kind": "whatever"}}, "chat"),
        ([{"key": "kind", "is": "chat"}], {"attributes": {"kind": ""}}, "other"),
        ([{"key": "kind", "path": ["t", 0], "values": {"a": "chat"}}], {"attributes": {"kind": '{"t":["a"]}'}}, "chat"),
        ([{"from": "name", "values": {"run": "chat"}}], {"name": "run"}, "chat"),
        ([{"from": "name", "prefixes": {"run": "chat", "run.t": "execute_tool"}}], {"name": "run.t.x"}, "execute_tool"),
        ([{"from": "name", "suffixes": {"Generator": "chat"}}], {"name": "OpenAIGenerator"}, "chat"),
        ([{"from": "scope", "values": {"s": "chat"}}], {"scope": "s"}, "chat"),
        ([{"key": "a", "values": {"x": "chat"}}, {"key": "b", "is": "chat"}], {"attributes": {"a": 1, "b": 1}}, "chat"),
        ([{"is": "chat", "when": [{"attribute": "a"}]}], {"attributes": {"a": 1}}, "chat"),
        ([{"is": "chat", "when": [{"attribute": "a"}]}], {}, "other"),
    ],
)  # fmt: skip
def test_the_first_source_that_is_there_and_maps_says_the_operation(sources, fields, op):
    fields = {**fields, "attributes": {"d": 1, **fields.get("attributes", {})}}
    assert one(kernel(dialect(op=sources, op_otherwise="other")), "op", **fields) == op


def test_an_operation_is_not_taken_from_the_span_before():
    made = kernel(dialect(op=[{"key": "kind", "values": {"LLM": "chat"}}], op_otherwise="other"))
    decoded = decode(made, request(span(attributes={"d": 1, "kind": "LLM"}), span(attributes={"d": 1})))
    assert values(decoded, "op") == ["chat", "other"]


@pytest.mark.parametrize(
    ("source", "found", "value"),
    [
        ({"key": "a"}, {"a": "v"}, "v"),
        ({"key": "a"}, {"a": '"v"'}, "v"),
        ({"key": "a", "path": ["b", "c"]}, {"a": '{"b": {"c": "v"}}'}, "v"),
        ({"key": "a", "path": ["b", "c"]}, {"a": {"b": {"c": "v"}}}, "v"),
        ({"key": "a", "path": ["b", "c"]}, {"a": '{"b": "{\\"c\\": \\"v\\"}"}'}, "v"),
        ({"key": "a", "path": ["b", "c"]}, {"a": "{'b': {'c': 'v'}, 'd': None}"}, "v"),
        ({"key": "a", "path": ["b", "c"]}, {"a": b'{"b": {"c": "v"}}'}, "v"),
        ({"key": "a", "path": [0, -1]}, {"a": "[[1, 2, 3]]"}, "3"),
        ({"key": "a", "path": [1]}, {"a": "[1]"}, None),
        ({"key": "a", "path": ["b"]}, {"a": '{"b": "caf\\u00e9"}'}, "café"),
        ({"key": "a", "path": ["b"]}, {"a": '{"b": null}'}, None),
        ({"key": "a", "path": ["b"]}, {"a": "words"}, None),
        ({"key": "a", "path": []}, {"a": '"caf\\u00e9"'}, "café"),
        ({"key": "a", "is": "const"}, {"a": 0}, "const"),
        ({"key": "a", "is": "const"}, {"a": ""}, None),
        ({"key": "a", "path": ["b"], "is": "const"}, {"a": "{}"}, None),
        ({"is": "const"}, {}, "const"),
        ({"key": "a", "only": ["x", "y"]}, {"a": "y"}, "y"),
        ({"key": "a", "only": ["x", "y"]}, {"a": "z"}, None),
        ({"key": "a", "after": "run "}, {"a": "run x"}, "x"),
        ({"key": "a", "after": "run "}, {"a": "walk x"}, None),
        ({"key": "a", "before": ".tool"}, {"a": "x.tool"}, "x"),
        ({"key": "a", "when": [{"attribute": "b"}]}, {"a": "v", "b": 1}, "v"),
        ({"key": "a", "when": [{"attribute": "b"}]}, {"a": "v"}, None),
    ],
)
def test_a_source_says_what_of_a_value_is_meant(source, found, value):
    assert cell(source, found) == value


@pytest.mark.parametrize(
    ("source", "found", "column", "value"),
    [
        ({"key": "a", "scale": 0.001}, {"a": 250}, "share", 0.25),
        ({"key": "a", "scale": 1000}, {"a": "0.25"}, "count", 250),
        ({"key": "a", "scale": 1000}, {"a": "soon"}, "count", None),
        ({"key": "a", "path": ["b"]}, {"a": "{'b': 7}"}, "count", 7),
        ({"key": "a", "path": ["b"]}, {"a": '{"b": "7"}'}, "count", 7),
        ({"key": "a", "nonzero": True}, {"a": 0}, "share", None),
        ({"key": "a", "nonzero": True}, {"a": 0.5}, "share", 0.5),
        ({"key": "a", "as": "since_start"}, {"a": "2026-01-02T03:04:05.500Z"}, "share", 0.5),
        ({"key": "a", "as": "since_start"}, {"a": T0 + 250_000_000}, "share", 0.25),
        ({"key": "a", "as": "since_start"}, {"a": "2026-01-02T03:04:04Z"}, "share", None),
    ],
)
def test_numbers_and_times_come_in_the_columns_unit(source, found, column, value):
    assert cell(source, found, column, start=T0) == value


def test_values_come_from_resource_scope_name_duration_and_events_too():
    table = {
        "word": [{"from": "name"}], "text": [{"event": ["e", "f"], "key": "k"}],
        "count": [{"from": "duration", "scale": 1e-6}], "share": [{"resource": "r"}],
    }  # fmt: skip
    made = kernel(dialect(columns=table))
    events = [event("e", {"x": 1}), event("g", {"k": "no"}), event("f", {"k": "first"}), event("e", {"k": "second"})]
    full = span("run", {"d": 1}, start=T0, end=T0 + 7_000_000, events=events)
    decoded = decode(made, request(full, span("bare", {"d": 1}), resource={"r": 0.5}), request(span("x", {"d": 1})))
    assert [values(decoded, name) for name in ("word", "text", "share")] == [
        ["run", "bare", "x"], ["first", None, None], [0.5, 0.5, None],
    ]  # fmt: skip
    assert values(decoded, "count")[0] == 7
    scoped = kernel(dialect(columns={"word": [{"from": "scope", "after": "lib."}]}))
    assert one(scoped, "word", attributes={"d": 1}, scope="lib.x") == "x"


def test_sources_are_taken_in_order_wherever_they_are():
    sources = [{"key": "a"}, {"resource": "r"}, {"key": "b"}, {"from": "name"}]
    made = kernel(dialect(columns={"word": sources}), columns=[*COLUMNS[1:], column("word", "dict", "always")])
    found = {"d": 1, "b": "b", "always": "c"}
    assert one(made, "word", "n", found | {"a": "a"}, resource={"r": "r"}) == "a"
    assert one(made, "word", "n", found, resource={"r": "r"}) == "r"
    assert one(made, "word", "n", found) == "b"
    assert one(made, "word", "n", {"d": 1, "always": "c"}) == "n"
    assert one(made, "word", "n", {"always": "c"}) == "c"


def test_a_source_may_be_for_some_operations_only():
    sources = [{"key": "a", "ops": ["chat", "invoke_agent"]}, {"key": "b"}]
    made = kernel(dialect(op=[{"key": "op", "values": {name: name for name in OPS}}], columns={"word": sources}))
    found = {"d": 1, "a": "a", "b": "b"}
    words = [one(made, "word", attributes=found | {"op": op}) for op in ("chat", "execute_tool", "invoke_agent", "")]
    assert words == ["a", "b", "a", "b"]


def test_a_sentinel_is_no_value_and_stays_an_attribute():
    made = kernel(
        dialect(
            columns={"word": [{"key": "a"}, {"key": "b"}]}, contents={"asked": [{"key": "m"}]}, sentinels=["<none>"]
        )
    )
    found = {"d": 1, "a": "<none>", "b": "b", "m": "<none>"}
    decoded = decode(made, request(span(attributes=found)))
    assert (values(decoded, "word"), values(decoded, "asked")) == (["b"], [[]])
    assert dict(values(decoded, "SpanAttributes")[0])["m"] == "<none>"


def test_another_dialects_keys_are_nothing_but_attributes():
    made = kernel(
        dialect("one", columns={"word": [{"key": "a"}]}, contents={"asked": [{"key": "m"}]}),
        dialect("two", columns={"word": [{"key": "b"}]}),
    )
    found = {"a": "a", "b": "b", "m": "hello"}
    decoded = decode(made, request(span(attributes=found | {"one": 1}), span(attributes=found | {"two": 1})))
    assert values(decoded, "word") == ["a", "b"]
    assert [dict(each).get("m") for each in values(decoded, "SpanAttributes")] == [None, "hello"]


def test_numbered_attributes_become_messages_whatever_their_order():
    found = {
        "p.10.role": "user", "p.2.role": "assistant", "p.2.tool_calls.0.name": "f", "p.10.content": "last",
        "p.2.content": "second", "p.0.role": "system",
    }  # fmt: skip
    wanted = [
        '{"role":"system"}',
        '{"content":"second","role":"assistant","tool_calls":[{"name":"f"}]}',
        '{"content":"last","role":"user"}',
    ]
    assert messages({"key": "p", "form": "indexed"}, found) == wanted
    assert messages({"key": "p", "form": "indexed"}, dict(reversed(found.items()))) == wanted
    made = kernel(dialect(contents={"asked": [{"key": "p", "form": "indexed"}]}))
    kept = values(
        decode(made, request(span(attributes=found | {"d": 1, "p.x": 1, "p.1000.role": "user"}))), "SpanAttributes"
    )
    assert dict(kept[0]) == {"d": "1", "p.x": "1", "p.1000.role": "user"}


def test_numbered_attributes_that_are_no_messages_become_one_list():
    found = {"t.0.name": "f", "t.1.name": "g"}
    assert messages({"key": "t", "form": "indexed"}, found, content="tools") == ['[{"name":"f"},{"name":"g"}]']


def test_a_better_source_wins_over_gathered_ones_and_the_loser_stays():
    sources = [{"key": "m"}, {"key": "p", "form": "indexed"}, {"key": "n", "form": "text"}]
    made = kernel(dialect(contents={"asked": sources}))
    gathered = {"p.0.content": "b"}
    for found, content, kept in (
        ({"m": "a", "n": "c"} | gathered, "a", {"n", "p.0.content"}),
        ({"n": "c"} | gathered, '{"content":"b"}', {"n"}),
        (gathered | {"n": "c"}, '{"content":"b"}', {"n"}),
        ({"n": "c"}, "c", set()),
    ):
        decoded = decode(made, request(span(attributes={"d": 1} | found)))
        assert [row["content"].decode() for row in contents(decoded)] == [content]
        assert {key for key, _ in values(decoded, "SpanAttributes")[0]} == {"d"} | kept
        made.forget()


def test_attributes_that_are_parts_of_one_message_are_put_together():
    source = {"form": "parts", "role": "assistant", "parts": {"text": "t", "reasoning": "r", "tool_calls": "c"}}
    wanted = ['{"content":"hi","reasoning_content":"hm","role":"assistant","tool_calls":"[{}]"}']
    found = {"t": "hi", "r": "hm", "c": "[{}]"}
    assert messages(source, found) == messages(source, dict(reversed(found.items()))) == wanted
    assert messages(source, {"t": "", "c": "[{}]"}) == ['{"role":"assistant","tool_calls":"[{}]"}']
    assert messages(source, {}) == []
    both = {"form": "parts", "parts": {"text": "t", "object": "o"}}
    assert messages(both, {"o": "{}", "t": "hi"}) == ['{"content":"hi"}']


def test_events_become_messages_in_their_order():
    source = {"form": "event", "event": ["gen_ai.user.message", "gen_ai.assistant.message"]}
    events = [
        event("gen_ai.user.message", {"content": "hello"}),
        event("something", {"content": "else"}),
        event("gen_ai.assistant.message", {"tool_calls": [{"id": "1"}], "content": "hi"}),
    ]
    assert messages(source, {}, events=events) == [
        '{"content":"hello","event.name":"gen_ai.user.message"}',
        '{"content":"hi","event.name":"gen_ai.assistant.message","tool_calls":[{"id":"1"}]}',
    ]


def test_of_events_one_attribute_may_be_all_that_is_said():
    source = {"form": "event", "event": ["gen_ai.user.message"], "key": "k"}
    for said, wanted in (
        ("hello", ['{"content":"hello","event.name":"gen_ai.user.message"}']),
        ('[{"text": "hello"}]', ['{"content":"[{\\"text\\": \\"hello\\"}]","event.name":"gen_ai.user.message"}']),
        ('{"role": "user", "content": "hello"}', ['{"role": "user", "content": "hello"}']),
        ("", []),
    ):
        assert messages(source, {}, events=[event("gen_ai.user.message", {"k": said})]) == wanted


def test_plain_text_is_one_message_whatever_it_looks_like():
    assert messages({"key": "m", "form": "text", "role": "user"}, {"m": '["a", "b"]'}) == ['["a", "b"]']


def test_a_content_may_be_inside_a_value():
    source = {"key": "m", "path": ["request", "messages"]}
    assert messages(source, {"m": '{"request": {"messages": [ {"role": "user", "content": "a"} ]}}'}) == [
        '{"role": "user", "content": "a"}'
    ]
    assert messages({"key": "m", "path": ["a"]}, {"m": '{"a": { "x" : 1 } }'}, content="given") == ['{ "x" : 1 }']


def test_spans_that_look_like_genai_but_are_of_no_dialect_have_a_signature():
    made = kernel(dialect(), looks_like=["gen_ai.", "llm."], looks_like_not=["gen_ai.agent.name"])
    found = {"llm.b.12.c": 1, "gen_ai.a": 1, "llm.b.7.c": 1, "http.route": "/"}
    decoded = decode(
        made,
        request(
            span(attributes=found),
            span(attributes=dict(reversed(found.items()))),
            span(attributes={"d": 1, "gen_ai.a": 1}),
            span(attributes={"gen_ai.agent.name": "x"}),
            span(attributes={"http.route": "/"}),
            scope="some.lib",
        ),
    )
    assert values(decoded, "signature") == ["some.lib: gen_ai.a llm.b.N.c"] * 2 + [None] * 3


def test_a_signature_is_bounded():
    made = kernel(dialect(), looks_like=["x"])
    many = one(made, "signature", attributes={f"x{chr(97 + n % 26)}{'y' * (n // 26)}": 1 for n in range(200)})
    assert len(many.split(": ")[1].split(" ")) == 20
    assert len(one(made, "signature", attributes={f"x{'é' * 400}": 1}, scope="s" * 200).encode()) <= 500


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"dialects": [dialect(), dialect()]}, '"d" has no name of its own'),
        ({"dialects": [dialect(op_otherwise="nap")]}, 'dialect "d": there is no operation "nap"'),
        ({"dialects": [dialect(columns={"nope": [{"key": "a"}]})]}, 'there is no column "nope"'),
        ({"dialects": [dialect(contents={"nope": [{"key": "a"}]})]}, 'there is no content "nope"'),
        ({"dialects": [dialect(columns={"word": [{}]})]}, "a source needs one of key, resource and from"),
        ({"dialects": [dialect(detect=[{"attribute": "a", "name": ["b"]}])]}, "a test asks for one thing"),
        ({"dialects": [dialect(detect=[{"attribut": "a"}])]}, "unknown field `attribut`"),
        ({"dialects": [dialect(op=[{"values": {"a": "chat"}}])]}, "needs one of key and from"),
        ({"dialects": [dialect(detect=[{"attribute": f"a{n}"} for n in range(400)])]}, "more than 384 facts"),
        ({"ops": [str(n) for n in range(64)]}, "64 operations, expected at most 63"),
        ({"columns": [*COLUMNS, column("known", "bool")]}, 'the name "known" is used twice'),
    ],
)  # fmt: skip
def test_a_wrong_table_is_told_what_is_wrong(table, complaint):
    plan = {"ops": OPS, "columns": COLUMNS, "contents": CONTENTS, "dialects": [dialect()]} | table
    with pytest.raises(ValueError) as error:
        clew_kernel.Decoder(json.dumps(plan))
    assert complaint in str(error.value)
