"""Sampling: consistent by trace id, upstream's threshold kept, runs worth looking at kept with certainty."""

from __future__ import annotations

from typing import Any

import pytest

from shared.genai import agent, at, chat, gate, tool
from shared.otlp import request
from shared.pipeline import Recorder, arrived, new_pipeline

HALF = 2**55  # the randomness from which a probability of one half keeps
HIGH, LOW = HALF, HALF - 1  # trace ids: their last 56 bits are the randomness


def stored(*batches, probability: float = 0.5) -> dict[int, dict[str, Any]]:
    """Rows of otel_traces by span id."""
    sink = Recorder()
    pipeline = new_pipeline(sink, probability=probability)
    for spans in batches:
        pipeline.process([arrived(request(*spans))])
    return {int(row["SpanId"], 16): row for row in sink.rows("otel_traces")}


def test_everything_is_kept_at_weight_one_unless_told_otherwise():
    rows = stored([chat(1, trace_id=LOW), chat(2, trace_id=1)], probability=1.0)
    assert {(row["SampleWeight"], row["KeepReason"]) for row in rows.values()} == {(1.0, "probability")}
    assert rows.keys() == {1, 2}


def test_the_trace_ids_last_56_bits_decide():
    rows = stored(
        [
            chat(1, trace_id=LOW),
            chat(2, trace_id=HIGH),
            chat(3, trace_id=HIGH | 1 << 60),
            chat(4, trace_id=LOW | 1 << 60),
        ]
    )
    assert rows.keys() == {2, 3}
    assert {row["SampleWeight"] for row in rows.values()} == {2.0}


def test_batches_and_processes_agree_about_a_trace():
    for probability in (0.1, 0.5, 0.9):
        ids = [(i * 0x9E3779B97F4A7C15) % 2**63 + 1 for i in range(200)]
        once = stored([chat(i + 1, trace_id=t) for i, t in enumerate(ids)], probability=probability)
        again = stored(*([chat(i + 1, trace_id=t)] for i, t in enumerate(ids[:40])), probability=probability)
        assert {i for i in once if i <= 40} == again.keys()


def test_a_lower_probability_keeps_a_subset():
    spans = [chat(i + 1, trace_id=(i * 0x9E3779B97F4A7C15) % 2**63 + 1) for i in range(300)]
    kept = [stored(spans, probability=p).keys() for p in (0.1, 0.3, 0.7, 1.0)]
    assert kept[0] < kept[1] < kept[2] < kept[3]


@pytest.mark.parametrize(
    ("trace", "state", "kept", "weight"),
    [
        (HIGH, "ot=th:8", True, 2.0),  # upstream: one in two; ours the same
        (2**56 - 1, "ot=th:c", True, 4.0),  # upstream keeps fewer: its weight holds
        (2**56 - 1, "ot=th:4", True, 2.0),  # upstream keeps more: ours holds
        (HIGH, "ot=th:0", True, 2.0),
        (LOW, "ot=th:4", False, None),
        (LOW, "ot=rv:ffffffffffffff", True, 2.0),  # explicit randomness goes before the trace id's
        (HIGH, "ot=rv:00000000000000", False, None),
        (LOW, "vendor=x,ot=rv:ffffffffffffff;th:c,other=y", True, 4.0),
        (HIGH, "ot=th:nonsense", True, 2.0),
        (HIGH, "ot=th:C", True, 2.0),  # upper case is not the form
        (HIGH, "ot=rv:ff", True, 2.0),  # randomness has 14 digits
        (HIGH, "xot=th:c", True, 2.0),
        (2**56 - 1, "ot=th:ffffffffffffff", True, 2.0**56),
    ],
)
def test_upstreams_threshold_is_honoured(trace, state, kept, weight):
    rows = stored([chat(1, trace_id=trace, trace_state=state)])
    assert (1 in rows) == kept
    if kept:
        assert rows[1]["SampleWeight"] == weight
        assert rows[1]["TraceState"] == state


def test_a_threshold_its_span_cannot_have_passed_is_not_believed():
    rows = stored([chat(1, trace_id=LOW, trace_state="ot=th:c")], probability=1.0)
    assert rows[1]["SampleWeight"] == 1.0


