"""Ten dialects as real instrumentations send them: the runs that the tests hold, under new ids and at new times."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shapes import MARK, Sender, Traced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

PAYLOADS = Path(__file__).parents[1] / "tests" / "contract" / "payloads"
FILES = (
    "otel__openai-chat__genai__S4.otlp",
    "otel__langchain__genai__S4.otlp",
    "openinference__langchain__openinference__S4.otlp",
    "openllmetry__openai-chat__openllmetry__S4.otlp",
    "openlit__openai-chat__openlit__S4.otlp",
    "vercel__vercel-ai__ai-sdk__S4.otlp",
    "pydantic-ai__pydantic-ai__native__S4.default.otlp",
    "logfire__openai-chat__logfire__S4.otlp",
    "langfuse5__langfuse-openai__langfuse__S4.otlp",
    "strands__strands__strands-native__S4.otlp",
    "adk__google-adk__adk-native__S4.otlp",
)
"""A tool loop of three model calls from each: the conventions twice (client and framework), then nine others."""
_AGO_NS = 20 * 10**9


def runs(spans: int, seed: int = 4) -> Iterator[list[Traced]]:
    """The captured runs one after the other, again and again, until there are so many spans.

    Args:
        spans: How many spans at least.
        seed: Of ids and times.

    Yields:
        The spans of a run in the order in which they were sent.
    """
    rng = random.Random(seed)
    files = [(_bodies(file), _response_ids(file)) for file in FILES]
    senders: dict[bytes, Sender] = {}
    number = 0
    while spans > 0:
        for bodies, response_ids in files:
            number += 1
            run = list(_again(bodies, response_ids, number, rng, senders))
            spans -= len(run)
            yield run


def _again(
    bodies: list[bytes], response_ids: list[str], number: int, rng: random.Random, senders: dict[bytes, Sender]
) -> Iterator[Traced]:
    found = []
    for body in bodies:
        for index, name in enumerate(response_ids):
            # As long as the old one, because it also stands in texts whose lengths are written before them.
            fresh = f"{MARK}{number * 100 + index:010x}"
            body = body.replace(name.encode(), (name[: -len(fresh)] + fresh).encode())  # noqa: PLW2901 - step by step
        found.append(ExportTraceServiceRequest.FromString(body))
    ids: dict[bytes, bytes] = {b"": b""}
    every = [
        span
        for body in found
        for resource in body.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    shift = time.time_ns() - rng.randrange(_AGO_NS) - max(span.end_time_unix_nano for span in every)
    for body in found:
        for resource in body.resource_spans:
            for scope in resource.scope_spans:
                key = resource.resource.SerializeToString(deterministic=True) + scope.scope.SerializeToString()
                sender = senders.setdefault(key, Sender(resource.resource, scope.scope))
                for span in scope.spans:
                    _move(span, ids, shift, rng)
                    yield Traced(sender, span)


def _move(span: Span, ids: dict[bytes, bytes], shift: int, rng: random.Random) -> None:
    for name in ("trace_id", "span_id", "parent_span_id"):
        old = getattr(span, name)
        setattr(span, name, ids.setdefault(old, rng.randbytes(len(old))))
    span.start_time_unix_nano += shift
    span.end_time_unix_nano += shift
    for event in span.events:
        event.time_unix_nano += shift


def _bodies(file: str) -> list[bytes]:
    data, at, found = (PAYLOADS / file).read_bytes(), 0, []
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        found.append(data[at + 4 : end])
        at = end
    return found


def _response_ids(file: str) -> list[str]:
    for line in (PAYLOADS / "truth.jsonl").read_text("utf-8").splitlines():
        told = json.loads(line)
        if told["file"] == file:
            return [call["response_id"] for call in told["truth"]["per_call"] if call["response_id"]]
    raise LookupError(f"{file} is not in truth.jsonl")
