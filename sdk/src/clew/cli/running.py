"""What runs now: spans known only by their start records, and since when their processes were heard of last."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from clew.cli import units
from clew.cli.spans import Span
from clew.cli.text import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clew.cli.endpoint import Endpoint

#: A process says every minute that a span is still open; who missed two of them may be gone.
SILENT_NS = 150 * units.NANOS

TIMES = "\N{MULTIPLICATION SIGN}"

#: So many are told by name.
_TOLD = 3

_OPEN = """
SELECT
    trace_id, span_id, parent_span_id AS parent_id, name, op, agent_name AS agent, tool_name AS tool, step_kind,
    gate_name, toString(args_hash) AS args_hash, toUnixTimestamp64Nano(started_at) AS started_ns,
    toUnixTimestamp64Milli(last_seen_at) * 1000000 AS last_seen_ns,
    toUnixTimestamp64Nano(now64(9)) AS now_ns
FROM open_spans
WHERE trace_id IN {trace_ids:Array(String)} AND tenant_id IN {tenant_ids:Array(String)}
ORDER BY started_at, span_id
"""


@dataclass(frozen=True, slots=True)
class Open:
    """One row of ``open_spans``; times in nanoseconds. ``now_ns`` is when it was read, by the store's clock."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    op: str
    agent: str
    tool: str
    step_kind: str
    gate_name: str
    args_hash: str
    started_ns: int
    last_seen_ns: int
    now_ns: int

    @property
    def silence_ns(self) -> int:
        """How long nothing was heard of it; 0 where that is too short to mean anything."""
        silence = self.now_ns - self.last_seen_ns
        return silence if silence > SILENT_NS else 0

    @property
    def so_far_ns(self) -> int:
        """For how long it has been open, as far as is known."""
        return max(0, self.now_ns - self.started_ns)

    def as_span(self, *, told: bool) -> Span:
        """It as a span that has not ended; ``told`` says whether a silence is to be told with it."""
        return Span(
            span_id=self.span_id,
            parent_id=self.parent_id,
            name=self.name,
            op=self.op,
            tool=self.tool,
            agent=self.agent,
            model="",
            request_model="",
            input_tokens=0,
            output_tokens=0,
            usage_scope="",
            cost_usd=Decimal(0),
            cost_source="",
            start_ns=self.started_ns,
            duration_ns=self.so_far_ns,
            status="running",
            error_type="",
            status_message="",
            args_hash=self.args_hash,
            step_kind=self.step_kind,
            gate_name=self.gate_name,
            gate_outcome="",
            silence_ns=self.silence_ns if told else 0,
        )


def read(endpoint: Endpoint, traces: Sequence[tuple[str, str]]) -> dict[str, list[Open]]:
    """The open spans of some traces, given as (tenant, trace), by trace; those that started first come first."""
    if not traces:
        return {}
    tenants, ids = (sorted(set(names)) for names in zip(*traces, strict=True))
    rows = endpoint.rows(_OPEN, trace_ids=ids, tenant_ids=tenants)
    # Clocks differ: what was heard of later than now was heard of now.
    now = max([0, *(max(row["now_ns"], row["last_seen_ns"]) for row in rows)])
    found: dict[str, list[Open]] = {}
    for row in rows:
        found.setdefault(row["trace_id"], []).append(Open(**row | {"now_ns": now}))
    return found


def innermost(spans: Sequence[Open]) -> list[Open]:
    """Those that no other open span is in: where the run stands."""
    parents = {span.parent_id for span in spans}
    return [span for span in spans if span.span_id not in parents] or list(spans[-1:])


def beside(ended: Sequence[Span], spans: Sequence[Open]) -> list[Span]:
    """Ended spans and open ones in order of their start; a span that has ended is not open."""
    ids = {span.span_id for span in ended}
    inner = {span.span_id for span in innermost(spans)}
    more = [span.as_span(told=span.span_id in inner) for span in spans if span.span_id not in ids]
    return sorted([*ended, *more], key=lambda span: span.start_ns)


def where(spans: Sequence[Open]) -> str:
    """Where a run stands, for people: ``execute_tool search for 14m02s``; of spans of a name the first is told."""
    names: dict[str, list[Open]] = {}
    for span in innermost(spans):
        names.setdefault(span.name, []).append(span)
    told = [
        f"{escape(name)}{f' {TIMES}{len(same):,}' if len(same) > 1 else ''} for {units.duration(same[0].so_far_ns)}"
        for name, same in names.items()
    ]
    more = f" and {len(told) - _TOLD:,} more" if len(told) > _TOLD else ""
    return ", ".join(told[:_TOLD]) + more


def silence(spans: Sequence[Open]) -> str:
    """That nothing was heard of where a run stands, for people; empty where something was."""
    quiet = min((span.silence_ns for span in innermost(spans)), default=0)
    return told_silence(quiet) if quiet else ""


def told_silence(nanos: int) -> str:
    """A silence, for people."""
    return f"not heard of for {units.duration(nanos)}: its process may be gone"


def as_data(spans: Sequence[Open]) -> list[dict[str, Any]]:
    """For JSON."""
    return [
        {
            "span_id": span.span_id,
            "parent_id": span.parent_id,
            "name": span.name,
            "op": span.op,
            "agent": span.agent,
            "tool": span.tool,
            "started_at": units.timestamp(span.started_ns),
            "last_seen_at": units.timestamp(span.last_seen_ns),
        }
        for span in spans
    ]
