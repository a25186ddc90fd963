"""What counts converges: in any order, cut into batches in any way and restarted, it is what a plain count says."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.genai import TOKENS as TOLD_AS
from shared.genai import at, chat, tool
from shared.merged import merged_runs, merged_usage
from shared.otlp import span
from shared.seen import Seen, counted, own_tokens, scopes, sent

MS = 10**6
PLAIN = ("agent", "chain", "plain", "tool")


@dataclass
class Node:
    """A span of a made-up run; calls have `copies`: other spans of the same call."""

    number: int
    what: str
    trace: int
    parent: int
    tokens: dict[str, int]
    response: str = ""
    scope: str = "framework"
    copies: list[Node] = field(default_factory=list)

    def seen(self) -> Seen:
        fields = {"trace_id": self.trace, "parent_id": self.parent or b""}
        start = at(self.call)
        usage = {TOLD_AS[name]: count for name, count in self.tokens.items()}
        match self.what:
            case "call":
                made = chat(self.number, tokens=self.tokens, response=self.response, start=start + self.inner * MS,
                            end=start + (90 - self.inner) * MS, **fields)  # fmt: skip
            case "tool":
                made = tool(self.number, f"tool {self.number}", attributes=usage, start=start, **fields)
            case "plain":
                made = span("GET", usage, span_id=self.number, start=start, **fields)
            case _:
                op = {"agent": "invoke_agent", "chain": "chain"}[self.what]
                made = span(op, {"gen_ai.operation.name": op} | usage, span_id=self.number, start=start, **fields)
        return Seen(made, self.scope)

    call: int = 0  # number of the call it shows, which is also when it began
    inner: int = 0


@st.composite
def forests(draw):
    """Runs of agents, chains, plain spans and tools over calls, some of these seen several times."""
    spans: list[Node] = []
    calls: list[list[Node]] = []

    def add(what, trace, parent, **known):
        spans.append(Node(len(spans) + 1, what, trace, parent, **known))
        return spans[-1]

    for trace in range(1, draw(st.integers(1, 3)) + 1):
        inside = [add(draw(st.sampled_from(PLAIN[:3])), trace, 0, tokens={}).number]
        for _ in range(draw(st.integers(0, 7))):
            parent = draw(st.sampled_from(inside))
            what = draw(st.sampled_from((*PLAIN, "call", "call", "call")))
            if what != "call":
                inside.append(add(what, trace, parent, tokens={}).number)
                continue
            number = len(calls) + 1
            # No two calls have the same numbers, but the copies of each.
            full = {"input": 1000 + number, "output": 10 + number}
            more = draw(st.sampled_from([{}, {"read": 5}, {"read": 5, "reasoning": 3}]))
            response = draw(st.sampled_from(["", f"r{number}"]))
            usage = draw(st.booleans()) or bool(response)
            first = add("call", trace, parent, tokens=full if usage else {}, response=response)
            copies = [first]
            inside_it = first
            for depth, how in enumerate(draw(st.lists(st.sampled_from(["inside", "apart"]), max_size=2)), 1):
                told = full | draw(st.sampled_from([{}, more])) if usage else {}
                by_id = bool(response) and draw(st.booleans())
                if how == "inside":
                    copy = add("call", trace, inside_it.number, tokens=told, response=response if by_id else "")
                    inside_it = copy
                elif usage:
                    copy = add("call", 50 + len(spans), 0, tokens=told, response=response if by_id else "")
                else:
                    continue
                copy.scope = f"client {depth}"
                copy.inner = 2 * depth
                copies.append(copy)
            for copy in copies:
                copy.call = number
            calls.append(copies)
    for one in spans:
        if one.what in ("agent", "chain", "tool") and draw(st.booleans()):
            one.tokens = {"input": draw(st.integers(1, 999)), "output": 7}
    return spans, calls


def kinds(node):
    return len(node.tokens)


def expected_tokens(spans, calls):
    """Input tokens by run, counted over everything at once."""
    of_agent = {one.trace for one in spans if one.what == "agent"}
    children = defaultdict(list)
    for one in spans:
        children[one.trace, one.parent].append(one)

    def usage_below(one):
        return any(child.tokens or usage_below(child) for child in children[one.trace, one.number])

    totals, model_calls = defaultdict(int), defaultdict(int)
    for copies in calls:
        best = max(kinds(copy) for copy in copies)
        rank = {copy.number: (copy.trace not in of_agent, -kinds(copy)) for copy in copies}
        least = min(rank.values())
        homes = {copy.trace for copy in copies if rank[copy.number] == least}
        fullest = next(copy for copy in copies if kinds(copy) == best)
        home = min(homes)  # of equals the lower trace
        totals[home] += fullest.tokens.get("input", 0)
        model_calls[home] += 1
    for one in spans:
        if one.what in ("agent", "chain", "tool") and one.tokens and not usage_below(one):
            totals[one.trace] += one.tokens["input"]
    return dict(totals), dict(model_calls)


def cut(data, items):
    order = data.draw(st.permutations(items))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(items) - 1)), max_size=6)))
    return [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True) if order[a:b]]


@settings(max_examples=150)
@given(forests(), st.data())
def test_totals_are_those_of_a_plain_count(forest, data):
    spans, calls = forest
    batches = cut(data, [one.seen() for one in spans])
    restarts = data.draw(st.sets(st.integers(0, len(batches) - 1), max_size=2))
    sink = sent(*batches, apart_s=data.draw(st.sampled_from([0, 1, 590 / len(batches)])), restarts=restarts)
    tokens, model_calls = expected_tokens(spans, calls)
    runs = {int(trace, 16): run for (_, trace), run in merged_runs(sink).items()}
    assert {trace: run["input_tokens"] for trace, run in runs.items() if run["input_tokens"]} == {
        trace: total for trace, total in tokens.items() if total
    }
    assert {trace: run["model_calls"] for trace, run in runs.items() if run["model_calls"]} == model_calls
    assert counted(sink).model_calls == len(calls)
    own = set(own_tokens(sink))
    for copies in calls:
        assert len(own & {copy.number for copy in copies}) <= 1


ANY = st.fixed_dictionaries(
    {
        "what": st.sampled_from(["call", "call", "call", "agent", "tool", "plain"]),
        "trace": st.integers(1, 3),
        "parent": st.sampled_from([0, 0, 1, 2, 3, 4, 5, 99]),
        "tokens": st.sampled_from([{}, {"input": 5}, {"input": 5, "output": 2}, {"input": 5, "output": 2, "read": 1}]),
        "response": st.sampled_from(["", "", "", "a", "b"]),
        "scope": st.sampled_from(["x", "y", "z"]),
        "start": st.integers(0, 12),
        "length": st.sampled_from([0, 1, 4, 9]),
        "failed": st.sampled_from([False, False, False, True]),
    }
)


def made(number, event):
    start = at(0) + event["start"] * 4 * MS
    fields = {
        "trace_id": event["trace"],
        "parent_id": event["parent"] if event["parent"] != number else b"",
        "start": start,
        "end": start + event["length"] * 8 * MS,
    }
    if not fields["parent_id"]:
        fields["parent_id"] = b""
    attributes = {"error.type": "Timeout"} if event["failed"] else {}
    usage = {TOLD_AS[name]: count for name, count in event["tokens"].items()}
    match event["what"]:
        case "call":
            return chat(number, tokens=event["tokens"], response=event["response"], attributes=attributes, **fields)
        case "tool":
            known = {"gen_ai.tool.call.id": event["response"]} if event["response"] else {}
            args = {} if event["tokens"] else None
            return tool(number, "search", args, attributes=known | attributes, **fields)
        case "agent":
            known = {"gen_ai.operation.name": "invoke_agent"}
            return span("agent", known | usage | attributes, span_id=number, **fields)
    return span("GET", span_id=number, **fields)


def totals(sink):
    """Runs, and minutes without agents' names, which are handed down within a batch only."""
    minutes = defaultdict(lambda: defaultdict(int))
    for where, row in merged_usage(sink).items():
        for name, value in row.items():
            if name != "duration_buckets":
                minutes[*where[:3], *where[5:]][name] += value
    nothing = {where for where, row in minutes.items() if not any(row.values())}
    runs = {key: {n: v for n, v in run.items() if n != "updated_at"} for key, run in merged_runs(sink).items()}
    return runs, {where: dict(row) for where, row in minutes.items() if where not in nothing}


@settings(max_examples=200)
@given(st.lists(ANY, min_size=2, max_size=14), st.data())
def test_whatever_comes_settles_the_same_in_any_order_and_batching(events, data):
    spans = [Seen(made(i, event), event["scope"]) for i, event in enumerate(events, 1)]
    together = sent(spans)
    batches = cut(data, spans)
    split = sent(*batches, restarts=data.draw(st.sets(st.integers(0, len(batches) - 1), max_size=2)))
    assert scopes(split) == scopes(together)
    assert own_tokens(split) == own_tokens(together)
    assert totals(split) == totals(together)
