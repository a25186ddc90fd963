"""Spans as several instrumentations of a process see them, and what is counted of them in the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.merged import merged_runs, merged_usage
from shared.otlp import T0, request
from shared.pipeline import ARRIVAL, Recorder, arrived, new_pipeline

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


@dataclass(frozen=True, slots=True)
class Seen:
    """A span, by which instrumentation (scope) and in which service."""

    span: Span
    by: str = "test.scope"
    service: str = "test"

    def __repr__(self) -> str:
        """In a line, as examples that fail are many."""
        span, told = self.span, {}
        for each in self.span.attributes:
            told[each.key.rpartition(".")[2]] = each.value.string_value or each.value.int_value
        times = ((ns - T0) / 1e6 for ns in (span.start_time_unix_nano, span.end_time_unix_nano))
        ids = (int.from_bytes(one, "big") for one in (span.trace_id, span.span_id, span.parent_span_id))
        return "({}: trace {} span {} in {}, {:g}-{:g} ms {})".format(self.by, *ids, *times, told)


def by(scope: str, *spans: Span) -> list[Seen]:
    """Spans of one instrumentation."""
    return [Seen(span, scope) for span in spans]


def sent(
    *batches: Sequence[Seen], settle_s: float = 600, apart_s: float = 0.05, restarts: Collection[int] = ()
) -> Recorder:
    """Each batch arrives `apart_s` after the one before; before some of them the stages start again."""
    sink = Recorder()
    pipeline = new_pipeline(sink, settle_s=settle_s)
    for i, spans in enumerate(batches):
        if i in restarts:
            pipeline.restart()
        at = ARRIVAL + round(i * apart_s * 10**9)
        pipeline.process(
            [arrived(request(one.span, scope=one.by, resource={"service.name": one.service}), at=at) for one in spans]
        )
    return sink


def one_by_one(spans: Iterable[Seen], **how: float) -> Recorder:
    """Each span arrives alone."""
    return sent(*([one] for one in spans), **how)


def scopes(sink: Recorder) -> dict[int, str]:
    """Usage scope by span id, later verdicts applied; spans without any left out."""
    found = {int(row["SpanId"], 16): row["UsageScope"] for row in sink.rows("otel_traces")}
    found |= {int(row["span_id"], 16): row["usage_scope"] for row in sink.rows("span_corrections")}
    return {span_id: scope for span_id, scope in found.items() if scope}


def own_tokens(sink: Recorder) -> dict[int, tuple[int, ...]]:
    """Tokens of the spans whose usage is own, by span id, later verdicts applied."""
    told = {int(row["SpanId"], 16): row for row in sink.rows("otel_traces")}
    found = {}
    for span_id, row in told.items():
        scope = row["UsageScope"]
        tokens = tuple(row["".join(word.title() for word in name.split("_"))] for name in TOKENS)
        for verdict in sink.rows("span_corrections"):
            if int(verdict["span_id"], 16) == span_id:
                scope, tokens = verdict["usage_scope"], tuple(verdict[name] for name in TOKENS)
        if scope == "own":
            found[span_id] = tokens
    return found


@dataclass(frozen=True, slots=True)
class Counted:
    """Totals over all runs."""

    model_calls: int
    input_tokens: int
    tool_calls: int = 0


def counted(sink: Recorder) -> Counted:
    """What the runs count; `usage_1m` and the spans say the same."""
    runs, minutes = merged_runs(sink).values(), merged_usage(sink)
    for name in (*TOKENS, "cost_usd", "unpriced_calls", "errors"):
        assert sum(run[name] for run in runs) == sum(row[name] for row in minutes.values()), name
    by_op: dict[str, int] = {}
    for where, row in minutes.items():
        by_op[where[-1]] = by_op.get(where[-1], 0) + row["calls"]
    found = Counted(*(sum(run[name] for run in runs) for name in ("model_calls", "input_tokens", "tool_calls")))
    assert sum(by_op.get(op, 0) for op in ("chat", "text_completion", "generate_content")) == found.model_calls
    assert by_op.get("execute_tool", 0) == found.tool_calls
    assert sum(tokens[0] for tokens in own_tokens(sink).values()) == found.input_tokens
    return found
