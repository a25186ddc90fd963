"""Splitting and canonical forms over generated JSON, compared with Python's own ``json``."""

from __future__ import annotations

import json
from typing import Any

import clew_kernel
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kernel import content, contents, decode, decoder
from shared.otlp import request, span

ELEMENTS = decoder(contents=[content("m")])

strings = st.text(max_size=8)
numbers = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False, width=32))
scalars = st.one_of(st.none(), st.booleans(), numbers, strings)
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(strings, inner, max_size=4)),
    max_leaves=15,
)
spaces = st.text(" \t\r\n", max_size=2)


@st.composite
def spelled(draw: st.DrawFn, value: Any) -> str:
    """One of the many ways to write a value: white space, escapes, key order, number forms."""
    space = draw(spaces)
    if isinstance(value, dict):
        items = draw(st.permutations(list(value.items())))
        members = [f"{draw(spelled(k))}{draw(spaces)}:{draw(spelled(v))}" for k, v in items]
        if draw(st.booleans()):
            members.insert(draw(st.integers(0, len(members))), '"\\u0000dropped":null')
        return space + "{" + ",".join(members) + draw(spaces) + "}"
    if isinstance(value, list):
        return f"{space}[{','.join(draw(spelled(v)) for v in value)}{draw(spaces)}]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 and draw(st.booleans()):
        return f"{space}{int(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and draw(st.booleans()):
        return f"{space}{value}.0"
    return space + json.dumps(value, ensure_ascii=draw(st.booleans()))


def without_nulls(value: Any) -> Any:
    """What the canonical form keeps, all numbers as floats."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def holds_lists(value: Any) -> bool:
    """A list of lists or objects inside a list is looked into: there may be messages in it."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict | list)


def is_encoded(value: Any) -> bool:
    """A string that itself holds an object or array is unwrapped; these tests leave that to the unit tests."""
    return isinstance(value, str) and value.lstrip(" \t\r\n")[:1] in ("{", "[")


@settings(max_examples=80, deadline=None)
@given(trees.filter(lambda v: not is_encoded(v)), st.data())
def test_canonical_form_means_the_same_and_is_one_for_every_spelling(value: Any, data: st.DataObject) -> None:
    one, other = (clew_kernel.canonical_json(data.draw(spelled(value)).encode()) for _ in range(2))
    assert one == other
    if isinstance(value, dict | list):
        assert json.loads(one, parse_int=float) == without_nulls(value)
    elif value is not None:
        # One by itself is a string: dialects differ in whether they write 5 or "5".
        text = json.loads(one)
        assert (text if isinstance(value, str) else json.loads(text, parse_int=float)) == value
    assert clew_kernel.canonical_json(one) == one
    if isinstance(value, dict):
        assert list(json.loads(one)) == sorted(json.loads(one))


@settings(max_examples=80, deadline=None)
@given(trees.filter(lambda v: isinstance(v, dict | list)), st.data())
def test_an_encoded_value_is_the_value(value: Any, data: st.DataObject) -> None:
    text = data.draw(spelled(value))
    encoded = json.dumps(text, ensure_ascii=data.draw(st.booleans()))
    assert clew_kernel.canonical_json(encoded.encode()) == clew_kernel.canonical_json(text.encode())


@settings(max_examples=80, deadline=None)
@given(st.lists(trees.filter(lambda v: not holds_lists(v)), max_size=5), st.data())
def test_elements_are_slices_of_the_text_and_join_back_to_it(elements: list[Any], data: st.DataObject) -> None:
    spellings = [data.draw(spelled(e)) + data.draw(spaces) for e in elements]
    text = f"{data.draw(spaces)}[{','.join(spellings)}]{data.draw(spaces)}"
    ELEMENTS.forget()
    decoded = decode(ELEMENTS, request(span(attributes={"m": text})))
    by_hash = {row["hash"]: row["content"] for row in contents(decoded)}
    import pyarrow as pa

    (hashes,) = pa.record_batch(decoded.spans).column("m").to_pylist()
    found = [by_hash[h].decode() for h in hashes]
    assert found == [s.strip(" \t\r\n") for s in spellings]
    place = 0
    for element in found:
        place = text.index(element, place) + len(element)
    assert json.loads(f"[{','.join(found)}]") == json.loads(text)


@settings(max_examples=200, deadline=None)
@given(st.text('[]{},:"\\ a1u0', max_size=25))
def test_any_text_is_split_or_taken_whole(text: str) -> None:
    ELEMENTS.forget()
    decoded = decode(ELEMENTS, request(span(attributes={"m": text})))
    found = [row["content"].decode() for row in contents(decoded)]
    stripped = text.strip(" \t\r\n")
    try:
        value = json.loads(text)
    except ValueError:
        assert found == [stripped] or stripped.startswith("[") or not stripped
    else:
        wanted = [json.loads(f) for f in found]
        if is_encoded(value) or (isinstance(value, list) and any(holds_lists(element) for element in value)):
            assert len(found) >= bool(value)
        elif isinstance(value, list):
            assert all(element in wanted for element in value)  # equal elements are given out once
        else:
            assert found == [stripped]
