"""From a tree of spans to the lines that are worth reading.

Three ways, from exact to coarse: every span a line (`unfolded`); neighbours that repeat folded into one line, also when
a group of up to `MAX_PERIOD` neighbours repeats together (`folded`); everything of the same kind below the same parent
merged, long lists and deep chains cut short (`merged`). A line's numbers are sums over all spans it stands for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from clew.cli.tree import Node, preorder

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

#: The longest group of neighbours that is recognised when it repeats, such as model call, tool, tool.
MAX_PERIOD = 6

#: `merged` shows so many children of one parent ...
MERGED_CHILDREN = 20

#: ... and so many levels.
MERGED_DEPTH = 12


@dataclass(slots=True, eq=False)
class Line:
    """What one printed line stands for.

    Attributes:
        nodes: the spans, all alike; of several kinds only where ``kind`` says so.
        kind: ``span``; ``group``, the head of a repeated group whose members are the children; ``more``, what was cut.
        times: how often the line or the group repeats.
        fold: whether repeats are folded here, not in a line above.
        children: lines below.
    """

    nodes: list[Node]
    kind: str = "span"
    times: int = 1
    fold: bool = False
    children: list[Line] = field(default_factory=list)

    @property
    def cost_usd(self) -> Decimal:
        """Own cost of the spans and of everything below them."""
        return sum((node.cost_usd for node in self.nodes), Decimal(0))

    @property
    def input_tokens(self) -> int:
        """Own input tokens, likewise."""
        return sum(node.input_tokens for node in self.nodes)

    @property
    def output_tokens(self) -> int:
        """Own output tokens, likewise."""
        return sum(node.output_tokens for node in self.nodes)

    @property
    def unpriced(self) -> int:
        """Model calls without a price, likewise."""
        return sum(node.unpriced for node in self.nodes)

    @property
    def duration_ns(self) -> int:
        """The durations of the spans, added up."""
        return sum(node.span.duration_ns for node in self.nodes)

    @property
    def spans(self) -> int:
        """How many spans, with everything below them."""
        return len(preorder(self.nodes))


def unfolded(roots: Sequence[Node]) -> list[Line]:
    """One line a span."""
    return _grow(roots, lambda nodes: [Line([node]) for node in nodes])


def merged(roots: Sequence[Node]) -> list[Line]:
    """One line for each kind of span below the same line, in order of first appearance, cut short."""
    return _grow(roots, _merge, cut=True)


def _grow(roots: Sequence[Node], arrange: Callable[[list[Node]], list[Line]], *, cut: bool = False) -> list[Line]:
    """Arranges the roots, then the children of each line together, and so on down."""
    top = Line([])
    pending: list[tuple[Line, list[Node], int]] = [(top, list(roots), 0)]
    while pending:
        parent, nodes, depth = pending.pop()
        if cut and depth == MERGED_DEPTH and nodes:
            parent.children = [Line(nodes, "more")]
            continue
        lines = arrange(nodes)
        if cut and len(lines) > MERGED_CHILDREN:
            rest = [node for line in lines[MERGED_CHILDREN - 1 :] for node in line.nodes]
            lines[MERGED_CHILDREN - 1 :] = [Line(rest, "more")]
        for line in lines:
            line.fold = line.times > parent.times
        parent.children = lines
        pending += [
            (line, [child for node in line.nodes for child in node.children], depth + 1)
            for line in lines
            if line.kind == "span"
        ]
    return top.children


def _merge(nodes: list[Node]) -> list[Line]:
    lines: dict[Hashable, Line] = {}
    for node in nodes:
        lines.setdefault(_kind(node, exact=False), Line([])).nodes.append(node)
    for line in lines.values():
        line.times = len(line.nodes)
    return list(lines.values())


def folded(roots: Sequence[Node]) -> list[Line]:
    """Neighbours that are alike, with everything below them, folded into one line; so are repeating groups."""
    numbers: dict[Hashable, int] = {}
    likeness: dict[int, int] = {}  # node -> a number that nodes share when they and all below them are alike
    runs: dict[int, list[tuple[int, int, int]]] = {}  # node -> its children as (start, period, times)
    for node in reversed(preorder(roots)):
        below = [likeness[id(child)] for child in node.children]
        runs[id(node)] = _repeats(below)
        shape = tuple((times, *below[start : start + period]) for start, period, times in runs[id(node)])
        likeness[id(node)] = numbers.setdefault((_kind(node, exact=True), shape), len(numbers))

    top = Line([])
    top_runs = _repeats([likeness[id(node)] for node in roots])
    # Each entry: a line, and the children of each of its spans; the spans are alike, so one plan fits all.
    pending: list[tuple[Line, list[list[Node]], list[tuple[int, int, int]]]] = [(top, [list(roots)], top_runs)]
    while pending:
        parent, families, plan = pending.pop()
        for start, period, times in plan:
            spots = range(start, start + period)
            columns = [[family[spot + turn * period] for family in families for turn in range(times)] for spot in spots]
            lines = [Line(nodes, times=len(nodes), fold=times > 1 and period == 1) for nodes in columns]
            pending += [(line, [node.children for node in line.nodes], runs[id(line.nodes[0])]) for line in lines]
            if period > 1:
                together = sorted((n for nodes in columns for n in nodes), key=lambda n: n.span.start_ns)
                lines = [Line(together, "group", times=times * len(families), fold=True, children=lines)]
            parent.children += lines
    return top.children


def _repeats(items: Sequence[int]) -> list[tuple[int, int, int]]:
    """Cuts a sequence into stretches (start, period, times), each ``times`` repeats of ``period`` items.

    Two neighbours alike fold; a longer group must come three times before it is worth a line of its own.
    """
    stretches: list[tuple[int, int, int]] = []
    start = 0
    while start < len(items):
        best = (1, 1)
        for period in range(1, MAX_PERIOD + 1):
            group = items[start : start + period]
            times = 1
            while items[start + times * period : start + (times + 1) * period] == group:
                times += 1
            if times >= (2 if period == 1 else 3) and period * times > best[0] * best[1]:
                best = (period, times)
        stretches.append((start, *best))
        start += best[0] * best[1]
    return stretches


def _kind(node: Node, *, exact: bool) -> Hashable:
    """What two spans must share to stand in one line; numbers in the names of steps (all names, if inexact) aside."""
    span = node.span
    name = span.name if exact and not (span.step_kind or span.op == "step") else re.sub(r"[0-9]+", "0", span.name)
    return (
        name,
        span.op,
        span.tool,
        span.model,
        span.status,
        span.error_type,
        span.duplicate,
        node.orphan,
        node.loops,
        tuple((gate.gate_name, gate.outcome) for gate in node.gates),
        bool(span.cost_source == "unpriced"),
        (span.args_hash, tuple(gate.reason for gate in node.gates)) if exact else None,
    )
