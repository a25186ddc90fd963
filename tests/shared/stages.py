"""Decoded batches through the stages that remember, and the exact bytes that come out; traffic that has it all.

Run as a program it prints a hash of every table of the recorded batches, for another process to compare.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from clew_processor.decode.starts import split
from clew_processor.enrich.enricher import Enricher
from clew_processor.enrich.pricing import PriceBook
from clew_processor.enrich.runs import run_rows
from clew_processor.normalise.normaliser import Normaliser
from clew_processor.sample.sampler import Sampler
from clew_processor.state import packed, unpacked
from clew_processor.write.rows import content_rows, span_rows
from shared.genai import agent, at, chat, gate, outcome, tool
from shared.otlp import request, span
from shared.payloads import bodies, files
from shared.pipeline import ARRIVAL, decode, new_decoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from clew_processor.decode.decoder import DecodedBatch

_PRICES = PriceBook()
SECOND = 10**9
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND

Tables = dict[str, bytes]


class Stages:
    """What is behind the decoder, up to the rows; a batch that is None is a tick."""

    def __init__(self, *, settle_s: float = 600, probability: float = 0.5) -> None:
        self._made = {"settle_s": settle_s, "probability": probability}
        self.enricher = Enricher(_PRICES, settle_s=settle_s)
        self.sampler = Sampler(probability)
        self._normaliser = Normaliser()
        self._version = 0

    def tables(self, batch: DecodedBatch) -> Tables:
        """The batch's tables as Arrow IPC."""
        self._version += 1
        ended, started = split(batch)
        spans = self._normaliser.normalise(ended)
        opened = self.enricher.open_spans(spans, self._normaliser.normalise(started), started.ended_rows)
        enriched = self.enricher.enrich(spans, version=self._version)
        sample = self.sampler.sample(spans, enriched.loops)
        tables = {
            "span_contents": content_rows(batch),
            "otel_traces": span_rows(spans, enriched.usage, enriched.context, sample),
            "gates": enriched.gate_rows,
            "loop_versions": enriched.loop_rows,
            "span_corrections": enriched.correction_rows,
            "usage_1m": enriched.usage_rows,
            "dialects": enriched.dialect_rows,
            "run_deltas": run_rows(spans, enriched.usage, enriched.loops, sample.kept),
            "open_span_marks": opened.marks,
            "opened runs": opened.runs,
        }
        made = {name: ipc(rows) for name, rows in tables.items() if rows is not None}
        return made | {"late duplicates": str(enriched.usage.late_duplicates).encode()}

    def saved(self) -> list[bytes | memoryview]:
        """A checkpoint."""
        return packed((self._version, self.enricher.state(), self.sampler.state()))

    def restored(self, checkpoint: list[bytes | memoryview]) -> Stages:
        """New stages that go on from a checkpoint."""
        stages = Stages(**self._made)
        stages._version, enricher, sampler = unpacked(checkpoint)
        stages.enricher.restore(enricher)
        stages.sampler.restore(sampler)
        return stages


