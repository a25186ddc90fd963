"""Anything that may stand in an OTLP request, for property tests, and ways to spoil its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

if TYPE_CHECKING:
    from collections.abc import Iterator

texts = st.one_of(
    st.sampled_from(["", "a", "service.name", "<&>\u2028", 'quote " and \\', "\x00\x1f\x7f", "\N{PILE OF POO}"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=70),
)
keys = st.one_of(st.sampled_from(["k", "l", "service.name", "hidden", ""]), texts)
doubles = st.one_of(st.floats(), st.sampled_from([1e-7, 1e-6, 1e-5, 123e18, 1e21, 9e15, 0.1, -0.0, 5e-324]))
scalars = st.one_of(
    st.just(AnyValue()),
    texts.map(lambda v: AnyValue(string_value=v)),
    st.booleans().map(lambda v: AnyValue(bool_value=v)),
    st.integers(-(2**63), 2**63 - 1).map(lambda v: AnyValue(int_value=v)),
    doubles.map(lambda v: AnyValue(double_value=v)),
    st.binary(max_size=7).map(lambda v: AnyValue(bytes_value=v)),
)


def pairs(values: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[KeyValue]:
    return st.builds(lambda k, v: KeyValue(key=k, value=v), keys, values)


values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda v: AnyValue(array_value=ArrayValue(values=v))),
        st.lists(pairs(inner), max_size=3).map(lambda v: AnyValue(kvlist_value=KeyValueList(values=v))),
    ),
    max_leaves=8,
)
attribute_lists = st.lists(pairs(values), max_size=6)


def mutate(body: bytes, data: st.DataObject) -> bytes:
    """The body after one to three accidents."""
    spoiled = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        if not spoiled:
            break
        place = data.draw(st.integers(0, len(spoiled) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "drop", "insert", "repeat"])):
            case "flip":
                spoiled[place] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del spoiled[place:]
            case "drop":
                del spoiled[place]
            case "insert":
                spoiled[place:place] = data.draw(st.binary(min_size=1, max_size=4))
            case "repeat":
                spoiled += spoiled[place:]
    return bytes(spoiled)


def field(number: int, payload: bytes) -> bytes:
    size, length = len(payload), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload


#: The messages on the way to an AnyValue: field number -> message it holds.
TREE = {
    "logs_request": {1: "logs_group"},
    "logs_group": {1: "resource", 2: "logs_scoped"},
    "logs_scoped": {1: "scope", 2: "log"},
    "log": {5: "value", 6: "pair"},
    "request": {1: "group"},
    "group": {1: "resource", 2: "scoped"},
    "resource": {1: "pair"},
    "scoped": {1: "scope", 2: "span"},
    "scope": {3: "pair"},
    "span": {9: "pair", 11: "event", 13: "link"},
    "event": {3: "pair"},
    "link": {4: "pair"},
    "pair": {2: "value"},
    "value": {5: "array", 6: "list"},
    "array": {1: "value"},
    "list": {1: "pair"},
}


def merges_values(body: bytes, message: str = "request") -> bool:
    """Whether a value occurs twice in a pair, or an array or list twice in a value: protobuf then merges them.

    So it does with the body of a log record.
    """
    inner = [(number, payload) for number, payload in payloads(body) if number in TREE[message]]
    if message in ("pair", "value") and len({number for number, _ in inner}) < len(inner):
        return True
    if message == "log" and [number for number, _ in inner].count(5) > 1:
        return True
    return any(merges_values(payload, TREE[message][number]) for number, payload in inner)


def payloads(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Length-delimited fields of a message protobuf has accepted."""
    at, groups = 0, 0
    while at < len(body):
        tag, at = varint(body, at)
        size = 0
        match tag & 7:
            case 0:
                _, at = varint(body, at)
            case 1:
                size = 8
            case 2:
                size, at = varint(body, at)
                if not groups:
                    yield tag >> 3, body[at : at + size]
            case 3:
                groups += 1
            case 4:
                groups -= 1
            case 5:
                size = 4
        at += size


def varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (body[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if body[at - 1] < 0x80:
            return value, at
