from __future__ import annotations

from decimal import Decimal
from io import StringIO
from typing import Any

from rich.console import Console

from clew.cli import draw
from clew.cli.fold import Line, folded, merged, unfolded
from clew.cli.spans import Span
from clew.cli.tree import build

MS = 1_000_000


def span(span_id: str, parent: str = "", name: str = "", start: int = 0, **fields: Any) -> Span:
    base: dict[str, Any] = dict.fromkeys(Span.__slots__, "")
    numbers = {"input_tokens": 0, "output_tokens": 0, "cost_usd": Decimal(0), "duration_ns": MS, "args_hash": "0"}
    own = {"span_id": span_id, "parent_id": parent, "name": name or span_id, "start_ns": start * MS}
    return Span(**base | numbers | own | fields)


def drawn(lines: list[Line], **options: Any) -> list[str]:
    screen = Console(file=StringIO(), width=80, color_system=None)
    draw.tree(screen, lines, start_ns=0, loops=0, **options)
    return screen.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_a_group_that_repeats_has_a_head_with_its_sums():
    spans = [span("root")]
    for i in range(4):
        paid = {"usage_scope": "own", "cost_usd": Decimal("0.25"), "input_tokens": 1000}
        spans += [
            span(f"c{i}", "root", "chat m", 2 * i, op="chat", **paid),
            span(f"t{i}", "root", "tool", 2 * i + 1, tool="find", op="execute_tool"),
        ]
    assert drawn(folded(build(spans).roots)) == [
        "SPAN                                                   IN   OUT      COST   TIME",
        "· root                                              4.00k       $1.000000  1.0ms",
        "└─ ⟳ these 2, 4 times                               4.00k       $1.000000  8.0ms",
        "   │   first at 0ms, last at 7.0ms",
        f"   ├─ ○ chat m {draw.TIMES}4                                   4.00k       $1.000000  4.0ms",
        f"   └─ ▸ find {draw.TIMES}4                                                            4.0ms",
    ]


def test_long_lists_and_deep_chains_stay_within_the_terminal():
    wide = [span("root"), *(span(f"w{i}", "root", "x" * (i + 1)) for i in range(100))]
    lines = drawn(merged(build(wide).roots))
    assert lines[-1].startswith("└─ … 81 more spans ")
    deep = [span("0"), *(span(str(i), str(i - 1), status="error", status_message="no") for i in range(1, 300))]
    lines += drawn(unfolded(build(deep).roots))
    assert {len(line) for line in lines if "✗" not in line} == {80}
    assert max(map(len, lines)) == 80


def test_wide_characters_keep_the_columns_straight():
    lines = drawn(unfolded(build([span("root"), span("a", "root", "検索" * 30), span("b", "root", "e\u0301")]).roots))
    from rich.cells import cell_len

    assert {cell_len(line) for line in lines} == {80}


def test_large_sums_widen_their_column():
    paid = {"usage_scope": "own", "cost_usd": Decimal("1234567.891")}
    lines = drawn(unfolded(build([span("root", op="chat", **paid)]).roots))
    assert "$1,234,567.891000" in lines[1]
    assert {len(line) for line in lines} == {80}


def test_more_lines_than_wanted_are_counted():
    screen = Console(file=StringIO(), width=80, color_system=None)
    tree = build([span("root"), *(span(f"s{i}", "root") for i in range(9))])
    assert draw.tree(screen, unfolded(tree.roots), 0, 0, at_most=4) == 6


def test_an_errors_type_is_told_once():
    told = {"status": "error", "error_type": "lib.Boom"}
    for message, line in (("Boom: hot", "✗ Boom: hot"), ("hot", "✗ lib.Boom: hot"), ("", "✗ lib.Boom")):
        lines = drawn(unfolded(build([span("root", status_message=message, **told)]).roots))
        assert lines[2].strip() == line
