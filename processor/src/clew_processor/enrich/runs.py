"""run_deltas: what a batch adds to each run it touches. Exact in any order, nothing remembered between batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from clew_processor.arrow import blanks, decimals, milliseconds, structs, timestamps
from clew_processor.enrich.contributions import TOKENS
from clew_processor.enrich.gates import is_denied, is_gate
from clew_processor.grouping import Groups
from clew_processor.words import Words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from clew_processor.enrich.contributions import Changed
    from clew_processor.enrich.loops import LoopChanges, RunChange
    from clew_processor.enrich.remembered import RunKey
    from clew_processor.enrich.usage import Usage
    from clew_processor.normalise.spans import Spans

NEVER = np.iinfo(np.int64).max
LATE = np.int64(1 << 62)
"""Set in a time (no span's is that late), it sorts behind every time without it."""
OUTCOME_STRENGTH = {"user": 4, "evaluator": 3, "system": 2, "agent": 1, "": 1}
"""The latest of the strongest source wins (semconv-genai.md section 11, clew.outcome.source)."""

_SUMS = (
    "spans", "step_spans", "agent_spans", "model_calls", "calls_without_usage", "tool_calls", "requested_tool_calls",
    "errors", "retries", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
    "unpriced_calls", "loops", "loop_tokens", "gates", "gates_denied", "gate_wait_ms",
    "open_spans",
)  # fmt: skip
"""Whole-number columns of run_deltas."""
_MONEY = ("cost_usd", "loop_cost_usd")


@dataclass(frozen=True, slots=True)
class SumsOfRuns:
    """What to add to some runs' totals."""

    tenants: list[str]
    traces: list[str]
    ints: dict[str, NDArray[np.int64]]
    money: Mapping[str, NDArray[np.int64] | NDArray[np.object_]]


def run_rows(spans: Spans, usage: Usage, loops: LoopChanges, kept: NDArray[np.bool_]) -> pa.Table:
    """Rows of run_deltas for a batch: one per run with a GenAI or clew span, and what later verdicts take away.

    Args:
        spans: the batch.
        usage: its verdicts.
        loops: loops found or unmade in it.
        kept: spans that sampling keeps.
    """
    tables = [_own_rows(spans, usage, kept)]
    if loops.runs:
        tables.append(sum_rows(spans.arrival_ns, _loop_changes(loops.runs)))
    if usage.superseded:
        tables.append(sum_rows(spans.arrival_ns, _calls_changed(usage.superseded, -1)))
    if usage.reinstated:
        tables.append(sum_rows(spans.arrival_ns, _calls_changed(usage.reinstated, 1)))
    return pa.concat_tables(tables).combine_chunks()  # one dictionary a column, or no insert


def _own_rows(spans: Spans, usage: Usage, kept: NDArray[np.bool_]) -> pa.Table:
    groups = Groups([(spans.run, len(spans.run_keys))], among=spans.known)
    live = ~usage.duplicate
    inference, errors = spans.inference & live, spans.error & live
    gate = is_gate(spans)
    ints = {
        "spans": groups.sum(live),
        "step_spans": groups.sum(spans.op.isin(("step",))),
        "agent_spans": groups.sum(spans.op.isin(("invoke_agent",))),
        "model_calls": groups.sum(inference),
        "calls_without_usage": groups.sum(inference & ~(usage.own & usage.told) & ~errors),
        "tool_calls": groups.sum(spans.op.isin(("execute_tool",)) & live),
        "requested_tool_calls": groups.sum(np.where(inference, usage.requested, 0)),
        "errors": groups.sum(errors),
        **{name: groups.sum(np.where(usage.own, usage.tokens[name], 0)) for name in TOKENS},
        "unpriced_calls": groups.sum(usage.cost_source.isin(("unpriced",))),
        "gates": groups.sum(gate),
        "gates_denied": groups.sum(is_denied(spans)),
        "gate_wait_ms": groups.sum(np.where(gate, spans.gate_wait_ms, 0)),
    }
    return _table(
        spans.arrival_ns,
        tenant=spans.tenant.take(groups.first).to_arrow(),
        trace=spans.trace.take(groups.first).to_arrow(),
        root=_root(spans, groups),
        agent=_agent(spans, groups),
        outcome=_outcome(spans, groups),
        conversation_id=_any_word(spans.conversation_id, groups),
        user_id=_any_word(spans.user_id, groups),
        started=groups.min(spans.start_ns),
        ended=groups.max(spans.end_ns),
        sampled=groups.sum(kept) > 0,
        ints=ints,
        money={"cost_usd": groups.sum_money(usage.cost_nano)},
    )


def opened_rows(spans: Spans, rows: NDArray[np.integer], opened: NDArray[np.bool_]) -> pa.Table:
    """Rows of run_deltas for start records: what is known of their runs before a span ends. They add to no other sum.

    Args:
        spans: the batch they came in.
        rows: of it, those to tell of.
        opened: of these, those that open a span that was not open before.
    """
    groups = Groups([(spans.run[rows], len(spans.run_keys))])
    first, start = rows[groups.first], spans.start_ns[rows]
    count, none = groups.count, blanks(groups.count)
    earliest = rows[groups.argmin(np.where(spans.is_root[rows], start, start | LATE))]
    invoked, named = spans.op.isin(("invoke_agent",))[rows], spans.agent_name.present[rows]
    # An agent comes after itself when it has ended, but before every other one that started later.
    order = np.where(invoked, start + 1, np.where(named, start | LATE, NEVER))
    agent = groups.argmin(order)
    return _table(
        spans.arrival_ns,
        tenant=spans.tenant.take(first).to_arrow(),
        trace=spans.trace.take(first).to_arrow(),
        root=structs(
            ["not_root", "start_ns", "service_name", "status"],
            [
                np.where(spans.is_root[earliest], 2, 3).astype(np.uint8),  # after every span that ended
                spans.start_ns[earliest],
                spans.service.take(earliest).to_text(),
                none,
            ],
        ),
        agent=structs(
            ["start_ns", "name", "version", "status"],
            [
                order[agent],
                spans.agent_name.take(rows[agent]).to_text(),
                spans.agent_version.take(rows[agent]).to_text(),
                none,
            ],
        ),
        outcome=_no_outcome(count),
        conversation_id=_any_word(spans.conversation_id.take(rows), groups),
        user_id=_any_word(spans.user_id.take(rows), groups),
        started=groups.min(start),
        ended=groups.max(start),
        sampled=np.zeros(count, np.bool_),
        ints={"open_spans": groups.sum(opened)},
        money={},
    )


def _no_outcome(count: int) -> pa.StructArray:
    return structs(
        ["strength", "time_ns", "status", "score"],
        [np.zeros(count, np.uint8), np.zeros(count, np.int64), blanks(count), np.full(count, -1.0)],
    )


def _root(spans: Spans, groups: Groups) -> pa.StructArray:
    """The root span, else the earliest: (not_root, start, service, status)."""
    order = np.where(spans.is_root, spans.start_ns, spans.start_ns | LATE)
    status = _final(spans.status)
    best = groups.argmin(order, spans.service.ranks, status.ranks)
    return structs(
        ["not_root", "start_ns", "service_name", "status"],
        [
            (~spans.is_root[best]).astype(np.uint8),
            spans.start_ns[best],
            spans.service.take(best).to_text(),
            status.take(best).to_text(),
        ],
    )


def _agent(spans: Spans, groups: Groups) -> pa.StructArray:
    """The outermost agent invocation, as far as seen: (start, name, version, status); NEVER where there is none.

    A span that only names its agent counts after every invocation (by its own start, made late), and has no status.
    """
    invoked, name, version = spans.op.isin(("invoke_agent",)), spans.agent_name, spans.agent_version
    order = np.where(invoked, spans.start_ns, np.where(name.present, spans.start_ns | LATE, NEVER))
    status = _final(spans.status).overlaid(Words.constant("", spans.rows), ~invoked)
    best = groups.argmin(order, name.ranks, version.ranks, status.ranks)
    return structs(
        ["start_ns", "name", "version", "status"],
        [
            order[best],
            name.take(best).to_text(),
            version.take(best).to_text(),
            status.take(best).to_text(),
        ],
    )


def _final(status: Words) -> Words:
    """A span that ended without a word ended well."""
    return status.map(lambda word: "ok" if word == "unset" else word)


def _outcome(spans: Spans, groups: Groups) -> pa.StructArray:
    """The outcome that wins: (strength, time, status, score); score -1 where none was given."""
    word, end = spans.outcome_status, spans.end_ns
    if not any(word.words):
        return _no_outcome(groups.count)
    strengths = np.array([OUTCOME_STRENGTH.get(source, 1) for source in spans.outcome_source.words])
    strength = np.where(word.present, strengths[spans.outcome_source.codes], 0)
    score = np.where(np.isfinite(spans.outcome_score), np.abs(np.clip(spans.outcome_score, 0, 1)), -1.0)
    # The bits of such numbers are in the order of the numbers.
    best = groups.argmin(-strength, ~end, -word.ranks, ~score.view(np.int64))
    said = strength[best] > 0
    return structs(
        ["strength", "time_ns", "status", "score"],
        [
            strength[best].astype(np.uint8),
            np.where(said, end[best], 0),
            word.take(best).to_text(),
            np.where(said, score[best], -1.0),
        ],
    )


def _any_word(words: Words, groups: Groups) -> pa.Array:
    """One present word per group, the greatest; empty where there is none."""
    if not any(words.words):
        return Words.constant("", groups.count).to_arrow()
    codes, said = words.codes.astype(np.int64), words.present
    greatest = groups.max(np.where(said, codes, -1))
    least = groups.min(np.where(said, codes, NEVER))
    if (greatest <= least).all():  # no two in a group
        return Words(greatest.astype(np.int32) + 1, ["", *words.words]).to_arrow()
    ordered = sorted({"", *words.words})
    place = {word: i for i, word in enumerate(ordered)}
    ranks = np.array([place[word] for word in words.words], np.int64)
    return Words(groups.max(ranks[words.codes]).astype(np.int32), ordered).to_arrow()


def _loop_changes(changes: Mapping[RunKey, RunChange]) -> SumsOfRuns:
    def column(name: str) -> list[int]:
        return [getattr(change, name) for change in changes.values()]

    return SumsOfRuns(
        tenants=[tenant for tenant, _ in changes],
        traces=[trace for _, trace in changes],
        ints={
            "loops": np.array(column("loops"), np.int64),
            "loop_tokens": np.array(column("tokens"), np.int64),
            "retries": np.array(column("retries"), np.int64),
        },
        money={"loop_cost_usd": np.array(column("cost_nano"), object)},
    )


def _calls_changed(changed: Changed, sign: int) -> SumsOfRuns:
    each = changed.contributions
    groups = Groups([each.tenant, each.trace])
    tokens = {name: getattr(each, name) for name in TOKENS}
    silent = each.inference & ~each.error & ((sum(tokens.values()) == 0) | each.guessed)
    ints = {
        "spans": np.ones(each.rows, np.int64),
        "model_calls": each.inference,
        "calls_without_usage": silent,
        "tool_calls": each.op.isin(("execute_tool",)),
        "requested_tool_calls": changed.requested,
        "errors": each.error,
        "unpriced_calls": each.unpriced,
        **tokens,
    }
    return SumsOfRuns(
        tenants=each.tenant.take(groups.first).tolist(),
        traces=each.trace.take(groups.first).tolist(),
        ints={name: sign * groups.sum(values) for name, values in ints.items()},
        money={"cost_usd": sign * groups.sum_money(each.cost_nano)},
    )


def sum_rows(arrival_ns: int, sums: SumsOfRuns) -> pa.Table:
    """Rows that only change totals: everything else is at its neutral value."""
    count = len(sums.tenants)
    never = np.full(count, NEVER)
    none = blanks(count)
    empty = Words.constant("", count).to_arrow()
    return _table(
        arrival_ns,
        tenant=pa.array(sums.tenants, pa.utf8()).dictionary_encode(),
        trace=pa.array(sums.traces, pa.utf8()).dictionary_encode(),
        root=structs(
            ["not_root", "start_ns", "service_name", "status"],
            [np.full(count, 255, np.uint8), never, none, none],
        ),
        agent=structs(["start_ns", "name", "version", "status"], [never, none, none, none]),
        outcome=_no_outcome(count),
        conversation_id=empty,
        user_id=empty,
        started=never,
        ended=np.zeros(count, np.int64),
        sampled=np.zeros(count, np.bool_),
        ints=sums.ints,
        money=sums.money,
    )


def _table(
    arrival_ns: int,
    *,
    tenant: pa.Array,
    trace: pa.Array,
    root: pa.Array,
    agent: pa.Array,
    outcome: pa.Array,
    conversation_id: pa.Array,
    user_id: pa.Array,
    started: NDArray[np.int64],
    ended: NDArray[np.int64],
    sampled: NDArray[np.bool_],
    ints: dict[str, NDArray[np.int64]],
    money: Mapping[str, NDArray[np.int64] | NDArray[np.object_]],
) -> pa.Table:
    count = len(started)
    zeros = np.zeros(count, np.int64)
    day = np.full(count, arrival_ns // (86_400 * 10**9), np.uint16)
    columns: dict[str, pa.Array] = {
        "day": pa.array(day),
        "tenant_id": tenant,
        "trace_id": trace,
        "root": root,
        "agent": agent,
        "outcome": outcome,
        "conversation_id": conversation_id,
        "user_id": user_id,
        "started_at": timestamps(started),
        "ended_at": timestamps(ended),
        "updated_at": milliseconds(arrival_ns, count),
        "sampled": pa.array(sampled.astype(np.uint8)),
    }
    columns |= {name: pa.array(ints.get(name, zeros)) for name in _SUMS}
    columns |= {name: decimals(money.get(name, zeros), 38) for name in _MONEY}
    return pa.table(columns)