def ipc(rows: pa.Table) -> bytes:
    """A table's exact bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()


@dataclass(frozen=True, slots=True)
class Arrival:
    """Spans of one tenant and another that arrive together, or none: time passes."""

    arrival_ns: int
    spans: tuple[tuple[Span, ...], ...]


TENANTS = ("default", "other")


def decoded(arrivals: list[Arrival]) -> list[DecodedBatch | int]:
    """Batches as the decoder makes them; the time alone where nothing came."""
    decoder = new_decoder()
    made: list[DecodedBatch | int] = []
    for arrival in arrivals:
        if not any(arrival.spans):
            made.append(arrival.arrival_ns)
            continue
        parts = [(request(*spans), tenant) for spans, tenant in zip(arrival.spans, TENANTS, strict=False) if spans]
        batch = decode(*(body for body, _ in parts), tenants=[tenant for _, tenant in parts], decoder=decoder)
        made.append(replace(batch, arrival_ns=arrival.arrival_ns))
    return made


def run(stages: Stages, batches: list[DecodedBatch | int]) -> list[Tables]:
    """All tables of each batch."""
    tables = []
    for batch in batches:
        if isinstance(batch, int):
            stages.enricher.tick(batch)
            tables.append({})
        else:
            tables.append(stages.tables(batch))
    return tables


KINDS = ("chat",) * 3 + ("tool",) * 3 + ("agent", "gate", "outcome", "step", "http")


def event(chance: random.Random) -> dict[str, Any]:
    """A span to be, by a few small numbers, so that much of it meets again."""
    return {
        "what": chance.choice(KINDS),
        "trace": chance.randint(1, 5),
        "tenant": chance.choice([0, 0, 0, 1]),
        "parent": chance.choice([0, 0, 1, 2]),
        "start": chance.randint(0, 40),
        "response": chance.randint(0, 6),
        "kinds": chance.randint(0, 3),
        "word": chance.choice("AAABä"),
        "bad": chance.random() < 0.2,
        "open": chance.random() < 0.1,
    }


def to_span(number: int, event: dict[str, Any]) -> Span:
    """The span that an event says; span ids count up, parents are a few numbers back."""
    word, kinds, what = event["word"], event["kinds"], event["what"]
    if what == "tool" and event["trace"] % 2:  # of a bare client: only its models say which tools they call
        what = "chat"
    fields: dict[str, Any] = {"trace_id": event["trace"], "start": at(event["start"])}
    if event["open"]:
        return agent(number + 1, word, attributes={"clew.pending": True}, **fields)  # the next one's start record
    if event["parent"] and number > event["parent"]:
        fields["parent_id"] = number - event["parent"]
    match what:
        case "chat":
            tokens = dict([("input", 90 + number), ("output", 7), ("read", 5)][:kinds])
            return chat(
                number, tokens=tokens, response=f"r{event['response']}" if event["response"] else "",
                asks=[(word, {"q": 1})] * kinds, model=["gpt-4o-mini", "nobody-knows-1"][event["bad"]], **fields,
            )  # fmt: skip
        case "tool":
            return tool(number, word, {"q": 1} if kinds else None, failed=event["bad"], **fields)
        case "agent":
            return agent(number, word, **fields)
        case "gate":
            return gate(number, "deny" if event["bad"] else "allow", name=word, **fields)
        case "outcome":
            return outcome(number, word, source="user" if event["bad"] else "", score=kinds / 3, **fields)
        case "step":
            return span("step", {"clew.step.kind": word}, span_id=number, **fields)
    return span("GET", span_id=number, **fields)


def arrival(arrival_ns: int, events: list[tuple[int, dict[str, Any]]]) -> Arrival:
    """Numbered events that arrive together."""
    return Arrival(
        arrival_ns,
        tuple(
            tuple(to_span(number, event) for number, event in events if event["tenant"] == tenant)
            for tenant in range(len(TENANTS))
        ),
    )


def traffic(seed: int, batches: int, *, jumps: bool = False) -> Iterator[Arrival]:
    """Batches of up to forty spans, some ticks, and a clock that now and then is set, if it `jumps`.

    Traces come and go: each batch of spans belongs to a few that are current.
    """
    chance = random.Random(seed)
    now, number = ARRIVAL, 0
    for i in range(batches):
        now += chance.choice([0, SECOND, 5 * SECOND, MINUTE])
        if jumps and chance.random() < 0.1:
            now += chance.choice([-DAY, -HOUR, -SECOND, HOUR, DAY, 300 * DAY])
        events = []
        for _ in range(chance.choice([0, 1, 5, 20, 40])):
            number += 1
            made = event(chance)
            made["trace"] += i // 20 * 3
            made["response"] += made["response"] and i // 10 * 4
            events.append((number, made))
        yield arrival(now, events)


def recorded() -> list[Arrival | tuple[int, list[bytes]]]:
    """What the official instrumentations sent, a file a batch, and some traffic."""
    captured = [(ARRIVAL + i * SECOND, bodies(path)) for i, path in enumerate(files())]
    asked = [chat(i, trace_id=99, start=at(i), asks=[(name, {})] * 3) for i, name in enumerate("abcdefgh", 1)]
    disproved = [Arrival(ARRIVAL, (tuple(asked),)), Arrival(ARRIVAL, ((tool(9, "i", {}, trace_id=99),),))]
    return [*captured, *disproved, *traffic(1, 40)]


def fingerprints() -> list[dict[str, str]]:
    """A hash of each table of the recorded batches."""
    stages = Stages()
    made: list[dict[str, str]] = []
    decoder = new_decoder()
    for entry in recorded():
        if isinstance(entry, Arrival):
            batches = decoded([entry])
        else:
            batches = [replace(decode(*entry[1], decoder=decoder), arrival_ns=entry[0])]
        made += [{name: sha256(rows).hexdigest() for name, rows in tables.items()} for tables in run(stages, batches)]
    return made


if __name__ == "__main__":
    json.dump(fingerprints(), sys.stdout)
