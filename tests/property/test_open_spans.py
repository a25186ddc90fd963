"""Which spans are open does not depend on the order, the batches or the number of times in which records come."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.genai import SECOND, agent, at
from shared.otlp import Span, request
from shared.pipeline import ARRIVAL, Recorder, arrived, new_pipeline

TENANTS = ("one", "two")
END = -1


@st.composite
def histories(draw):
    """(tenant, trace, span, which record) in batches: ends, and start records that tell of 0 to 2 minutes."""
    spans = st.tuples(st.sampled_from(TENANTS), st.integers(1, 2), st.integers(1, 3))
    records = draw(st.lists(st.tuples(spans, st.sampled_from([END, 0, 1, 2])), min_size=1, max_size=30))
    cuts = sorted(draw(st.sets(st.integers(1, len(records)), max_size=5)) | {0, len(records)})
    return [records[start:end] for start, end in pairwise(cuts)]


def to_span(trace: int, number: int, record: int) -> Span:
    attributes = {} if record == END else {"clew.pending": True}
    end = at(500 if record == END else 60 * record)
    return agent(number, trace_id=trace, start=at(0), end=end, attributes=attributes)


@settings(max_examples=60, deadline=None)
@given(histories(), st.data())
def test_open_is_what_has_a_start_record_and_no_end(history, data):
    recorder = Recorder()
    pipeline = new_pipeline(recorder, resend_horizon_s=600)
    begun, ended = set(), set()
    for number, batch in enumerate(history):
        moment = ARRIVAL + number * SECOND
        pipeline.process(
            [arrived(request(to_span(*key, record)), tenant=tenant, at=moment) for (tenant, *key), record in batch]
        )
        begun |= {span for span, record in batch if record != END}
        ended |= {span for span, record in batch if record == END}
        if data.draw(st.booleans()):
            pipeline.restart()

        open_, of_runs = Counter(), Counter()
        for row in recorder.rows("open_span_marks"):
            open_[row["tenant_id"], int(row["trace_id"], 16), int(row["span_id"], 16)] += row["open"]
        for row in recorder.rows("run_deltas"):
            of_runs[row["tenant_id"], int(row["trace_id"], 16)] += row["open_spans"]
        assert all(count >= 0 for count in open_.values())
        assert {span for span, count in open_.items() if count} == begun - ended
        assert +of_runs == Counter((tenant, trace) for tenant, trace, _ in begun - ended)
    stored = recorder.rows("otel_traces")
    ids = [(row["TenantId"], int(row["TraceId"], 16), int(row["SpanId"], 16)) for row in stored]
    assert sorted(ids) == sorted(ended)
