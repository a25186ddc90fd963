"""Lists of messages that go on with what came before in their trace: taken as if nothing were remembered."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from shared.kernel import content, contents, decode, decoder, values
from shared.otlp import T0, request, span

if TYPE_CHECKING:
    import clew_kernel

LONG = "x" * 300
REFRESH_S = 100


def message(number: int, role: str = "user") -> str:
    return f'{{"role": "{role}", "content": "{number} {LONG}"}}'


def listed(*messages: str) -> str:
    return f"[{', '.join(messages)}]"


def kernel() -> clew_kernel.Decoder:
    return decoder(contents=[content("m"), content("other")], content_refresh_s=REFRESH_S)


def taken(kernel: clew_kernel.Decoder, text: str, **more: Any) -> tuple[list[Any], list[bytes]]:
    """What the spans have, and the contents given out."""
    now_ns = more.pop("now_ns", T0)
    decoded = decode(kernel, request(span(attributes={"m": text}, **more)), now_ns=now_ns)
    columns = [values(decoded, name) for name in ("m", "SpanAttributes")]
    return columns, [row["content"] for row in contents(decoded)]


def test_what_was_added_to_a_list_is_given_out_and_what_was_there_is_not():
    messages = [message(number) for number in range(30)]
    remembering, known = kernel(), 0
    for count in (10, 10, 11, 20, 30, 30):
        text = listed(*messages[:count])
        columns, given = taken(remembering, text)
        assert columns == taken(kernel(), text)[0]
        assert len(columns[0][0]) == count
        assert given == [text.encode() for text in messages[known:count]]
        known = count


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(listed(*map(message, range(9))), id="fewer"),
        pytest.param(listed(message(0), message(77), *map(message, range(2, 12))), id="one changed"),
        pytest.param(listed(message(5), *map(message, range(12))), id="one before"),
        pytest.param(listed(*map(message, range(10))) + "]", id="a bracket more"),
        pytest.param(listed(*map(message, range(10)))[:-1], id="no bracket"),
        pytest.param(listed(*map(message, range(10)))[:-1] + " , ]", id="a comma too many"),
        pytest.param(listed(*map(message, range(10)))[:-1] + "x]", id="a value too long"),
        pytest.param(listed(*map(message, range(10)))[:-1] + ',{"a":[}]', id="brackets that do not match"),
        pytest.param(listed(*map(message, range(10)))[:-1] + ' ,\n7, "a" ]', id="no messages"),
        pytest.param(listed(*map(message, range(10)))[:-1] + "\n]", id="a space more"),
        pytest.param(listed(*map(message, range(10)), '{"parts": []}'), id="of no role"),
        pytest.param(listed(*map(message, range(10)), f'{{"messages": {listed(message(0))}}}'), id="a list inside"),
    ],
)
def test_a_list_that_goes_on_otherwise_is_taken_as_one_that_is_new(second: str):
    remembering = kernel()
    taken(remembering, listed(*map(message, range(10))))
    expected = taken(kernel(), second)[0]
    assert taken(remembering, second)[0] == expected
    assert taken(remembering, second)[0] == expected


def test_lists_of_other_traces_tenants_and_columns_are_their_own():
    text = listed(*map(message, range(10)))
    remembering = kernel()
    expected = taken(remembering, text)[0]
    assert taken(remembering, text, trace_id=bytes(15) + b"\x07") == (expected, [])
    other = decode(remembering, request(span(attributes={"m": text})), keys=[b"another tenant's"])
    assert len(contents(other)) == 10
    assert values(other, "m") != expected[0]
    other = decode(remembering, request(span(attributes={"other": text})))
    assert values(other, "other") == expected[0]


def test_messages_are_given_out_again_when_the_first_of_them_is_old():
    second_ns = 10**9
    texts = [message(number).encode() for number in range(11)]
    remembering = kernel()
    first, more = listed(*map(message, range(10))), listed(*map(message, range(11)))
    assert taken(remembering, first)[1] == texts[:10]
    assert taken(remembering, more, now_ns=T0 + 60 * second_ns)[1] == texts[10:]
    assert taken(remembering, more, now_ns=T0 + 99 * second_ns)[1] == []
    assert taken(remembering, more, now_ns=T0 + 101 * second_ns)[1] == texts[:10]
    assert taken(remembering, more, now_ns=T0 + 161 * second_ns)[1] == texts[10:]


def test_a_list_that_becomes_too_long_is_taken_whole():
    few = listed(*map(message, range(10)))
    for count, expected in ((65_526, 65_536), (65_527, 1)):
        remembering = kernel()
        taken(remembering, few)
        columns, _ = taken(remembering, f"{few[:-1]},{','.join('1' * count)}]")
        assert len(columns[0][0]) == expected


def test_conversations_in_any_order_are_taken_as_if_nothing_were_remembered():
    rng = random.Random(4)
    remembering = kernel()
    lists: list[list[str]] = [[message(0)] * 8 for _ in range(6)]
    for _ in range(300):
        messages = rng.choice(lists)
        change = rng.randrange(8)
        if change == 0:
            del messages[rng.randrange(1, len(messages) + 1) :]
        elif change == 1:
            messages[rng.randrange(len(messages))] = message(rng.randrange(50), "assistant")
        else:
            messages += [message(rng.randrange(50)) for _ in range(change)]
        text, trace_id = listed(*messages), bytes(15) + bytes([rng.randrange(1, 4)])
        assert taken(remembering, text, trace_id=trace_id)[0] == taken(kernel(), text)[0]
