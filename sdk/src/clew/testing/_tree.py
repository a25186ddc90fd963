"""Trees of spans: as text, from text, and how two of them differ."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from textwrap import dedent
from typing import TYPE_CHECKING

from clew.errors import ClewError
from clew.testing import _notes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

_LINE = re.compile(r"^(?P<name>.*?)(?P<notes>(?:\s+\[[^\[\]]*\])*)$")
_NOTE = re.compile(r"\[([^\[\]]*)\]")
_ATTRIBUTE = re.compile(r"([^\s=]+)=")


@dataclass(slots=True)
class Node:
    """A recorded span and those under it."""

    span: ReadableSpan
    children: list[Node] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The span's name as a line writes it, where brackets mean something else."""
        return _notes.without_brackets(self.span.name)


@dataclass(slots=True)
class Expected:
    """A line of an expected tree and those under it."""

    name: str
    notes: list[str]
    children: list[Expected] = field(default_factory=list)


def grow(spans: Iterable[ReadableSpan]) -> list[Node]:
    """The roots of the trees that spans make, in the order given; one whose parent is not among them is a root."""
    nodes = {(span.context.trace_id, span.context.span_id): Node(span) for span in spans if span.context is not None}
    roots: list[Node] = []
    for node in nodes.values():
        parent = node.span.parent
        above = nodes.get((parent.trace_id, parent.span_id)) if parent is not None else None
        (roots if above is None else above.children).append(node)
    return roots


def walk(nodes: Iterable[Node]) -> Iterator[Node]:
    """Each node before those under it."""
    for node in nodes:
        yield node
        yield from walk(node.children)


def render(roots: Sequence[Node]) -> str:
    """One line a span, with everything that can stand in brackets; ends with a line break unless it is empty."""
    return "".join(f"{_text(depth, *_said(node))}\n" for depth, node in _flat_nodes(roots))


def parse(text: str) -> list[Expected]:
    """The roots of the trees written in a text.

    Raises:
        ClewError: A line is indented less than the line before it, and like none above it.
    """
    roots: list[Expected] = []
    levels: list[tuple[int, list[Expected]]] = [(0, roots)]
    for line in dedent(text.expandtabs()).splitlines():
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        while len(levels) > 1 and indent < levels[-1][0]:
            levels.pop()
        siblings = levels[-1][1]
        if indent > levels[-1][0]:
            if not siblings or siblings[-1].children:
                raise ClewError(f"The expected tree is indented like nothing above it here: {line.strip()!r}")
            siblings = siblings[-1].children
            levels.append((indent, siblings))
        match = _LINE.match(line.strip())
        assert match is not None
        siblings.append(Expected(match["name"], [_notes.short(note) for note in _NOTE.findall(match["notes"])]))
    return roots


def difference(expected: Sequence[Expected], recorded: Sequence[Node], *, ordered: bool) -> str | None:
    """Both trees as one text whose lines begin with `-` or `+` where they differ; None where they do not."""
    if not ordered:
        recorded = _arranged(expected, recorded)
    wanted, found = list(_flat(expected)), list(_flat_nodes(recorded))
    matcher = SequenceMatcher(
        a=[(depth, line.name) for depth, line in wanted],
        b=[(depth, node.name) for depth, node in found],
        autojunk=False,
    )
    lines: list[str] = []
    same = True
    for what, a, a_end, b, b_end in matcher.get_opcodes():
        if what == "equal":
            for (depth, line), (_, node) in zip(wanted[a:a_end], found[b:b_end], strict=True):
                if _agree(line, node.span):
                    lines.append("  " + _text(depth, line.name, line.notes))
                    continue
                same = False
                lines += ["- " + _text(depth, line.name, line.notes), "+ " + _text(depth, *_said(node, line))]
            continue
        same = False
        lines += ["- " + _text(depth, line.name, line.notes) for depth, line in wanted[a:a_end]]
        lines += ["+ " + _text(depth, *_said(node)) for depth, node in found[b:b_end]]
    if same:
        return None
    return "\n".join(lines or ["(nothing was recorded)"])


def _arranged(expected: Sequence[Expected], recorded: Sequence[Node]) -> list[Node]:
    """The recorded nodes, each level in the order of the expected lines they fit best; what fits none comes last."""
    left = list(recorded)
    arranged = []
    for line in expected:
        chosen = next((node for fits in (_fits, _like, _called) for node in left if fits(line, node)), None)
        if chosen is not None:
            left = [node for node in left if node is not chosen]
            arranged.append(Node(chosen.span, _arranged(line.children, chosen.children)))
    return arranged + left


def _fits(line: Expected, node: Node) -> bool:
    """Whether the whole tree under the line is the tree under the node, notes too."""
    if line.name != node.name or not _agree(line, node.span) or len(line.children) != len(node.children):
        return False
    left = list(node.children)
    for child in line.children:
        chosen = next((other for other in left if _fits(child, other)), None)
        if chosen is None:
            return False
        left = [other for other in left if other is not chosen]
    return True


def _like(line: Expected, node: Node) -> bool:
    """Whether both trees have the same names."""
    return line.name == node.name and sorted(_names(line.children)) == sorted(_names_of(node.children))


def _called(line: Expected, node: Node) -> bool:
    return line.name == node.name


def _names(lines: Iterable[Expected]) -> list[tuple[int, str]]:
    return [(depth, line.name) for depth, line in _flat(lines)]


def _names_of(nodes: Iterable[Node]) -> list[tuple[int, str]]:
    return [(depth, node.name) for depth, node in _flat_nodes(nodes)]


def _agree(line: Expected, span: ReadableSpan) -> bool:
    """Whether all that the line says is so, and nothing went wrong that it does not say."""
    troubles = _notes.troubles(span)
    said = {*troubles, *_notes.remarks(span), *_notes.attributes(span, _asked(line))}
    return said.issuperset(line.notes) and set(troubles).issubset(line.notes)


def _said(node: Node, line: Expected | None = None) -> tuple[str, list[str]]:
    """A recorded line: the name, and its notes, with the attributes an expected line asks for."""
    asked = () if line is None else _asked(line)
    return node.name, [
        *_notes.troubles(node.span),
        *_notes.remarks(node.span),
        *_notes.attributes(node.span, asked),
    ]


def _asked(line: Expected) -> list[str]:
    return [match[1] for note in line.notes if (match := _ATTRIBUTE.match(note))]


def _text(depth: int, name: str, notes: Iterable[str]) -> str:
    return "  " * depth + " ".join([name, *(f"[{note}]" for note in notes)])


def _flat(lines: Iterable[Expected], depth: int = 0) -> Iterator[tuple[int, Expected]]:
    for line in lines:
        yield depth, line
        yield from _flat(line.children, depth + 1)


def _flat_nodes(nodes: Iterable[Node], depth: int = 0) -> Iterator[tuple[int, Node]]:
    for node in nodes:
        yield depth, node
        yield from _flat_nodes(node.children, depth + 1)
