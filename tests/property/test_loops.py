"""However the spans of some runs arrive, the loops are those of the whole runs, looked at once, in order of start."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.genai import at, chat, tool
from shared.merged import current_loops, merged_runs
from shared.otlp import request
from shared.pipeline import TENANT, Recorder, arrived, new_pipeline

INPUT_USD, OUTPUT_USD = Decimal("0.00000015"), Decimal("0.0000006")  # gpt-4o-mini, per token

CALL = st.tuples(st.sampled_from("AB"), st.sampled_from(["{}", '{"q": 1}', None]))
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "trace": st.sampled_from([1, 1, 1, 2]),
            "start": st.integers(0, 12),  # seconds: many at the same moment
            "model": st.booleans(),
            "call": CALL,
            "failed": st.sampled_from([False, False, False, True]),
            "asks": st.lists(CALL, max_size=3),
            "tokens": st.integers(1, 50),
        }
    ),
    min_size=3,
    max_size=24,
)


def to_span(number, event):
    fields = {"trace_id": event["trace"], "start": at(event["start"])}
    if event["model"]:
        return chat(
            number, tokens={"input": event["tokens"], "output": 1}, asks=[(n, a) for n, a in event["asks"]], **fields
        )
    return tool(number, *event["call"], failed=event["failed"], **fields)


def same(number, position, call):
    """What makes two calls the same; nothing does without arguments."""
    name, arguments = call
    return (name, arguments) if arguments is not None else (name, number, position)


def expected(trace, events):
    """Rows of loops and totals of one run, by looking at all of it."""
    mine = sorted(((e["start"], i, e) for i, e in enumerate(events, 1) if e["trace"] == trace), key=lambda x: x[:2])
    executed = [(s, i, same(i, 0, e["call"]), e["failed"]) for s, i, e in mine if not e["model"]]
    asked = [(s, i, same(i, p, c), False) for s, i, e in mine if e["model"] for p, c in enumerate(e["asks"])]
    models = [(s, e["tokens"]) for s, _, e in mine if e["model"]]

    rows = {}
    for _, streak in groupby(executed or asked, key=lambda call: call[2]):
        calls = list(streak)
        fresh = 1 + sum(not failed for *_, failed in calls[:-1])
        storm = sum(failed for *_, failed in calls) >= 3
        if fresh < 3 and not storm:
            continue
        wasted = [tokens for start, tokens in models if calls[0][0] < start <= calls[-1][0]]
        rows[calls[0][1]] = (
            "same_call" if fresh >= 3 else "retry_storm",
            len(calls),
            calls[-1][1],
            sum(wasted) + len(wasted),
            sum(wasted) * INPUT_USD + len(wasted) * OUTPUT_USD,
        )
    failing, retries = set(), 0
    for _, _, (name, *_), failed in executed or asked:
        retries += name in failing
        (failing.add if failed else failing.discard)(name)
    return rows, retries


@settings(max_examples=120)
@given(EVENTS, st.data())
def test_loops_do_not_depend_on_how_spans_arrive(events, data):
    spans = [to_span(i, event) for i, event in enumerate(events, 1)]
    order = data.draw(st.permutations(range(len(spans))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(spans) - 1), max_size=6)))
    sink = Recorder()
    pipeline = new_pipeline(sink)
    for start, end in zip([0, *cuts], [*cuts, len(spans)], strict=True):
        pipeline.process([arrived(request(*(spans[i] for i in order[start:end])))])

    found = defaultdict(dict)
    for row in current_loops(sink):
        found[int(row["trace_id"], 16)][int(row["first_span_id"], 16)] = (
            row["pattern"],
            row["repetitions"],
            int(row["last_span_id"], 16),
            row["wasted_tokens"],
            row["wasted_cost_usd"],
        )
    for trace in {event["trace"] for event in events}:
        rows, retries = expected(trace, events)
        total = merged_runs(sink)[TENANT, f"{trace:032x}"]
        assert found[trace] == rows
        assert (total["loops"], total["retries"]) == (len(rows), retries)
        assert total["loop_tokens"] == sum(row[3] for row in rows.values())
        assert total["loop_cost_usd"] == sum(row[4] for row in rows.values())
