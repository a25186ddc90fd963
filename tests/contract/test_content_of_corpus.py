"""What instrumentations really put on spans, in each mode of content: no text gets out, and what is counted stays."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from clew._content import Content, hashing
from clew._content.prepare import prepare
from corpus.golden import Payload, corpus, rows, text
from shared.payloads import LOGS, bodies
from shared.readable_spans import readable_spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.sdk.trace import ReadableSpan

HERE = Path(__file__).parents[1]
FILES = sorted(
    path
    for folder in ("corpus/payloads", "contract/payloads")
    for path in (HERE / folder).glob("*.otlp")
    if not path.name.endswith(LOGS)
)
SAID = re.compile(
    # Prompts, answers, tools' arguments and results, documents of the scripted conversation (tests/corpus/record).
    r"Paris|Berlin|Oslo|\bRome\b|Atlantis|degrees|weather in|weather service|weather station|museum|warmer|traveller \d"
    r"|the train|As the expert|After a moment|not allowed to|mild and dry|wind from|clouds"
    # and of its programme: instructions, goals, descriptions.
    r"|travel assistant\.|You are a|in one sentence|expert in weather|Current weather|questions of travellers",
    re.IGNORECASE,
)
COUNTS = re.compile(r"token|usage|cost", re.IGNORECASE)
# Loops, documents, approvals, a conversation with tools: of each dialect that has them.
FEW = ("S8", "S11", "S14", "C1")
# A guess from the length of a text that holds Python's spelling of objects.
NOT_QUITE = {"payloads/openinference__llama-index__openinference__S11"}


@pytest.fixture(autouse=True, scope="module")
def key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEW_CONTENT_KEY", "the key of these tests")
        hashing._key.cache_clear()
        yield
    hashing._key.cache_clear()


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
    elif hasattr(value, "items"):
        for name, item in value.items():
            yield name
            yield from texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


def test_there_are_files():
    assert len(FILES) > 400


def counts(span: ReadableSpan) -> dict[str, float]:
    return {
        name: value
        for name, value in span.attributes.items()
        if COUNTS.search(name) and isinstance(value, (int, float)) and not isinstance(value, bool)
    }


@pytest.mark.parametrize("mode", [Content.OFF, Content.METADATA, Content.HASHED])
def test_nothing_that_was_said_leaves_the_process_and_counts_do(mode):
    leaks = []
    for path in FILES:
        for body in bodies(path):
            for span in readable_spans(body):
                sent = prepare(span, mode)
                told = {"name": sent.name, "status": sent.status.description or "", "span": sent.attributes}
                told |= {f"event {number}": event.attributes for number, event in enumerate(sent.events)}
                told["resource"] = sent.resource.attributes
                leaks += [(path.name, part) for part in texts(told) if SAID.search(part)]
                assert counts(sent) == counts(span)
    assert leaks == []


class Hashed(Payload):
    """A file as it would be sent with content hashed."""

    def traces(self) -> list[ExportTraceServiceRequest]:
        return [
            encode_spans([prepare(span, Content.HASHED) for span in readable_spans(body)])
            for body in self._bodies(".otlp")
        ]


def test_rows_are_the_same_with_hashes_for_texts():
    """Columns and runs, loops among them, that the processor makes of hashed content are those of the full one."""
    chosen = [one for one in corpus() if one.folder == "payloads" and one.name.split("__")[-1].startswith(FEW)]
    found = rows(Hashed(one.folder, one.line) for one in chosen)
    different = {}
    for payload in chosen:
        golden = [json.loads(line) for line in payload.golden.read_text("utf-8").splitlines()]
        hashed = [json.loads(line) for line in text(found[payload.name]).splitlines()]
        for row, new in zip(golden, hashed, strict=True):
            if "[content]" in new.get("SpanName", ""):  # the question was in it
                new["SpanName"] = row["SpanName"]
            if row != new:
                different[payload.name] = (row, new)
    assert set(different) <= NOT_QUITE, different
    assert sum(row.get("run", {}).get("loops", 0) for name in found for row in found[name]) > 5
