"""What the processor makes of each payload: canonical rows, kept in `golden/` beside what was served.

`python -m corpus.golden` from `tests/` writes them anew (arguments: starts of file names); the test compares. Read the
difference before committing it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.engine import fresh_store
from shared.pipeline import Recorder, arrived, arrived_logs, new_pipeline

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
#: When the files arrive: some days after the last of them was recorded.
ARRIVED = 1_796_000_000_000_000_000
FOLDERS = ("payloads", "js", "agents")

SPAN = (
    "SpanName", "Op", "Dialect", "Framework", "Provider", "RequestModel", "ResponseModel", "InputTokens",
    "OutputTokens", "CacheReadTokens", "CacheWriteTokens", "ReasoningTokens", "UsageScope", "CostUsd", "CostSource",
    "ToolName", "ToolCallId", "AgentName", "ConversationId", "UserId", "Status", "ErrorType", "FinishReason",
    "GateName", "GateKind", "GatePhase", "GateOutcome", "GateSource", "GateActorType", "GateWaitMs",
)  # fmt: skip
RUN = (
    "agent_name", "conversation_id", "user_id", "status", "outcome", "model_calls", "tool_calls", "errors", "retries",
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost_usd",
    "usage_known", "unpriced_calls", "loops", "gates", "gates_denied",
)  # fmt: skip


@dataclass(frozen=True)
class Payload:
    """One file of the corpus with its truth."""

    folder: str
    line: dict[str, Any]

    @property
    def name(self) -> str:
        """`folder/stem`, unique."""
        return f"{self.folder}/{self.line['file'].removesuffix('.otlp').removesuffix('.logs')}"

    @property
    def golden(self) -> Path:
        return GOLDEN / f"{self.name}.jsonl"

    def traces(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self._bodies(".otlp")]

    def logs(self) -> list[ExportLogsServiceRequest]:
        return [ExportLogsServiceRequest.FromString(body) for body in self._bodies(".logs.otlp")]

    def _bodies(self, suffix: str) -> list[bytes]:
        path = HERE / f"{self.name}{suffix}"
        return list(bodies(path.read_bytes())) if path.exists() else []


def bodies(data: bytes) -> Iterable[bytes]:
    """The bodies of a file: each after its length in 4 bytes, little-endian."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def corpus() -> list[Payload]:
    """All payloads, by folder and file."""
    found = []
    for folder in FOLDERS:
        truth = HERE / folder / "truth.jsonl"
        if truth.exists():
            found += [Payload(folder, json.loads(text)) for text in truth.read_text("utf-8").splitlines()]
    return found


def rows(payloads: Iterable[Payload]) -> dict[str, list[dict[str, Any]]]:
    """Each payload's canonical rows, through the whole pipeline and read back by SQL: its spans, then its runs.

    Ids of traces and spans are numbered in order of the spans' start: recording again changes no more than it must.
    """
    gathered = Recorder()
    kept = list(payloads)
    for payload in kept:
        pipeline = new_pipeline(gathered)
        for body in payload.traces():
            pipeline.process([arrived(body, tenant=payload.name, at=ARRIVED)])
        for body in payload.logs():
            pipeline.process([arrived_logs(body, tenant=payload.name, at=ARRIVED)])
    store = fresh_store()
    gathered.copy_to(store)
    found: dict[str, list[dict[str, Any]]] = {payload.name: [] for payload in kept}
    order = f"ORDER BY Timestamp, Duration DESC, SpanId, UsageScope = 'duplicate', {', '.join(SPAN)}"
    spans = store.client.query(
        f"SELECT TenantId, TraceId, SpanId, ParentSpanId, {', '.join(SPAN)} FROM otel_traces_full {order}"
    )
    ordered = [dict(row) for row in spans.named_results()]
    numbers: dict[tuple[str, str], dict[str, int]] = {}
    for row in ordered:
        for kind in ("TraceId", "SpanId"):
            seen = numbers.setdefault((row["TenantId"], kind), {})
            seen.setdefault(row[kind], len(seen) + 1)
    for row in ordered:
        traced, seen = (numbers[row["TenantId"], kind] for kind in ("TraceId", "SpanId"))
        said = {"span": seen[row["SpanId"]], "trace": traced[row["TraceId"]]}
        parent = {"parent": seen.get(row["ParentSpanId"], "elsewhere")} if row["ParentSpanId"] else {}
        found[row["TenantId"]].append(said | parent | {name: plain(row[name]) for name in SPAN if row[name]})
    runs = store.client.query(f"SELECT tenant_id, {', '.join(RUN)} FROM runs ORDER BY started_at, trace_id")
    for row in runs.named_results():
        found[row["tenant_id"]].append({"run": {name: plain(row[name]) for name in RUN if row[name]}})
    return found


def plain(value: Any) -> Any:
    """As JSON has it; money as text without trailing zeros."""
    if isinstance(value, Decimal):
        return f"{value:f}".rstrip("0").rstrip(".") if value else "0"
    return value


def text(lines: Iterable[dict[str, Any]]) -> str:
    """Rows as JSON lines."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def main() -> None:
    starts = tuple(sys.argv[1:])
    chosen = [one for one in corpus() if not starts or one.line["file"].startswith(starts)]
    for name, lines in rows(chosen).items():
        path = GOLDEN / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(lines), "utf-8")


if __name__ == "__main__":
    main()
