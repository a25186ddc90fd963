"""usage_1m: minutes, dimensions, duration buckets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clew_processor.enrich.rollups import duration_bucket
from shared.engine import fresh_store
from shared.genai import at, chat, tool
from shared.merged import merged_usage
from shared.otlp import T0, request, span
from shared.pipeline import Recorder, arrived, new_pipeline

MINUTE = 60 * 10**9
FULL_MINUTE = T0 // MINUTE * MINUTE


def rolled(*spans) -> dict:
    sink = Recorder()
    new_pipeline(sink).process([arrived(request(*spans))])
    return merged_usage(sink)


@pytest.mark.parametrize(("end", "minute"), [(0, 0), (-1, -1), (1, 0), (MINUTE - 1, 0), (MINUTE, 1)])
def test_a_span_belongs_to_the_minute_it_ended_in(end, minute):
    ((where, row),) = rolled(
        chat(1, tokens={"input": 1}, start=FULL_MINUTE - 3 * MINUTE, end=FULL_MINUTE + end)
    ).items()
    assert where[0] == (FULL_MINUTE + minute * MINUTE) // 10**9
    assert row["calls"] == 1


def test_every_dimension_keeps_its_own_row():
    base = {"tokens": {"input": 1}, "start": at(0)}
    spans = [
        chat(1, **base),
        chat(2, model="gpt-4o", **base),
        chat(3, provider="azure.ai.openai", **base),
        chat(4, attributes={"gen_ai.agent.name": "a"}, **base),
        chat(5, attributes={"gen_ai.agent.name": "a", "gen_ai.agent.version": "2"}, **base),
        chat(6, attributes={"gen_ai.operation.name": "embeddings"}, **base),
        tool(7, "search", start=at(0)),
        tool(8, "fetch", start=at(0)),
        tool(9, "fetch", start=at(0)),
        span("GET /", span_id=10),
    ]
    rows = rolled(*spans)
    assert sorted(row["calls"] for row in rows.values()) == [1, 1, 1, 1, 1, 1, 1, 2]
    names = {where[5:] for where in rows}
    assert ("azure.ai.openai", "gpt-4o-mini", "", "chat") in names
    assert ("", "", "fetch", "execute_tool") in names


def test_ten_thousand_names_in_every_dimension_stay_apart():
    """Their product is far beyond what one integer key could hold."""
    count = 10_000
    spans = [
        span(
            "x",
            {
                "gen_ai.operation.name": f"op{i}",
                "gen_ai.provider.name": f"p{i}",
                "gen_ai.request.model": f"m{i}",
                "gen_ai.agent.name": f"a{i}",
                "gen_ai.agent.version": f"v{i}",
                "gen_ai.tool.name": f"t{i}",
            },
            span_id=i,
            trace_id=i,
        )
        for i in range(1, count + 1)
    ]
    rows = rolled(*spans, *spans[:10])
    assert len(rows) == count
    assert sum(row["calls"] for row in rows.values()) == count + 10


@pytest.mark.parametrize("duration_ns", [0, 1, 999, 10**6, 10**9 - 1, 10**9, 10**9 + 1, 3600 * 10**9, 2**62])
def test_a_duration_lies_in_its_bucket(duration_ns):
    (bucket,) = duration_bucket(np.array([duration_ns])).tolist()
    seconds = max(duration_ns, 1) / 1e9
    assert 2 ** (bucket / 8) <= seconds * (1 + 1e-12)
    assert seconds < 2 ** ((bucket + 1) / 8) * (1 + 1e-12)


def test_quantiles_from_buckets_are_within_five_percent():
    random = np.random.default_rng(3)
    durations = np.exp(random.normal(20, 2, 5000)).astype(np.int64)
    spans = [tool(i + 1, "t", start=at(0), end=at(0) + int(d), trace_id=1) for i, d in enumerate(durations)]
    counts: dict[int, int] = {}
    for row in rolled(*spans).values():
        for bucket, count in row["duration_buckets"].items():
            counts[bucket] = counts.get(bucket, 0) + count
    assert sum(counts.values()) == 5000
    for quantile in (0.5, 0.9, 0.95, 0.99):
        rank, seen = math.ceil(quantile * 5000), 0
        for bucket in sorted(counts):
            seen += counts[bucket]
            if seen >= rank:
                break
        exact = np.sort(durations)[rank - 1] / 1e9
        assert abs(2 ** ((bucket + 0.5) / 8) / exact - 1) < 0.05


def test_the_engine_adds_buckets_and_money_up():
    store = fresh_store()
    pipeline = new_pipeline(store)
    for i in range(3):
        spans = [chat(10 * i + k, tokens={"input": 1000}, start=at(0), end=at(1), response=f"r{i}{k}") for k in (1, 2)]
        pipeline.process([arrived(request(*spans))])
    store.client.command("OPTIMIZE TABLE usage_1m FINAL")
    rows = store.client.query("SELECT calls, cost_usd, duration_buckets, input_tokens FROM usage_1m").result_rows
    assert [(calls, str(cost), buckets, tokens) for calls, cost, buckets, tokens in rows] == [
        (6, "0.000900000", {0: 6}, 6000)
    ]


def test_a_taken_back_call_leaves_nothing_in_a_merged_minute():
    store = fresh_store()
    pipeline = new_pipeline(store)
    for i in (2, 1):  # the lower span id is own
        pipeline.process([arrived(request(chat(i, tokens={"input": 1000}, response="r", start=at(0), end=at(i))))])
    (row,) = store.client.query(
        "SELECT sum(calls), sum(input_tokens), sum(cost_usd), sumMap(duration_buckets) FROM usage_1m"
    ).result_rows
    calls, tokens, cost, buckets = row
    assert (calls, tokens, str(cost)) == (1, 1000, "0.000150000")
    assert {bucket: count for bucket, count in buckets.items() if count} == {0: 1}
