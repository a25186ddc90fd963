"""The spans of one run as a tree, with loops and gates put where they belong.

What comes is untrusted and incomplete: parents may be missing, ids repeated, parent links circular, chains thousands
deep. Every span ends up in the tree exactly once, except duplicates of a call, which are left out and counted.
Nothing here recurses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from clew.cli.spans import INFERENCE, Gate, Loop, Span

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True, eq=False)
class Node:
    """One span in its place.

    Attributes:
        orphan: its parent is not among the spans of the run.
        loops: numbers (from 1) of the loops it is a repetition of.
        gates: decisions taken on it.
        cost_usd, input_tokens, output_tokens: own usage of the span and everything below it.
        unpriced: model calls of it and below that have no price.
    """

    span: Span
    children: list[Node] = field(default_factory=list)
    orphan: bool = False
    loops: tuple[int, ...] = ()
    gates: list[Gate] = field(default_factory=list)
    cost_usd: Decimal = Decimal(0)
    input_tokens: int = 0
    output_tokens: int = 0
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class Tree:
    """A run's spans in their places.

    Attributes:
        roots: normally one.
        duplicates: spans left out because another counts for the same call.
        orphans: spans whose parent is not stored.
        stray_gates: decisions on spans that are not stored.
    """

    roots: list[Node]
    duplicates: int
    orphans: int
    stray_gates: list[Gate]


def build(
    spans: Sequence[Span], loops: Sequence[Loop] = (), gates: Sequence[Gate] = (), *, keep_duplicates: bool = False
) -> Tree:
    """The tree of ``spans``, which come in order of their start; children keep that order.

    A left-out duplicate's children move up to its parent. Spans without their parent hang under the first root.
    """
    by_id: dict[str, Span] = {}
    for span in spans:
        by_id.setdefault(span.span_id, span)
    nodes = [Node(span) for span in spans if keep_duplicates or not span.duplicate]
    first = {node.span.span_id: node for node in reversed(nodes)}

    roots: list[Node] = []
    orphans: list[Node] = []
    for node in nodes:
        parent_id = _kept_parent(node.span, by_id, keep_duplicates=keep_duplicates)
        parent = first.get(parent_id) if parent_id else None
        if parent is not None and parent is not node:
            parent.children.append(node)
        elif parent_id:
            orphans.append(node)
        else:
            roots.append(node)
    orphans += _unreachable(nodes, [*roots, *orphans])
    for node in orphans:
        node.orphan = True
    if roots:
        roots[0].children = sorted([*roots[0].children, *orphans], key=lambda n: n.span.start_ns)
    else:
        roots = sorted(orphans, key=lambda n: n.span.start_ns)

    _mark_loops(nodes, first, loops)
    stray = _place_gates(first, gates)
    _add_up(roots)
    return Tree(roots, duplicates=len(spans) - len(nodes), orphans=len(orphans), stray_gates=stray)


def preorder(roots: Sequence[Node]) -> list[Node]:
    """Every node, parents before their children."""
    order: list[Node] = []
    stack = list(reversed(roots))
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(reversed(node.children))
    return order


def _kept_parent(span: Span, by_id: dict[str, Span], *, keep_duplicates: bool) -> str:
    """The id of the nearest ancestor that is shown or unknown; empty for a root."""
    seen = {span.span_id}
    parent_id = span.parent_id
    while not keep_duplicates and parent_id not in seen:
        parent = by_id.get(parent_id)
        if parent is None or not parent.duplicate:
            break
        seen.add(parent_id)
        parent_id = parent.parent_id
    return parent_id


def _unreachable(nodes: Sequence[Node], tops: Sequence[Node]) -> list[Node]:
    """Breaks circles of parents: one node of each, which becomes reachable from nothing, cut from its parent."""
    reached = set(map(id, preorder(tops)))
    if len(reached) == len(nodes):
        return []
    parent_of = {id(child): node for node in nodes for child in node.children}
    cut: list[Node] = []
    for node in nodes:
        if id(node) in reached:
            continue
        parent_of[id(node)].children.remove(node)
        cut.append(node)
        reached.update(map(id, preorder([node])))
    return cut


def _mark_loops(nodes: Sequence[Node], first: dict[str, Node], loops: Sequence[Loop]) -> None:
    """Marks the repetitions of each loop.

    Where the loop is of tool spans these are the calls with its tool and arguments. Where the run has no tool spans,
    the loop is in what the models asked for: then the model calls beside its first and last one are marked.
    """
    parents = {id(child): node for node in nodes for child in node.children}
    for number, loop in enumerate(loops, start=1):
        start = first.get(loop.first_span_id)
        of_models = start is not None and start.span.op in INFERENCE
        for node in nodes:
            span = node.span
            if not loop.started_ns <= span.start_ns <= loop.last_seen_ns:
                continue
            if of_models:
                belongs = span.op in INFERENCE and parents.get(id(node)) is parents.get(id(start))
            else:
                belongs = span.tool == loop.tool_name and span.args_hash == loop.fingerprint != "0"
            if belongs or span.span_id in {loop.first_span_id, loop.last_span_id}:
                node.loops = (*node.loops, number)


def _place_gates(first: dict[str, Node], gates: Sequence[Gate]) -> list[Gate]:
    stray: list[Gate] = []
    for gate in gates:
        node = first.get(gate.span_id)
        if node is None:
            stray.append(gate)
        else:
            node.gates.append(gate)
    return stray


def _add_up(roots: Sequence[Node]) -> None:
    """Own usage, bottom up. Rollups repeat their children's and duplicates another's, so neither is counted."""
    for node in reversed(preorder(roots)):
        span = node.span
        if span.usage_scope == "own":
            node.cost_usd += span.cost_usd
            node.input_tokens += span.input_tokens
            node.output_tokens += span.output_tokens
            node.unpriced += span.cost_source == "unpriced"
        for child in node.children:
            node.cost_usd += child.cost_usd
            node.input_tokens += child.input_tokens
            node.output_tokens += child.output_tokens
            node.unpriced += child.unpriced
