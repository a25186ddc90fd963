"""Contents: split into elements, hashed, canonical, given out once."""

from __future__ import annotations

import json

import clew_kernel
import pytest

from shared.kernel import KEY, content, contents, decode, decoder, values
from shared.otlp import T0, message, messages_json, request, span

USER = message("user", "hello")
ANSWER = message("assistant", "hi")
ZERO = bytes(16)


def hashed(text: str | bytes, key: bytes = KEY) -> bytes:
    return clew_kernel.content_hash(key, text.encode() if isinstance(text, str) else text)


def canonical_of(text: str, kind: str = "message") -> bytes:
    kernel = decoder(contents=[content("c", kind, form="whole")])
    (row,) = contents(decode(kernel, request(span(attributes={"c": text}))))
    return row["canonical_hash"]


def test_each_element_of_an_array_is_a_content_of_its_own():
    text = messages_json(USER, ANSWER)
    decoded = decode(decoder(contents=[content("m")]), request(span(attributes={"m": f"  {text}\n"})))
    parts = [json.dumps(USER), json.dumps(ANSWER)]
    assert values(decoded, "m") == [[hashed(part) for part in parts]]
    assert [(row["content"].decode(), row["kind"], row["bytes"]) for row in contents(decoded)] == [
        (part, "message", len(part)) for part in parts
    ]
    assert values(decoded, "SpanAttributes") == [[]]


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("[]", []),
        (" [ ] ", []),
        ("[1]", ["1"]),
        ("[ 1 ,\t2\r\n]", ["1", "2"]),
        ('["a,b","]","[","\\"","\\\\"]', ['"a,b"', '"]"', '"["', '"\\""', '"\\\\"']),
        ('[{"a":[1,{"b":2}]},[3,[4]]]', ['{"a":[1,{"b":2}]}', "[3,[4]]"]),
        ('["\\\\\\"],["]', ['"\\\\\\"],["']),
        # Not arrays: one element each, the whole trimmed text.
        ('{"role":"user"}', ['{"role":"user"}']),
        ("hello", ["hello"]),
        (' "[1,2]" ', ['"[1,2]"']),
        ("[1,2", ["[1,2"]),
        ("[1,,2]", ["[1,,2]"]),
        ("[1,]", ["[1,]"]),
        ("[1]]", ["[1]]"]),
        ("[1],[2]", ["[1],[2]"]),
        ("[{]}", ["[{]}"]),
        ("[{]", ["[{]"]),
        ('["]', ['["]']),
        ("[" * 200 + "]" * 200, ["[" * 200 + "]" * 200]),
        ("   ", []),
        ("", []),
    ],
)
def test_splitting_follows_brackets_and_strings(text: str, elements: list[str]):
    decoded = decode(decoder(contents=[content("m")]), request(span(attributes={"m": text})))
    assert [row["content"].decode() for row in contents(decoded)] == elements
    assert values(decoded, "m") == [[hashed(element) for element in elements]]


def test_an_array_of_very_many_elements_is_taken_whole():
    kernel = decoder(contents=[content("m")])
    for count, expected in ((65_536, 65_536), (65_537, 1)):
        text = f"[{','.join(['1'] * count)}]"
        assert len(values(decode(kernel, request(span(attributes={"m": text}))), "m")[0]) == expected


def test_a_structured_value_is_taken_as_compact_json_in_received_order():
    structured = [{"role": "user", "parts": [{"type": "text", "content": 'a"b'}]}, 1.0, None, b"\x00"]
    decoded = decode(decoder(contents=[content("m")]), request(span(attributes={"m": structured})))
    assert [row["content"] for row in contents(decoded)] == [
        b'{"role":"user","parts":[{"type":"text","content":"a\\"b"}]}',
        b"1",
        b"null",
        b'"AA=="',
    ]


def test_absent_contents_are_empty_or_zero():
    kernel = decoder(contents=[content("m", calls=True), content("w", form="whole"), content("c", form="canonical")])
    decoded = decode(kernel, request(span(), span(attributes={"m": "[]", "w": "  ", "c": ""})))
    assert values(decoded, "m") == values(decoded, "m.calls") == [[], []]
    assert values(decoded, "w") == values(decoded, "c") == [ZERO, ZERO]
    assert contents(decoded) == []


