"""Real requests of the official instrumentations decode to what the reference says, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.kernel import KEY, column, content, contents, decode, decoder, spans
from shared.otlp_reference import expect
from shared.payloads import bodies, files, truth

if TYPE_CHECKING:
    from pathlib import Path

MESSAGES = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions")
PLAN = {
    "columns": [
        column("response_id", "str", "gen_ai.response.id"),
        column("input_tokens", "u64", "gen_ai.usage.input_tokens"),
        column("output_tokens", "u64", "gen_ai.usage.output_tokens"),
    ],
    "contents": [content(name) for name in MESSAGES],
}


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_captured_requests_decode_to_the_reference(path: Path):
    raw = bodies(path)
    decoded = decode(decoder(**PLAN), *raw)
    requests = [ExportTraceServiceRequest.FromString(body) for body in raw]
    wanted = expect(requests, [KEY] * len(raw), min_time_ns=0, max_time_ns=2**63, max_depth=64, content_keys=MESSAGES)
    assert all(verdict.error is None and not verdict.rejected for verdict in decoded.verdicts)
    rows = spans(decoded)
    assert rows.num_rows == len(wanted.rows) > 0
    for name in ("TraceId", "SpanId", "ParentSpanId", "SpanName", "SpanKind", "StatusCode", "Duration", "parent_row"):
        assert rows.column(name).to_pylist() == [row[name] for row in wanted.rows], name
    maps = [dict(pairs) for pairs in rows.column("SpanAttributes").to_pylist()]
    assert maps == [row["SpanAttributes"] for row in wanted.rows]
    if truth()[path.name]["content"]:
        assert contents(decoded) or "openai-agents" in path.name
