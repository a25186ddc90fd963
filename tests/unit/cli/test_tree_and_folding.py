from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clew.cli.fold import MERGED_CHILDREN, Line, folded, merged, unfolded
from clew.cli.spans import Gate, Loop, Span
from clew.cli.tree import build, preorder


def span(span_id: str, parent: str = "", name: str = "", start: int = 0, **fields: Any) -> Span:
    base: dict[str, Any] = dict.fromkeys(Span.__slots__, "")
    numbers = {"input_tokens": 0, "output_tokens": 0, "cost_usd": Decimal(0), "duration_ns": 1, "args_hash": "0"}
    return Span(
        **base
        | numbers
        | {"span_id": span_id, "parent_id": parent, "name": name or span_id, "start_ns": start}
        | fields
    )


def call(span_id: str, parent: str = "", usd: str = "0.1", **fields: Any) -> Span:
    own = {"usage_scope": "own", "cost_usd": Decimal(usd), "input_tokens": 10, "output_tokens": 1}
    return span(span_id, parent, "chat m", op="chat", **own | fields)


def outline(lines: list[Line]) -> list[Any]:
    """Each line as its name, how often, and what is below it."""
    return [
        (
            line.nodes[0].span.name if line.kind == "span" else line.kind,
            line.times,
            *([outline(line.children)] if line.children else []),
        )
        for line in lines
    ]


ids = st.sampled_from("abcdef")


@given(st.lists(st.tuples(ids, st.sampled_from(["", *"abcdefx"]), st.sampled_from(["own", "duplicate", "rollup"]))))
def test_whatever_the_parents_every_span_but_duplicates_is_there_once(given_spans: list[tuple[str, str, str]]):
    spans = [span(i, parent, start=n, usage_scope=scope) for n, (i, parent, scope) in enumerate(given_spans)]
    tree = build(spans)
    placed = [node.span for node in preorder(tree.roots)]
    assert sorted(map(id, placed)) == sorted(id(s) for s in spans if not s.duplicate)
    assert tree.duplicates == sum(s.duplicate for s in spans)
    for arrange in (unfolded, folded, merged):
        stood_for = [n for line in _all_leaves(arrange(tree.roots)) for n in line]
        assert len(stood_for) == len(placed)


def _all_leaves(lines: list[Line]) -> list[list[Any]]:
    found: list[list[Any]] = []
    for line in lines:
        if line.kind == "more":
            found.append(preorder(line.nodes))
        else:
            found += [line.nodes] if line.kind == "span" else []
            found += _all_leaves(line.children)
    return found


def test_costs_add_up_from_own_usage_alone():
    spans = [
        span("root", usage_scope="rollup", cost_usd=Decimal(9), input_tokens=99),
        call("a", "root", "0.1"),
        call("b", "root", "0.2"),
        call("c", "b", "0.4", usage_scope="duplicate"),
    ]
    (root,) = build(spans).roots
    assert (root.cost_usd, root.input_tokens, root.output_tokens) == (Decimal("0.3"), 20, 2)


def test_children_of_a_hidden_duplicate_move_up_to_its_parent():
    tree = build([span("root"), call("outer", "root", usage_scope="duplicate"), call("inner", "outer")])
    assert [child.span.span_id for child in tree.roots[0].children] == ["inner"]
    assert (tree.duplicates, tree.orphans) == (1, 0)


def test_a_span_without_its_parent_hangs_under_the_root_where_it_happened():
    tree = build([span("root"), span("a", "root", start=1), span("lost", "gone", start=2), span("b", "root", start=3)])
    assert [(n.span.span_id, n.orphan) for n in tree.roots[0].children] == [("a", False), ("lost", True), ("b", False)]