def test_the_first_listed_content_key_wins_and_the_others_stay_attributes():
    kernel = decoder(contents=[{"name": "m", "keys": ["new", "old"], "kind": "message", "form": "whole"}])
    decoded = decode(kernel, request(span(attributes={"old": "o", "new": "n", "x": "y"})))
    assert values(decoded, "m") == [hashed("n")]
    assert values(decoded, "SpanAttributes") == [[("x", "y"), ("old", "o")]]


def test_whole_and_canonical_name_the_content_by_their_own_hash():
    text = ' {"b": 1.0, "a": null} '
    kernel = decoder(contents=[content("w", "tools", form="whole"), content("c", "arguments", form="canonical")])
    decoded = decode(kernel, request(span(attributes={"w": text, "c": text})))
    raw, canonical = hashed(text.strip()), hashed('{"b":1}')
    assert (values(decoded, "w"), values(decoded, "c")) == ([raw], [canonical])
    (row,) = contents(decoded)
    assert (row["hash"], row["canonical_hash"], row["kind"]) == (raw, canonical, "tools")


@pytest.mark.parametrize(
    "other",
    [
        '{"parts": [{"type": "text", "content": "hello"}], "role": "user"}',
        '{"role":"user","parts":[{"content":"hello","type":"text"}]}',
        '{ "role" : "user",\n "parts" : [ { "type" : "text" , "content" : "hello" } ] }',
        '{"role":"user","parts":[{"type":"text","content":"hello","extra":null}],"finish_reason":"stop","name":"x"}',
        '{"role":"user","parts":[{"type":"text","content":"\\u0068ello"}]}',
        json.dumps('{"role":"user","parts":[{"type":"text","content":"hello"}]}'),
        '{"role":"system","role":"user","parts":[{"type":"text","content":"hello"}]}',
        '{"role":"user","parts":[{"type":"text","content":"hello"},{"type":"text","content":""}]}',
        '{"role":"user","parts":[{"type":"text","content":"hello","annotations":[]}]}',
    ],
)
def test_messages_that_say_the_same_have_one_canonical_hash(other: str):
    assert canonical_of(other) == canonical_of(json.dumps(USER))


@pytest.mark.parametrize(
    "other",
    [
        '{"role":"user","parts":[{"type":"text","content":"hello "}]}',
        '{"role":"assistant","parts":[{"type":"text","content":"hello"}]}',
        '{"role":"user","parts":[{"type":"text","content":"hello"},{"type":"text","content":" "}]}',
    ],
)
def test_messages_that_say_something_else_have_another(other: str):
    assert canonical_of(other) != canonical_of(json.dumps(USER))


def test_messages_without_parts_keep_all_their_members():
    """Other dialects say ``content`` where ours says ``parts``; reduced to role alone they would all be one."""
    assert canonical_of('{"role":"user","content":"a"}') != canonical_of('{"role":"user","content":"b"}')


