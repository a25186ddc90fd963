"""Runs of agents of which everything is known beforehand, sent by several senders, and what the tables must say then.

Every span belongs to a parcel (a request). Senders send it until it is acknowledged, the same way or cut otherwise. So
in the end every span was acknowledged, and each table has exactly one right content.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from shared.genai import agent, chat, gate, started, tool
from shared.otlp import message, messages_json, request, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.message import Message
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from shared.processor import Processor

SPANS_PER_RUN = 9
RUNS_AT_ONCE = 6
"""The spans of so many runs are shuffled together before they are cut into parcels."""
PRICES = {"input": 150, "output": 600}
"""Of gpt-4o-mini, in billionths of a dollar for a token."""
SECOND = 10**9


def _tokens(number: int, call: int) -> tuple[int, int]:
    """Input and output tokens of a run's model call."""
    return 100 + number % 7 + call, 10 + number % 3


def _loops(number: int) -> bool:
    return number % 2 == 0


def _outcome(number: int) -> str:
    return "deny" if number % 3 == 0 else "allow"


def _span_id(number: int, which: int) -> int:
    return number * 16 + which + 1


def spans_of_run(number: int, base_ns: int, *, filler: int = 0) -> list[Span]:
    """An agent that calls a model and a tool three times in turn, in every other run always the same way, and a gate.

    Each span starts a second after the one before, so that no two rows of `otel_traces_trace_id_ts` can be equal.
    """

    def at(second: int) -> int:
        return base_ns + (number % 1000 + second) * SECOND

    def child(which: int) -> dict[str, Any]:
        return {"trace_id": number, "parent_id": _span_id(number, 0), "start": at(which)}

    spans = [
        agent(_span_id(number, 0), trace_id=number, start=at(0), end=at(20)),
        gate(_span_id(number, 7), _outcome(number), **child(7)),
        span("work", {"filler": "x" * filler}, span_id=_span_id(number, 8), **child(8)),
    ]
    for call in range(3):
        taken, given = _tokens(number, call)
        said = {"gen_ai.output.messages": messages_json(message("assistant", f"answer {number} {call}"))}
        which = 1 + 2 * call
        spans.append(
            chat(
                _span_id(number, which),
                tokens={"input": taken, "output": given},
                response=f"response-{number}-{call}",
                attributes=said,
                **child(which),
            )
        )
        asked = {"run": number} if _loops(number) else {"run": number, "call": call}
        spans.append(tool(_span_id(number, which + 1), arguments=asked, **child(which + 1)))
    return spans


def _stays_open(number: int) -> bool:
    return number % 5 == 0


def start_records(number: int, spans: list[Span], base_ns: int) -> list[Span]:
    """Those of a run's agent, twice, and of a tool; of every fifth run that of a step, too, which never ends."""
    by_id = {int.from_bytes(one.span_id): one for one in spans}
    records = [by_id[_span_id(number, which)] for which in (0, 2)]
    if _stays_open(number):
        start = base_ns + (number % 1000 + 9) * SECOND
        attributes = {"clew.op": "step", "clew.step.kind": "act"}
        records.append(
            span(
                "step", attributes, trace_id=number, span_id=_span_id(number, SPANS_PER_RUN), start=start,
                parent_id=_span_id(number, 0),
            )
        )  # fmt: skip
    return [started(records[0], again_after=60), *map(started, records)]


@dataclass(frozen=True)
class Parcel:
    """What is sent together."""

    spans: tuple[Span, ...]

    def body(self) -> bytes:
        return request(*self.spans).SerializeToString()

    def send(self, running: Processor, timeout: float) -> Message:
        return running.export(self.body(), timeout=timeout)


