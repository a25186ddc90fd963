"""Sampling keeps whole runs and the ones worth looking at, and no total depends on it."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from shared.otlp import request, span
from shared.processor import Processor, processor

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20_260_102
RUNS = 500
PROBABILITY = 0.1
THRESHOLD = 2**56 - round(PROBABILITY * 2**56)
"""A run is kept by chance when the last 56 bits of its trace id are no less (OpenTelemetry's consistent sampling)."""
WORTH_KEEPING = {"error": range(5), "loop": range(5, 10), "gate_denied": range(10, 15)}
NOW = time.time_ns() // 60_000_000_000 * 60_000_000_000
INPUT, OUTPUT = 1000, 100
NANO_USD = 150 * INPUT + 600 * OUTPUT
"""What a call of gpt-4o-mini costs: 0.15 and 0.60 USD a million tokens."""


class Sampled(NamedTuple):
    running: Processor
    sizes: dict[str, int]
    """Trace id -> spans sent."""
    reasons: dict[str, str]
    """Trace id of a run worth keeping -> why."""

    @property
    def by_chance(self) -> set[str]:
        """The other runs that are kept."""
        return {each for each in self.sizes.keys() - self.reasons.keys() if int(each[-14:], 16) >= THRESHOLD}


def spans_of(number: int, trace_id: bytes) -> list[Span]:
    """An agent's run: two model calls and a tool; more where something happens in it."""
    first = number * 100 + 1
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "sampled"}
    call = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": INPUT, "gen_ai.usage.output_tokens": OUTPUT,
    }  # fmt: skip
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "gen_ai.tool.call.arguments": "{}"}
    gate = {"clew.gate.name": "refund", "clew.gate.kind": "policy", "clew.gate.outcome": "deny"}
    inner: list[tuple[str, dict[str, object], int]] = [
        ("chat", call | {"gen_ai.response.id": f"{number}-1"}, Status.STATUS_CODE_UNSET),
        ("chat", call | {"gen_ai.response.id": f"{number}-2"}, Status.STATUS_CODE_UNSET),
    ]
    inner += [("tool", tool, Status.STATUS_CODE_UNSET)] * (3 if number in WORTH_KEEPING["loop"] else 1)
    if number in WORTH_KEEPING["error"]:
        inner.append(("tool", tool | {"error.type": "timeout"}, Status.STATUS_CODE_ERROR))
    if number in WORTH_KEEPING["gate_denied"]:
        inner.append(("gate", gate, Status.STATUS_CODE_UNSET))
    return [
        span("agent", agent, trace_id=trace_id, span_id=first, start=NOW, end=NOW + 10**9),
        *(
            span(name, attributes, trace_id=trace_id, span_id=first + i, parent_id=first, start=NOW + i, status=status)
            for i, (name, attributes, status) in enumerate(inner, 1)
        ),
    ]


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sampled]:
    """Runs worth keeping come in one request each, as sampling can know by then; the others' spans in three."""
    ids = random.Random(SEED)
    runs = [spans_of(number, ids.randbytes(16)) for number in range(RUNS)]
    worth = [number for numbers in WORTH_KEEPING.values() for number in numbers]
    others = [run for number, run in enumerate(runs) if number not in worth]
    settings = {"sampling": {"probability": PROBABILITY}, "batch": {"max_wait_ms": 0}}
    with processor(tmp_path_factory.mktemp("sampling"), settings=settings) as running:
        for number in worth:
            running.export(request(*runs[number]))
        for part in range(3):
            for block in range(0, len(others), 100):
                running.export(request(*(each for run in others[block : block + 100] for each in run[part::3])))
        answer = running.export(request(span("bad", trace_id=bytes(16), start=NOW)))
        assert answer.partial_success.rejected_spans == 1
        running.settled()
        yield Sampled(
            running,
            {run[0].trace_id.hex(): len(run) for run in runs},
            {runs[i][0].trace_id.hex(): why for why, numbers in WORTH_KEEPING.items() for i in numbers},
        )


def test_kept_runs_are_whole_and_just_those_their_trace_ids_say(sampled: Sampled) -> None:
    kept = dict(sampled.running.rows("SELECT TraceId, count() FROM otel_traces GROUP BY TraceId"))
    assert kept == {each: sampled.sizes[each] for each in sampled.by_chance | sampled.reasons.keys()}
    assert 0.06 < len(sampled.by_chance) / RUNS < 0.14  # what the seed gives; five standard deviations would be 0.07


def test_runs_with_an_error_a_loop_or_a_denied_gate_are_kept_for_that_reason(sampled: Sampled) -> None:
    certain = "SELECT DISTINCT TraceId, KeepReason FROM otel_traces WHERE SampleWeight = 1"
    assert dict(sampled.running.rows(certain)) == sampled.reasons
    by_chance = "SELECT DISTINCT KeepReason, round(SampleWeight, 9) FROM otel_traces WHERE SampleWeight != 1"
    assert sampled.running.rows(by_chance) == [("probability", 1 / PROBABILITY)]


def test_weights_stand_for_all_that_was_sent(sampled: Sampled) -> None:
    weighed = sampled.running.value("SELECT sum(SampleWeight) FROM otel_traces")
    assert weighed == pytest.approx(sum(sampled.sizes.values()), rel=0.3)


def test_runs_are_exact_and_say_which_are_kept(sampled: Sampled) -> None:
    runs = sampled.running.rows(
        "SELECT trace_id, spans, model_calls, input_tokens, output_tokens, toInt64(cost_usd * 1e9), sampled FROM runs"
    )
    kept = sampled.by_chance | sampled.reasons.keys()
    assert sorted(runs) == sorted(
        (each, size, 2, 2 * INPUT, 2 * OUTPUT, 2 * NANO_USD, int(each in kept)) for each, size in sampled.sizes.items()
    )
    told = sampled.running.rows(
        "SELECT sum(errors > 0), sum(loops), sum(gates_denied), sum(status = 'running') FROM runs"
    )
    assert told == [(5, 5, 5, 0)]


def test_usage_is_exact(sampled: Sampled) -> None:
    usage = sampled.running.rows(
        "SELECT op, sum(calls), sum(errors), sum(input_tokens), sum(output_tokens), toInt64(sum(cost_usd) * 1e9) "
        "FROM usage_1m GROUP BY op ORDER BY op"
    )
    calls = 2 * RUNS
    assert usage == [
        ("chat", calls, 0, calls * INPUT, calls * OUTPUT, calls * NANO_USD),
        ("execute_tool", RUNS + 2 * 5 + 5, 5, 0, 0, 0),
        ("gate", 5, 0, 0, 0, 0),
        ("invoke_agent", RUNS, 0, 0, 0, 0),
    ]


def test_the_ledger_adds_up(sampled: Sampled) -> None:
    sent = sum(sampled.sizes.values())
    (totals,) = sampled.running.rows(
        "SELECT sum(received), sum(stored), sum(sampled_out), sum(rejected), sum(dead_letter) FROM ledger_1m"
    )
    kept = sampled.running.value("SELECT count() FROM otel_traces")
    assert totals == (sent + 1, kept, sent - kept, 1, 0)
