"""Plan columns: which key wins, what is usable for which type, and what a wrong plan is told."""

from __future__ import annotations

import json
import math

import clew_kernel
import pyarrow as pa
import pytest

from shared.kernel import KEY, column, content, decode, decoder, spans, values
from shared.otlp import request, span


def one(kind: str, value: object) -> object:
    return values(decode(decoder(columns=[column("c", kind)]), request(span(attributes={"c": value}))), "c")[0]


def test_the_first_listed_key_wins_whatever_the_order_on_the_span():
    kernel = decoder(columns=[column("model", "dict", "new", "old")])
    decoded = decode(
        kernel,
        request(
            span(attributes=[("old", "o"), ("new", "n")]),
            span(attributes=[("new", "n"), ("old", "o")]),
            span(attributes={"old": "o"}),
            span(),
        ),
    )
    assert values(decoded, "model") == ["n", "n", "o", None]


def test_a_key_of_an_unusable_type_gives_way_to_the_next():
    kernel = decoder(columns=[column("tokens", "u64", "new", "old")])
    decoded = decode(
        kernel, request(span(attributes={"new": "many", "old": 3}), span(attributes={"new": -1, "old": "4"}))
    )
    assert values(decoded, "tokens") == [3, 4]


def test_the_last_of_a_repeated_key_counts():
    kernel = decoder(columns=[column("c", "dict")])
    decoded = decode(kernel, request(span(attributes=[("c", "first"), ("x", "y"), ("c", "last")])))
    assert values(decoded, "c") == ["last"]
    assert dict(values(decoded, "SpanAttributes")[0]) == {"c": "last", "x": "y"}


def test_an_event_with_the_same_key_does_not_hide_a_repeat():
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    first = span(attributes=[("c", "first")], events=[Span.Event(attributes=span(attributes={"c": "e"}).attributes)])
    second = span(attributes=[("c", "last")])
    # Protobuf writes fields in order of number; joined bodies bring an attribute after the event.
    joined = first.SerializeToString() + second.SerializeToString()
    scoped = b"\x12" + bytes([len(joined) & 0x7F | 0x80, len(joined) >> 7]) + joined
    group = b"\x12" + bytes([len(scoped) & 0x7F | 0x80, len(scoped) >> 7]) + scoped
    body = b"\x0a" + bytes([len(group) & 0x7F | 0x80, len(group) >> 7]) + group
    decoded = decode(decoder(columns=[column("c", "dict")]), body)
    assert values(decoded, "SpanAttributes") == [[("c", "last")]]
    assert values(decoded, "Events.Attributes") == [[[("c", "e")]]]


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        ("dict", "text", "text"),
        ("dict", "", ""),
        ("dict", 12, "12"),
        ("dict", True, "true"),
        ("dict", 0.5, "0.5"),
        ("dict", b"\x00\xff", "AP8="),
        ("dict", ["stop", "length"], "stop"),
        ("dict", [], None),
        ("dict", [["nested"]], None),
        ("dict", {"a": 1}, None),
        ("dict", None, None),
        ("str", "text", "text"),
        ("str", [7], "7"),
        ("u64", 5, 5),
        ("u64", -5, None),
        ("u64", "12", 12),
        ("u64", " 12 ", 12),
        ("u64", "12.0", 12),
        ("u64", str(2**64 - 1), 2**64 - 1),
        ("u64", "12.5", None),
        ("u64", 3.0, 3),
        ("u64", 3.5, None),
        ("u64", -1.0, None),
        ("u64", 1e300, None),
        ("u64", math.nan, None),
        ("u64", True, None),
        ("u64", [3], None),
        ("u64", "", None),
        ("i64", -5, -5),
        ("i64", "-12", -12),
        ("i64", -3.0, -3),
        ("i64", 2.0**63, None),
        ("f64", 0.25, 0.25),
        ("f64", 3, 3.0),
        ("f64", "1e-3", 0.001),
        ("f64", math.inf, None),
        ("f64", "nan", None),
        ("f64", False, None),
        ("bool", True, True),
        ("bool", False, False),
        ("bool", "true", True),
        ("bool", "False", False),
        ("bool", "yes", None),
        ("bool", 1, None),
        ("hash64", "", None),
        ("hash64", {"a": 1}, None),
    ],
)
def test_lenient_coercions(kind: str, value: object, cell: object):
    assert one(kind, value) == cell