def test_weights_add_up_to_what_came_in():
    count = 20_000
    spans = [chat(i + 1, trace_id=((i + 1) * 0x9E3779B97F4A7C15) % 2**64) for i in range(count)]
    for probability in (0.05, 0.37):
        rows = stored(spans, probability=probability)
        estimate = sum(row["SampleWeight"] for row in rows.values())
        spread = (count * (1 - probability) / probability) ** 0.5
        assert abs(estimate - count) < 5 * spread
        assert len(rows) < count


KEPT = {
    "error": [chat(1, trace_id=LOW, attributes={"error.type": "Overloaded"}), chat(2, trace_id=LOW)],
    "gate_denied": [gate(1, "deny", trace_id=LOW), chat(2, trace_id=LOW)],
    "loop": [tool(i + 1, "search", {}, trace_id=LOW, start=at(i)) for i in range(3)],
}


@pytest.mark.parametrize("reason", KEPT)
def test_a_run_worth_looking_at_is_kept_with_certainty(reason):
    rows = stored(KEPT[reason])
    assert len(rows) == len(KEPT[reason])
    assert {(row["SampleWeight"], row["KeepReason"]) for row in rows.values()} == {(1.0, reason)}


def test_the_strongest_reason_is_told():
    (*_, last) = stored(
        [*KEPT["loop"], gate(9, "abort", trace_id=LOW), chat(8, trace_id=LOW, attributes={"error.type": "E"})]
    ).values()
    assert last["KeepReason"] == "loop"
    (*_, last) = stored(
        [gate(9, "abort", trace_id=LOW), chat(8, trace_id=LOW, attributes={"error.type": "E"})]
    ).values()
    assert last["KeepReason"] == "gate_denied"


def test_what_is_known_by_then_keeps_the_rest_of_the_run():
    rows = stored([chat(1, trace_id=LOW)], [gate(2, "deny", trace_id=LOW)], [chat(3, trace_id=LOW)])
    assert rows.keys() == {2, 3}
    assert rows[3]["KeepReason"] == "gate_denied"


def test_a_kept_run_of_another_tenant_keeps_nothing():
    sink = Recorder()
    pipeline = new_pipeline(sink, probability=0.5)
    pipeline.process([arrived(request(gate(1, "deny", trace_id=LOW)), tenant="one")])
    pipeline.process(
        [arrived(request(chat(2, trace_id=LOW)), tenant="other"), arrived(request(chat(3, trace_id=LOW)), tenant="one")]
    )
    assert {int(row["SpanId"], 16) for row in sink.rows("otel_traces")} == {1, 3}


def test_certainty_does_not_lower_upstreams_weight():
    rows = stored([chat(1, trace_id=2**56 - 1, trace_state="ot=th:c", attributes={"error.type": "E"})])
    assert (rows[1]["SampleWeight"], rows[1]["KeepReason"]) == (4.0, "error")


def test_control_flow_is_no_reason():
    assert stored([agent(1, trace_id=LOW, attributes={"error.type": "GraphInterrupt"})]) == {}


def test_totals_do_not_see_the_sampling():
    sinks = {}
    for probability in (1.0, 1e-9):
        sinks[probability] = sink = Recorder()
        pipeline = new_pipeline(sink, probability=probability)
        spans = [chat(i + 1, trace_id=i + 1, tokens={"input": 10}, response=f"r{i}") for i in range(50)]
        pipeline.process([arrived(request(*spans, gate(99, "allow", trace_id=5)))])
    everything, hardly = sinks[1.0], sinks[1e-9]
    assert len(everything.rows("otel_traces")) == 51
    assert hardly.rows("otel_traces") == []
    for table in ("usage_1m", "gates", "span_contents"):
        assert hardly.rows(table) == everything.rows(table)
    without = [{**row, "sampled": None} for row in everything.rows("run_deltas")]
    assert [{**row, "sampled": None} for row in hardly.rows("run_deltas")] == without
    assert {row["sampled"] for row in everything.rows("run_deltas")} == {1}
    assert {row["sampled"] for row in hardly.rows("run_deltas")} == {0}
    assert sum(row["sampled_out"] for row in hardly.rows("ledger_1m")) == 51