class Workload:
    """Parcels out of runs, some to be sent again, and the balance.

    Attributes:
        runs: how many were begun.
        acknowledged: of each span id, how often a request with it was answered with success.
    """

    def __init__(self, seed: int, *, resent: float = 0.0, filler: int = 0, tells_starts: bool = False) -> None:
        """Sends nothing yet.

        Args:
            seed: of everything that is left to chance.
            resent: share of acknowledged parcels that are sent once more, the same way or in other parcels.
            filler: bytes that each run has more than it needs.
            tells_starts: with start records.
        """
        self._random = random.Random(seed)
        self._resent = resent
        self._filler = filler
        self._tells_starts = tells_starts
        self._base_ns = (time.time_ns() // SECOND - 3600) * SECOND
        self._lock = threading.Lock()
        self._waiting: deque[Parcel] = deque()
        self._again: list[Span] = []
        self.runs = 0
        self.acknowledged: Counter[int] = Counter()
        self.resends = 0

    # ---- sending

    def take(self, *, new: bool = True) -> Parcel | None:
        """The next parcel: one that failed, or of new runs; None when none is left and no new ones are asked for."""
        with self._lock:
            if not self._waiting and new:
                self._begin()
            return self._waiting.popleft() if self._waiting else None

    def succeeded(self, parcel: Parcel) -> None:
        """It was acknowledged. Its spans may be sent again all the same: an answer can be lost on its way."""
        with self._lock:
            self.acknowledged.update(int.from_bytes(one.span_id) for one in parcel.spans if not _is_start_record(one))
            if self._random.random() < self._resent:
                self._resend(parcel)

    def failed(self, parcel: Parcel) -> None:
        """It was not, as far as its sender knows: it is sent again, half of the time cut otherwise."""
        with self._lock:
            if self._random.random() < 0.5:
                self._waiting.append(parcel)
            else:
                self._waiting.extend(self._cut([*parcel.spans]))

    def _resend(self, parcel: Parcel) -> None:
        self.resends += len(parcel.spans)
        if self._random.random() < 0.5:
            self._put_somewhere(parcel)
            return
        self._again += parcel.spans  # together with those of others
        if len(self._again) > 3 * SPANS_PER_RUN:
            again, self._again = self._again, []
            for each in self._cut(again):
                self._put_somewhere(each)

    def _put_somewhere(self, parcel: Parcel) -> None:
        self._waiting.insert(self._random.randint(0, len(self._waiting)), parcel)

    def _begin(self) -> None:
        numbers = range(1 + self.runs, 1 + self.runs + RUNS_AT_ONCE)
        self.runs += RUNS_AT_ONCE
        spans: list[Span] = []
        for number in numbers:
            of_run = spans_of_run(number, self._base_ns, filler=self._filler)
            spans += of_run + (start_records(number, of_run, self._base_ns) if self._tells_starts else [])
        self._waiting.extend(self._cut(spans))

    def _cut(self, spans: list[Span]) -> list[Parcel]:
        self._random.shuffle(spans)
        parcels = []
        while spans:
            size = self._random.randint(1, 20)
            parcels.append(Parcel(tuple(spans[:size])))
            del spans[:size]
        return parcels

    def flush_resends(self) -> None:
        """What was collected to be sent again, and is too little for a parcel of the usual size, becomes one."""
        with self._lock:
            self._waiting.extend(self._cut(self._again))
            self._again = []

    # ---- what the tables must say

    def wrong(self, query: Callable[[str], list[tuple[Any, ...]]]) -> dict[str, tuple[Any, Any]]:
        """What is not as it must be, once everything was acknowledged and is settled.

        Args:
            query: rows of a SELECT on the store.

        Returns:
            What was looked at -> (what it must be, what it is); empty when all is right.
        """
        numbers = self.numbers
        assert self.acknowledged.keys() == {_span_id(n, which) for n in numbers for which in range(SPANS_PER_RUN)}
        checks = self._checks(numbers)
        found = {what: (expected, query(sql)) for what, (sql, expected) in checks.items()}
        return {
            what: _difference(expected, actual)
            for what, (expected, actual) in found.items()
            if sorted(expected) != sorted(actual)
        }

    @property
    def numbers(self) -> range:
        """Of the runs that were begun."""
        return range(1, 1 + self.runs)

    @property
    def spans(self) -> int:
        """Distinct ones, over all runs that were begun."""
        return self.runs * SPANS_PER_RUN

    def _checks(self, numbers: range) -> dict[str, tuple[str, list[tuple[Any, ...]]]]:
        """Table -> (what is read, what must come, in any order)."""

        def id_in(column: str) -> str:
            return f"reinterpretAsUInt64(reverse(unhex(right({column}, 16))))"

        count, nano = len(numbers), "1000000000"
        open_ = [number for number in numbers if _stays_open(number)] if self._tells_starts else []
        told = 3 * count + len(open_) if self._tells_starts else 0
        sums = [sum(map(each, numbers)) for each in (_input, _output, _cost_nano)]
        return {
            "otel_traces": (
                f"SELECT {id_in('SpanId')} FROM otel_traces",
                [(_span_id(n, which),) for n in numbers for which in range(SPANS_PER_RUN)],
            ),
            "otel_traces_trace_id_ts": (
                "SELECT uniqExact(TraceId), count() - uniqExact(TraceId, Start, End) FROM otel_traces_trace_id_ts",
                [(count, 0)],
            ),
            "runs": (
                f"""SELECT {id_in("trace_id")}, spans, model_calls, tool_calls, input_tokens, output_tokens,
                toInt64(cost_usd * {nano}), loops, loop_tokens, toInt64(loop_cost_usd * {nano}), gates, gates_denied
                FROM runs""",
                [_run(n) for n in numbers],
            ),
            "gates": (
                f"SELECT {id_in('span_id')}, outcome FROM gates",
                [(_span_id(n, 7), _outcome(n)) for n in numbers],
            ),
            "loops": (
                f"""SELECT {id_in("trace_id")}, repetitions, {id_in("first_span_id")}, {id_in("last_span_id")},
                wasted_tokens, toInt64(wasted_cost_usd * {nano}) FROM loops""",
                [(n, 3, _span_id(n, 2), _span_id(n, 6), *_wasted(n)) for n in numbers if _loops(n)],
            ),
            "usage_1m": (
                f"""SELECT op, sum(calls), sum(input_tokens), sum(output_tokens), toInt64(sum(cost_usd) * {nano})
                FROM usage_1m GROUP BY op""",
                [
                    ("chat", 3 * count, *sums),
                    ("execute_tool", 3 * count, 0, 0, 0),
                    ("invoke_agent", count, 0, 0, 0),
                    ("gate", count, 0, 0, 0),
                ],
            ),
            "ledger_1m": (
                """SELECT sumIf(stored, reason = ''), sumIf(stored, reason = 'start_record'), sum(received) -
                sumIf(rejected, reason = 'duplicate'), sum(sampled_out), sumIf(rejected, reason != 'duplicate'),
                sum(dead_letter) FROM ledger_1m""",
                [(self.spans, told, self.spans + told, 0, 0, 0)],
            ),
            "open_spans": (
                f"SELECT {id_in('trace_id')}, {id_in('span_id')}, name, op FROM open_spans",
                [(n, _span_id(n, SPANS_PER_RUN), "step", "step") for n in open_],
            ),
            "open spans of runs": (
                f"SELECT {id_in('trace_id')}, open_spans FROM runs WHERE open_spans != 0",
                [(n, 1) for n in open_],
            ),
            "span_content": (
                "SELECT kind, count() FROM span_content GROUP BY kind",
                [("arguments", sum(1 if _loops(n) else 3 for n in numbers)), ("message", 3 * count)],
            ),
            "dead_letter": ("SELECT where, reason FROM dead_letter", []),
            "span_corrections": ("SELECT trace_id FROM span_corrections", []),
        }


def _is_start_record(span: Span) -> bool:
    return any(attribute.key == "clew.pending" for attribute in span.attributes)


ALL_CALLS, WASTED_CALLS = (0, 1, 2), (1, 2)
"""A run's model calls, and those that led it to do the same again."""


def _input(number: int, calls: tuple[int, ...] = ALL_CALLS) -> int:
    return sum(_tokens(number, call)[0] for call in calls)


def _output(number: int, calls: tuple[int, ...] = ALL_CALLS) -> int:
    return sum(_tokens(number, call)[1] for call in calls)


def _cost_nano(number: int, calls: tuple[int, ...] = ALL_CALLS) -> int:
    return _input(number, calls) * PRICES["input"] + _output(number, calls) * PRICES["output"]


def _wasted(number: int) -> tuple[int, int]:
    """Tokens and billionths of a dollar."""
    if not _loops(number):
        return 0, 0
    return _input(number, WASTED_CALLS) + _output(number, WASTED_CALLS), _cost_nano(number, WASTED_CALLS)


def _run(number: int) -> tuple[int, ...]:
    """Its row of `runs`, which counts no span that neither GenAI's conventions nor clew's know: `work` is none."""
    usage = _input(number), _output(number), _cost_nano(number)
    loops = int(_loops(number)), *_wasted(number)
    return number, SPANS_PER_RUN - 1, 3, 3, *usage, *loops, 1, int(_outcome(number) == "deny")


def _difference(expected: list[Any], actual: list[Any]) -> tuple[Any, Any]:
    """What is missing and what is too much; some of it, to be read by people."""
    wanted, found = Counter(expected), Counter(actual)
    return tuple(
        f"{side.total()} rows, such as {list(side.elements())[:3]}" for side in (wanted - found, found - wanted)
    )


def sent(workload: Workload, running: Processor, *, new: bool = True, timeout: float = 20) -> bool:
    """Sends one parcel over gRPC and tells the workload what became of it; False when there was none left."""
    parcel = workload.take(new=new)
    if parcel is None:
        return False
    try:
        answer = parcel.send(running, timeout)
    except (grpc.RpcError, ValueError):  # it is gone, and then the channel is
        workload.failed(parcel)
        raise
    assert answer.SerializeToString() == b"", answer
    workload.succeeded(parcel)
    return True


@contextmanager
def senders(workload: Workload, running: Processor, *, count: int = 4, pause_s: float = 0.02) -> Iterator[list[float]]:
    """Senders that go on while the block runs, or until the processor is gone; a refusal is tried again.

    Yields:
        How long each acknowledgement took, in seconds; it grows.
    """
    stop = threading.Event()
    took: list[float] = []
    surprises: list[BaseException] = []

    def send() -> None:
        try:
            while not stop.wait(pause_s):
                began = time.perf_counter()
                try:
                    sent(workload, running)
                except (grpc.RpcError, ValueError):
                    if running.process.poll() is not None:
                        return
                    stop.wait(0.05)
                else:
                    took.append(time.perf_counter() - began)
        except BaseException as error:
            surprises.append(error)

    threads = [threading.Thread(target=send) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield took
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not surprises, surprises


def finish(workload: Workload, running: Processor, *, timeout: float = 60) -> None:
    """Sends what was not acknowledged yet, and waits until everything is stored."""
    workload.flush_resends()
    deadline = time.monotonic() + timeout
    while True:
        try:
            if not sent(workload, running, new=False):
                break
        except grpc.RpcError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    running.settled(timeout)
