"""usage_1m against plain addition over the spans."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import ROUND_HALF_EVEN, Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.genai import at, chat, tool
from shared.merged import merged_usage
from shared.otlp import request
from shared.pipeline import Recorder, arrived, new_pipeline

#: USD per million tokens, in and out.
PRICES = {"gpt-4o-mini": ("0.15", "0.60"), "o4-mini": ("1.10", "4.40"), "nobody-knows-1": None}

SPANS = st.lists(
    st.fixed_dictionaries(
        {
            "model": st.sampled_from([*PRICES, ""]),
            "tool": st.sampled_from(["search", "fetch"]),
            "agent": st.sampled_from(["", "clerk", "boss"]),
            "service": st.sampled_from(["s1", "s2"]),
            "input": st.integers(0, 10**6),
            "output": st.integers(0, 10**5),
            "start": st.integers(0, 200),
            "duration_ns": st.one_of(st.integers(0, 2 * 10**11), st.just(0)),
            "failed": st.booleans(),
        }
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=100)
@given(SPANS)
def test_minutes_add_up_to_the_spans(events):
    bodies = []
    for i, event in enumerate(events, 1):
        start = at(event["start"])
        attributes = {"gen_ai.agent.name": event["agent"]} | ({"error.type": "E"} if event["failed"] else {})
        fields = {"start": start, "end": start + event["duration_ns"], "attributes": attributes, "trace_id": i}
        made = (
            chat(i, model=event["model"], tokens={"input": event["input"], "output": event["output"]}, **fields)
            if event["model"]
            else tool(i, event["tool"], **fields)
        )
        bodies.append(request(made, resource={"service.name": event["service"]}))
    sink = Recorder()
    new_pipeline(sink).process([arrived(body) for body in bodies])

    expected = defaultdict(Counter)
    for event in events:
        end = at(event["start"]) + event["duration_ns"]
        dimensions = (
            ("openai", event["model"], "", "chat") if event["model"] else ("", "", event["tool"], "execute_tool")
        )
        row = expected[end // 10**9 // 60 * 60, "default", event["service"], event["agent"], "", *dimensions]
        row["calls"] += 1
        row["errors"] += event["failed"]
        if not event["model"]:
            continue
        row["input_tokens"] += event["input"]
        row["output_tokens"] += event["output"]
        price = PRICES[event["model"]]
        told = event["input"] + event["output"] > 0
        row["unpriced_calls"] += (told and price is None) or (not told and not event["failed"])
        row["calls_without_usage"] += not told and not event["failed"]
        if price and told:
            usd = (event["input"] * Decimal(price[0]) + event["output"] * Decimal(price[1])) / 10**6
            row["cost_usd"] += usd.quantize(Decimal("1e-9"), ROUND_HALF_EVEN)

    found = merged_usage(sink)
    assert found.keys() == expected.keys()
    for where, row in found.items():
        assert sum(row.pop("duration_buckets").values()) == row["calls"]
        assert {name: value for name, value in row.items() if value} == {n: v for n, v in expected[where].items() if v}