def test_neighbours_alike_fold_with_everything_below_them():
    spans = [span("root")]
    for i in range(5):
        spans += [
            span(f"s{i}", "root", f"step {i}", op="step"),
            call(f"c{i}", f"s{i}"),
            span(f"t{i}", f"s{i}", "tool", args_hash="7"),
        ]
    (root,) = folded(build(spans).roots)
    assert outline([root]) == [("root", 1, [("step 0", 5, [("chat m", 5), ("tool", 5)])])]
    step = root.children[0]
    assert (step.cost_usd, step.children[0].cost_usd, step.duration_ns, step.fold) == (
        Decimal("0.5"),
        Decimal("0.5"),
        5,
        True,
    )


def test_other_arguments_do_not_fold():
    spans = [span("root"), *(span(f"t{i}", "root", "tool", args_hash=str(i)) for i in range(1, 4))]
    assert len(folded(build(spans).roots)[0].children) == 3


def test_a_failure_among_repeats_keeps_a_line_of_its_own():
    spans = [span("root"), *(span(f"t{i}", "root", "tool", status="error" if i == 2 else "ok") for i in range(5))]
    assert outline(folded(build(spans).roots)[0].children) == [("tool", 2), ("tool", 1), ("tool", 2)]


def test_neighbours_that_repeat_together_fold_as_a_group():
    spans = [span("root")]
    for i in range(4):
        spans += [call(f"c{i}", "root", start=i), span(f"t{i}", "root", "tool", start=i)]
    spans.append(call("last", "root", start=9))
    (root,) = folded(build(spans).roots)
    assert outline(root.children) == [("group", 4, [("chat m", 4), ("tool", 4)]), ("chat m", 1)]
    assert root.children[0].cost_usd == Decimal("0.4")


def test_a_merged_tree_is_short_whatever_comes():
    wide = [span("root"), *(span(f"w{i}", "root", "x" * (i + 1)) for i in range(3000))]
    lines = merged(build(wide).roots)[0].children
    assert len(lines) == MERGED_CHILDREN
    assert (lines[-1].kind, lines[-1].spans) == ("more", 3000 - MERGED_CHILDREN + 1)
    deep = [span("0"), *(span(str(i), str(i - 1), "y" * i) for i in range(1, 3000))]
    depth, lines = 0, merged(build(deep).roots)
    while lines:
        depth, lines = depth + 1, lines[0].children
    assert depth < 20


def test_folding_a_very_deep_chain_does_not_recurse():
    deep = [span("0"), *(span(str(i), str(i - 1)) for i in range(1, 5000))]
    assert outline_depth(folded(build(deep).roots)) == 5000


def outline_depth(lines: list[Line]) -> int:
    depth = 0
    while lines:
        depth, lines = depth + 1, lines[0].children
    return depth


def loop(first: str, last: str, tool: str, fingerprint: str, start: int, end: int) -> Loop:
    return Loop("a", "same_call", 1, 3, first, last, tool, fingerprint, start, end, 0, Decimal(0), "none")


def test_a_loop_marks_its_calls_and_no_others():
    tools = [
        span(f"t{i}", "root", tool="search", args_hash="7" if i != 2 else "8", start=i, op="execute_tool")
        for i in range(6)
    ]
    tree = build([span("root"), *tools], [loop("t0", "t4", "search", "7", 0, 4)])
    assert [node.span.span_id for node in tree.roots[0].children if node.loops == (1,)] == ["t0", "t1", "t3", "t4"]


def test_a_loop_of_bare_model_calls_marks_them():
    calls = [call(f"c{i}", "root", start=i) for i in range(5)]
    tree = build([span("root"), *calls], [loop("c0", "c3", "search", "7", 0, 3)])
    assert [bool(node.loops) for node in tree.roots[0].children] == [True, True, True, True, False]


def test_a_gate_on_a_span_that_is_not_stored_is_told_apart():
    gate = Gate("gone", "", "g", "policy", "", "deny", "", "", "", 0, "", "", 0, 0)
    assert build([span("root")], gates=[gate]).stray_gates == [gate]