def test_a_tools_answer_is_the_same_called_result_or_response():
    one, other = (
        json.dumps(message("tool", {"type": "tool_call_response", "id": "1", key: "42"}))
        for key in ("result", "response")
    )
    assert canonical_of(one) == canonical_of(other)
    kept = json.dumps(message("tool", {"type": "something_else", "id": "1", "result": "42"}))
    assert canonical_of(kept) != canonical_of(kept.replace("result", "response"))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ('{"b":1,"a":[true,false,null]}', '{"a":[true,false,null],"b":1}'),
        ('{"a":null,"b":{"c":null}}', '{"b":{}}'),
        ('{"a":1,"a":2}', '{"a":2}'),
        ('{"a":1,"a":null}', "{}"),
        ("[1.0, 1e2, 0.10, -0, -0.0, 1E-7, 1e21, 123456789012345678901234567890]",
         "[1,100,0.1,0,0,1e-7,1e+21,123456789012345678901234567890]"),
        ("1e400", '"1e400"'),
        ("1.50", '"1.5"'),
        ("true", '"true"'),
        ("null", "null"),
        ('"\\u00e9\\/\\u0041\\ud83d\\ude00\\ud800"', '"é/A😀\\ud800"'),
        ('"\\u0000\\b\\f\\n\\r\\t\\"\\\\\\u001f"', '"\\u0000\\b\\f\\n\\r\\t\\"\\\\\\u001f"'),
        ('{"é":1,"z":2,"\\u0061":3}', '{"a":3,"z":2,"é":1}'),
        ('"{\\"b\\": 1, \\"a\\": 2}"', '{"a":2,"b":1}'),
        ('"[1, 2]"', "[1,2]"),
        ('"{not json"', '"{not json"'),
        ('"5"', '"5"'),
        (" not json ", '"not json"'),
        ("{'a': 1, 'b': None}", '{"a":1}'),
        ('{"a":1}x', '"{\\"a\\":1}x"'),
        ("01", '"01"'),
        ("1.", '"1."'),
        ('"\x01"', '"\\"\\u0001\\""'),
        ('"\\x"', '"\\"\\\\x\\""'),
        ("", '""'),
        ("[" * 128 + "]" * 128, "[" * 128 + "]" * 128),
        (" [" * 129 + "]" * 129, '"' + ("[ " * 129)[:-1] + "]" * 129 + '"'),
    ],
)  # fmt: skip
def test_canonical_json(text: str, canonical: str):
    assert clew_kernel.canonical_json(text.encode()).decode() == canonical


def test_a_content_is_given_out_once_across_spans_requests_and_calls():
    kernel = decoder(contents=[content("m")])
    history = [message("user", str(n)) for n in range(3)]
    first = decode(
        kernel,
        request(span(attributes={"m": messages_json(*history[:1])})),
        request(
            span(attributes={"m": messages_json(*history[:2])}), span(attributes={"m": messages_json(*history[:2])})
        ),
    )
    assert [row["request"] for row in contents(first)] == [0, 1]
    second = decode(kernel, request(span(attributes={"m": messages_json(*history)})))
    assert [row["content"].decode() for row in contents(second)] == [json.dumps(history[2])]
    assert values(second, "m") == [[hashed(json.dumps(m)) for m in history]]


def test_a_content_is_given_out_again_when_it_is_old():
    kernel = decoder(content_refresh_s=3600, contents=[content("m")])
    body = request(span(attributes={"m": '["x"]'}))
    counts = [
        len(decode(kernel, body, now_ns=T0 + seconds * 10**9).contents) for seconds in (0, 3599, 3600, 3601, 7200)
    ]
    assert counts == [1, 0, 1, 0, 1]


def test_forget_gives_everything_out_again():
    kernel = decoder(contents=[content("m")])
    body = request(span(attributes={"m": '["x"]'}))
    assert len(decode(kernel, body).contents) == 1
    kernel.forget()
    assert len(decode(kernel, body).contents) == 1


def test_tenants_have_hashes_and_contents_of_their_own():
    kernel, other = decoder(contents=[content("m")]), b"k" * 16
    body = request(span(attributes={"m": '["x"]'}))
    decoded = decode(kernel, body, body, body, keys=[KEY, other, KEY])
    rows = contents(decoded)
    assert [(row["request"], row["hash"]) for row in rows] == [(0, hashed('"x"')), (1, hashed('"x"', other))]
    assert rows[0]["canonical_hash"] != rows[1]["canonical_hash"]
    assert values(decoded, "m") == [[rows[0]["hash"]], [rows[1]["hash"]], [rows[0]["hash"]]]


def test_the_memory_is_bounded_and_what_is_still_used_stays_in_it():
    kernel = decoder(contents=[content("m")])
    used = request(span(attributes={"m": '["used"]'}))
    assert len(decode(kernel, used).contents) == 1
    for block in range(24):
        many = json.dumps([block * 50_000 + n for n in range(50_000)])
        assert len(decode(kernel, request(span(attributes={"m": many}))).contents) == 50_000
        assert len(decode(kernel, used).contents) == 0
    # The first block was not used again and is forgotten by now; given out twice is harmless, never is not.
    assert len(decode(kernel, request(span(attributes={"m": "[1,2,3]"}))).contents) == 3


