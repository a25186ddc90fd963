"""Copies of calls in any order and batching: one own each, the best; nothing is counted twice."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.genai import agent, at, chat
from shared.merged import merged_runs, merged_usage
from shared.otlp import request
from shared.pipeline import Recorder, arrived, new_pipeline

COPY = st.fixed_dictionaries(
    {
        "response": st.sampled_from(["", "a", "b", "c", "d"]),
        "trace": st.integers(1, 3),
        "tokens": st.dictionaries(st.sampled_from(["input", "output", "read", "reasoning"]), st.integers(1, 99)),
        "asks": st.integers(0, 2),
        "start": st.integers(0, 150),
    }
)


def lacks_output(copy):
    """Whether it answered, and tells the prompt's tokens only."""
    return bool(copy["tokens"] and copy["asks"]) and not copy["tokens"].keys() & {"output", "reasoning"}


@settings(max_examples=150)
@given(st.lists(COPY, min_size=1, max_size=14), st.sets(st.integers(1, 3), max_size=2), st.data())
def test_the_best_copy_counts_whatever_order_they_come_in(copies, agents, data):
    spans = [
        chat(
            i, tokens=copy["tokens"], response=copy["response"], trace_id=copy["trace"], start=at(copy["start"]),
            asks=[("search", {"q": i})] * copy["asks"],
        )
        for i, copy in enumerate(copies, 1)
    ]  # fmt: skip
    spans += [agent(100 + trace, trace_id=trace) for trace in sorted(agents)]
    order = data.draw(st.permutations(range(len(spans))))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(spans) - 1)), max_size=6)))
    sink = Recorder()
    pipeline = new_pipeline(sink)
    for start, end in zip([0, *cuts], [*cuts, len(spans)], strict=True):
        if start < end:
            pipeline.process([arrived(request(*(spans[i] for i in order[start:end])))])

    def kinds(copy):
        tokens = copy["tokens"]
        exclusive = tokens.get("read", 0) > tokens.get("input", 0)
        thought = "reasoning" in tokens  # output is at least the reasoning in it
        told = len(tokens) + (exclusive and "input" not in tokens) + (thought and "output" not in tokens)
        # What it asks tools for is text, of which tokens are guessed: more than nothing, less than any that are told.
        return told - lacks_output(copy) / 3 if told else (0.5 if copy["asks"] else 0)

    by_response = defaultdict(list)
    for i, copy in enumerate(copies, 1):
        by_response[copy["response"] or i].append((copy["trace"] not in agents, -kinds(copy), copy["trace"], i))
    own = {min(rivals)[3] for rivals in by_response.values()}

    def most_complete(number):
        """The copy that tells most of a call that counts; its own numbers where others tell no more."""
        rivals = by_response[copies[number - 1]["response"] or number]
        return copies[min((less, i != number, trace, i) for _, less, trace, i in rivals)[3] - 1]

    def asks(number):
        """Tool calls in the answer, the longest of the copies' answers."""
        return max(copies[i - 1]["asks"] for *_, i in by_response[copies[number - 1]["response"] or number])

    told = {int(row["SpanId"], 16): row["UsageScope"] for row in sink.rows("otel_traces")}
    for row in sink.rows("span_corrections"):  # each says something else than what was said before
        span = int(row["span_id"], 16)
        assert told[span] != row["usage_scope"] or row["reason"] == "completed"
        told[span] = row["usage_scope"]
    assert {i for i in range(1, len(copies) + 1) if told[i] != "duplicate"} == own

    def tokens(copy):
        told = copy["tokens"]
        cached = told.get("read", 0)
        prompt = told.get("input", 0)
        return prompt + cached if cached > prompt else prompt

    runs = {int(trace, 16): run for (_, trace), run in merged_runs(sink).items()}
    for trace, run in runs.items():
        mine = [i for i in own if copies[i - 1]["trace"] == trace]
        told = [most_complete(i)["tokens"] for i in mine]
        assert run["spans"] - run["agent_spans"] == run["model_calls"] == len(mine)
        assert run["input_tokens"] == sum(tokens(most_complete(i)) for i in mine)
        assert run["requested_tool_calls"] == sum(map(asks, mine))
        assert run["calls_without_usage"] == told.count({}) + sum(lacks_output(most_complete(i)) for i in mine)
        # What a call asks tools for is text, of which its tokens are guessed.
        silent = [asks(i) for i, tokens in zip(mine, told, strict=True) if not tokens]
        assert run["unpriced_calls"] == silent.count(0)
        assert run["output_tokens"] >= len(silent) - silent.count(0)
    minutes = Counter()
    for where, row in merged_usage(sink).items():
        if where[-1] == "chat":
            minutes[where[0]] += row["calls"]
    ends = Counter(((at(copies[i - 1]["start"]) + 10**6) // 10**9 // 60 * 60) for i in own)
    assert minutes == ends
    assert sum(row["cost_usd"] for row in merged_usage(sink).values()) == sum(run["cost_usd"] for run in runs.values())
