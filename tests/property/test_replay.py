"""The same batches make the same bytes: in another process, and when the stages start again in the middle."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew_processor import state
from clew_processor.enrich import calls, loops, open_spans
from clew_processor.sample import sampler
from shared.genai import at, tool
from shared.pipeline import ARRIVAL
from shared.stages import SECOND, Arrival, Stages, arrival, decoded, event, fingerprints, run, traffic

TESTS = Path(__file__).parents[1]


def limits(**small: int) -> ExitStack:
    """What is remembered at most, and what counts as much, made small, by name of the constant."""
    stack = ExitStack()
    for module in (calls, loops, open_spans, sampler, state):
        for name, value in small.items():
            if hasattr(module, name):
                stack.enter_context(patch.object(module, name, value))
    return stack


TINY = {
    "MAX_CALLS": 60, "MAX_RESPONSES": 20, "MAX_AGENT_RUNS": 8, "_APART": 2, "_SLICES": 4,
    "MAX_EVENTS": 150, "MAX_CALLS_PER_RUN": 60, "MAX_FINGERPRINTS": 40, "SLACK_ROWS": 20, "MAX_BATCHES": 3,
    "MAX_REMEMBERED": 6, "MOST": 4, "LEAST_BYTES": 0,
}  # fmt: skip


def differences(left, right):
    """(batch, table) where the bytes differ."""
    assert len(left) == len(right)
    return [
        (i, name)
        for i, (one, other) in enumerate(zip(left, right, strict=True))
        for name in one.keys() | other.keys()
        if one.get(name) != other.get(name)
    ]


@pytest.mark.parametrize("seed", ["0", "4242"])
def test_another_process_with_another_hash_seed_makes_the_same_bytes(seed):
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    answer = subprocess.run(
        [sys.executable, "-m", "shared.stages"],
        env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path},
        capture_output=True,
        check=True,
        timeout=120,
    )
    mine = fingerprints()
    assert differences(mine, json.loads(answer.stdout)) == []
    made = {name for tables in mine for name in tables}
    assert {"loop_versions", "span_corrections", "gates", "open_span_marks"} <= made


@st.composite
def histories(draw):
    """Batches, and some of them after which the stages start again."""
    chance = draw(st.randoms(use_true_random=False))
    sizes = draw(st.lists(st.integers(0, 12), min_size=2, max_size=8))
    now, number, arrivals = ARRIVAL, 0, []
    for size in sizes:
        now += draw(st.sampled_from([0, 1, 20, 400, 700, 90_000, -3, -500, -90_000])) * SECOND
        events = [(number + i, event(chance)) for i in range(1, size + 1)]
        number += size
        arrivals.append(arrival(now, events))
    stops = draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=2, unique=True))
    return arrivals, sorted(stops)


@settings(max_examples=60, deadline=None)
@given(histories(), st.booleans())
def test_stages_that_start_again_go_on_as_if_nothing_had_happened(history, small):
    arrivals, stops = history
    batches = decoded(arrivals)
    with limits(**TINY) if small else ExitStack():
        expected = run(Stages(), batches)
        stages, made = Stages(), []
        for i, batch in enumerate(batches):
            made += run(stages, [batch])
            if i in stops:
                stages = stages.restored(stages.saved())
    assert differences(expected, made) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_starting_again_and_again_in_a_long_history_changes_nothing(seed):
    """Clock jumps, idle time, everything forgotten and packed many times over."""
    chance = random.Random(seed)
    batches = decoded(list(traffic(seed, 150, jumps=True)))
    with limits(**TINY):
        expected = run(Stages(settle_s=60), batches)
        stages, made = Stages(settle_s=60), []
        for batch in batches:
            if chance.random() < 0.3:
                stages = stages.restored(stages.saved())
            made += run(stages, [batch])
    assert differences(expected, made) == []


def test_a_loop_is_found_though_the_stages_start_again_between_its_calls():
    spans = [tool(i, "search", {}, start=at(i)) for i in range(1, 5)]
    stages, found = Stages(), []
    for batch in decoded([Arrival(ARRIVAL, ((one,),)) for one in spans]):
        (tables,) = run(stages, [batch])
        found.append("loop_versions" in tables)
        stages = stages.restored(stages.saved())
    assert found == [False, False, True, True]


@pytest.mark.parametrize("seed", [3, 4])
def test_how_memory_is_laid_out_does_not_show(seed):
    batches = decoded(list(traffic(seed, 80)))
    expected = run(Stages(), batches)
    with limits(_APART=2, SLACK_ROWS=0, MAX_BATCHES=3):
        assert differences(expected, run(Stages(), batches)) == []


def test_a_tick_between_batches_changes_nothing_but_the_time():
    arrivals = [one for one in traffic(5, 60) if any(one.spans)]
    batches = decoded(arrivals)
    ticked = [part for batch in batches for part in (batch.arrival_ns, batch, batch.arrival_ns)]
    assert differences(run(Stages(), batches), [tables for tables in run(Stages(), ticked) if tables]) == []