def test_a_message_and_arguments_of_the_same_bytes_keep_their_own_canonical_hash():
    text = '{"role":"user","parts":[],"name":"x"}'
    kernel = decoder(contents=[content("m", form="whole"), content("a", "arguments", form="canonical")])
    for order in ({"m": text, "a": text}, {"a": text, "m": text}):
        kernel.forget()
        assert values(decode(kernel, request(span(attributes=order))), "a") == [
            hashed('{"name":"x","parts":[],"role":"user"}')
        ]
        assert values(decode(kernel, request(span(attributes={"a": text}))), "a") == [
            hashed('{"name":"x","parts":[],"role":"user"}')
        ]


def call(name: object, identifier: object, arguments: object) -> dict[str, object]:
    return {"type": "tool_call", "id": identifier, "name": name, "arguments": arguments}


def test_calls_lists_the_tool_calls_of_the_messages_in_order():
    text = messages_json(
        message("assistant", "thinking", call("search", "c1", {"q": "x", "n": 1.0})),
        message("assistant", call("search", "c2", '{"n": 1, "q": "x"}'), call("stop", None, None)),
        message("user", "no tool_call here"),
    )
    decoded = decode(
        decoder(contents=[content("m", calls=True)]), request(span(), span(attributes={"m": text}), span())
    )
    arguments = hashed('{"n":1,"q":"x"}')
    assert values(decoded, "m.calls") == [
        [],
        [
            {"name": "search", "id": "c1", "args": arguments},
            {"name": "search", "id": "c2", "args": arguments},
            {"name": "stop", "id": None, "args": ZERO},
        ],
        [],
    ]


@pytest.mark.parametrize(
    "wrapped", [json.dumps, lambda m: json.dumps(json.dumps(m)), lambda m: json.dumps([json.dumps(m)])]
)
def test_calls_are_found_in_a_single_message_and_in_encoded_ones(wrapped):
    text = wrapped(message("assistant", call("f", "1", {})))
    decoded = decode(decoder(contents=[content("m", calls=True)]), request(span(attributes={"m": text})))
    assert values(decoded, "m.calls") == [[{"name": "f", "id": "1", "args": hashed("{}")}]]


def test_calls_of_a_resent_message_are_listed_again():
    text = messages_json(message("assistant", call("f", "1", {"a": 1})))
    kernel = decoder(contents=[content("m", calls=True)])
    first, second = (values(decode(kernel, request(span(attributes={"m": text}))), "m.calls") for _ in range(2))
    assert first == second != [[]]


def test_arguments_of_a_call_and_of_the_tool_span_have_one_hash():
    """What joins a model's request for a tool with the tool's own span: text, object and encoded object agree."""
    kernel = decoder(contents=[content("m", calls=True), content("a", "arguments", form="canonical")])
    forms = [('{"x": [1, 2]}', {"x": [1, 2]}), ("plain words", "plain words"), ("5", 5)]
    for text, value in forms:
        messages = messages_json(message("assistant", call("f", "1", value)))
        decoded = decode(kernel, request(span(attributes={"m": messages, "a": text})))
        assert values(decoded, "m.calls")[0][0]["args"] == values(decoded, "a")[0]


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ({"messages": [USER, ANSWER], "model": "m", "n": 1}, {"messages": [None, None], "model": "m", "n": 1}),
        ({"system": "be brief", "messages": [USER], "seed": 7}, {"system": None, "messages": [None], "seed": 7}),
        (
            {"choices": [{"message": ANSWER, "finish_reason": "stop"}], "id": "r"},
            {"choices": [{"message": None, "finish_reason": "stop"}], "id": "r"},
        ),
        ({"input": "hello", "config": {"temperature": 0}}, {"input": None, "config": {"temperature": 0}}),
        ({"messages": [USER], "tools": [], "stop": None, "user": ""}, None),
        ([USER, ANSWER], None),
        (USER, None),
    ],
)
def test_what_is_no_message_of_an_attribute_stays_an_attribute(told, left):
    decoded = decode(decoder(contents=[content("m")]), request(span(attributes={"m": json.dumps(told)})))
    attributes = {key: json.loads(text) for key, text in values(decoded, "SpanAttributes")[0]}
    assert attributes == ({} if left is None else {"m": left})