def test_hash64_stays_what_it_was():
    """Stored hashes are compared with new ones, so this is HighwayHash-64 under the stretched key for ever."""
    assert one("hash64", bytes(range(15)).decode()) == 0xCC4DD3247965D0BA


def test_hash64_of_another_tenant_differs():
    kernel = decoder(columns=[column("user", "hash64")])
    body = request(span(attributes={"user": "bob"}))
    one, other = values(decode(kernel, body, body, keys=[KEY, b"k" * 16]), "user")
    assert one != other


def test_resource_columns_repeat_on_every_span_of_the_resource_only():
    kernel = decoder(
        columns=[column("env", "dict", source="resource"), column("zone", "str", source="resource"), column("n", "u64")]
    )
    decoded = decode(
        kernel,
        request(span(attributes={"env": "span"}), span(), resource={"env": "prod", "n": 1}),
        request(span(), resource={"zone": "z"}),
    )
    assert values(decoded, "env") == ["prod", "prod", None]
    assert values(decoded, "zone") == [None, None, "z"]
    assert values(decoded, "n") == [None, None, None]


def test_one_key_may_feed_several_columns_and_stays_an_attribute():
    kernel = decoder(columns=[column("a", "u64", "k"), column("b", "dict", "k")])
    decoded = decode(kernel, request(span(attributes={"k": "5"})))
    assert values(decoded, "a") == [5]
    assert values(decoded, "b") == ["5"]
    assert values(decoded, "SpanAttributes") == [[("k", "5")]]


def test_column_types_are_those_of_the_interface():
    kernel = decoder(
        columns=[column(kind, kind) for kind in ("dict", "str", "u64", "i64", "f64", "bool", "hash64")],
        contents=[content("m", calls=True), content("w", form="whole"), content("c", form="canonical")],
    )
    dictionary, binary = pa.dictionary(pa.int32(), pa.utf8()), pa.binary(16)
    calls = [("name", pa.utf8()), ("id", pa.utf8()), ("args", binary)]
    for decoded in (decode(kernel), decode(kernel, request(span()))):
        schema = spans(decoded).schema
        assert schema.field("TraceId").type == dictionary
        assert schema.field("Timestamp").type == pa.timestamp("ns", "UTC")
        assert schema.field("Events.Timestamp").type.value_type == pa.timestamp("ns", "UTC")
        assert [schema.field(kind).type for kind in ("dict", "str", "u64", "i64", "f64", "bool", "hash64")] == [
            dictionary, pa.utf8(), pa.uint64(), pa.int64(), pa.float64(), pa.bool_(), pa.uint64(),
        ]  # fmt: skip
        assert schema.field("m").type.value_type == binary
        assert schema.field("w").type == schema.field("c").type == binary
        assert [(f.name, f.type) for f in schema.field("m.calls").type.value_type] == calls


def test_empty_input_gives_empty_batches():
    decoded = decode(decoder(columns=[column("c", "dict")]))
    assert (len(decoded.spans), len(decoded.contents), decoded.verdicts) == (0, 0, [])


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        ("{", "the plan is not valid"),
        ('{"colums": []}', "unknown field `colums`"),
        ({"columns": [column("c", "uint")]}, "unknown variant `uint`"),
        ({"columns": [column("c", "u64"), column("c", "dict")]}, 'the name "c" is used twice'),
        ({"columns": [column("TraceId", "dict")]}, 'the name "TraceId" is used twice'),
        ({"columns": [{**column("c", "u64"), "keys": []}]}, 'column "c" names no attribute keys'),
        ({"contents": [content("c", form="whole", calls=True)]}, 'only the form "elements"'),
        ({"max_depth": 1000}, "max_depth is 1000, expected at most 128"),
    ],
)
def test_a_wrong_plan_is_told_what_is_wrong(plan: object, complaint: str):
    text = plan if isinstance(plan, str) else json.dumps(plan)
    with pytest.raises(ValueError) as error:
        clew_kernel.Decoder(text)
    assert complaint in str(error.value)


def test_wrong_arguments_are_told_what_is_wrong():
    kernel = decoder()
    with pytest.raises(ValueError, match="2 bodies came with 1 keys"):
        decode(kernel, b"", b"", keys=[KEY])
    with pytest.raises(ValueError, match="a hash key has 3 bytes, expected 16"):
        decode(kernel, b"", keys=[b"abc"])
