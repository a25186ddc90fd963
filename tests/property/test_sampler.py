"""Sampling against the rule of consistent probability sampling, in exact integers."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.genai import chat
from shared.otlp import request
from shared.pipeline import Recorder, arrived, new_pipeline

FULL = 2**56
HEX = "0123456789abcdef"

SPANS = st.lists(
    st.fixed_dictionaries(
        {
            "trace": st.integers(1, 2**128 - 1),
            "th": st.one_of(st.none(), st.text(HEX, min_size=1, max_size=14)),
            "rv": st.one_of(st.none(), st.text(HEX, min_size=14, max_size=14)),
        }
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda span: span["trace"],
)


@settings(max_examples=100)
@given(SPANS, st.sampled_from([1.0, 0.75, 0.5, 0.1, 0.001]))
def test_kept_and_weighed_by_the_rule(spans, probability):
    made = []
    for i, span in enumerate(spans, 1):
        entries = [f"{key}:{span[key]}" for key in ("rv", "th") if span[key] is not None]
        made.append(chat(i, trace_id=span["trace"], trace_state="ot=" + ";".join(entries) if entries else ""))
    sink = Recorder()
    new_pipeline(sink, probability=probability).process([arrived(request(*made))])
    rows = {int(row["SpanId"], 16): row["SampleWeight"] for row in sink.rows("otel_traces")}

    ours = round((1 - probability) * FULL)
    for i, span in enumerate(spans, 1):
        randomness = int(span["rv"], 16) if span["rv"] else span["trace"] % FULL
        theirs = int((span["th"] or "").ljust(14, "0"), 16)
        threshold = max(ours, theirs if randomness >= theirs else 0)
        assert (i in rows) == (randomness >= threshold)
        if i in rows:
            assert math.isclose(rows[i], FULL / (FULL - threshold), rel_tol=1e-12)
