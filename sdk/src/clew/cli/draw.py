"""A run on the terminal: what it came to, then its tree, one line for each `Line`, costs under each other."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from rich.text import Text

from clew.cli import running, units
from clew.cli.output import put
from clew.cli.spans import INFERENCE, Gate, Loop, Recording, Span
from clew.cli.text import escape, fit, pad, plural, width

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console

    from clew.cli.endpoint import Row
    from clew.cli.fold import Line
    from clew.cli.running import Open
    from clew.cli.tree import Node

#: Canonical operation -> the sign before its name; model calls and the rest are below.
SIGNS = {
    "invoke_agent": "●",
    "create_agent": "●",
    "invoke_workflow": "●",
    "execute_tool": "▸",
    "step": "▹",
    "plan": "▹",
    "gate": "◇",
    "retrieval": "▸",
    "handoff": "→",
}
MODEL_SIGN = "○"
OTHER_SIGN = "·"

#: Gate outcome -> sign and style; what is not here neither passed nor stopped the action.
OUTCOMES = {"allow": ("✓", "green"), "deny": ("✗", "red"), "abort": ("✗", "red"), "timeout": ("✗", "red")}
OPEN_OUTCOME = ("!", "yellow")

#: Run status and outcome -> style.
STATES = {
    "ok": "green",
    "success": "green",
    "error": "red",
    "failure": "red",
    "interrupted": "yellow",
    "cancelled": "yellow",
    "partial": "yellow",
    "running": "cyan",
}

TIMES = "\N{MULTIPLICATION SIGN}"
LOOP_SIGN = "⟳"
ORPHAN_SIGN = "⤴"
RUNNING_SIGN = "…"
RUNNING_STYLE = "bold cyan"

#: A reason or an error message is cut to what one line holds, but never below this.
_LEAST_DETAIL = 30


def state(status: str, outcome: str) -> Text:
    """A run's status with its outcome where it has one, such as ``ok/failure``."""
    text = Text(escape(status), STATES.get(status, ""))
    if outcome:
        text.append("/").append(escape(outcome), STATES.get(outcome, ""))
    return text


def header(screen: Console, recording: Recording, open_: Sequence[Open] = ()) -> None:
    """Print what the run came to: exact, whatever was sampled. And where it stands, if spans of it are open."""
    run = recording.run
    if run is None:
        put(screen, Text(f"trace {recording.trace_id}", "bold"))
        put(screen, "no GenAI or clew.* spans, so there is no run to sum up")
        _now(screen, open_)
        return
    title = Text(escape(run["agent_name"] or run["service_name"] or "(no name)"), "bold")
    if run["agent_version"]:
        title.append(f" {escape(run['agent_version'])}")
    title.append("  ").append_text(state(run["status"], run["outcome"]))
    title.truncate(screen.width, overflow="ellipsis")
    put(screen, title)
    started = units.timestamp(run["started_ns"] // units.NANOS * units.NANOS).replace("T", " ").replace("Z", " UTC")
    nanos = run["duration_ms"] * 1_000_000
    if run["status"] == "running":
        nanos = max([nanos, *(span.now_ns - run["started_ns"] for span in open_[:1])])
    took = f"{units.duration(nanos)} so far" if run["status"] == "running" else f"took {units.duration(nanos)}"
    put(screen, f"trace {recording.trace_id}")
    put(screen, _joined([started, took]))
    counts = [plural(run[name], noun) for name, noun in _COUNTS if run[name]]
    if counts:
        put(screen, _joined(counts))
    tokens = f"{run['input_tokens']:,} tokens in"
    if run["cache_read_tokens"]:
        tokens += f" ({run['cache_read_tokens']:,} from cache)"
    put(screen, _joined([tokens, f"{run['output_tokens']:,} out", f"cost {cost(run)}"]))
    _now(screen, open_)
    for number, loop in enumerate(recording.loops, start=1):
        label = f"{LOOP_SIGN} loop {number}: " if len(recording.loops) > 1 else f"{LOOP_SIGN} loop: "
        _print_fitted(screen, Text(label + loop_line(loop), "red"))
    for gate in recording.gates:
        sign, style = OUTCOMES.get(gate.outcome, OPEN_OUTCOME)
        if gate.outcome != "allow":
            name = escape(gate.gate_name or gate.kind)
            _print_fitted(screen, Text(f"{sign} gate {name}: {gate_line(gate)}", style))


def _now(screen: Console, open_: Sequence[Open]) -> None:
    if open_:
        _print_fitted(screen, Text(f"{RUNNING_SIGN} running: {running.where(open_)}", RUNNING_STYLE))
    if quiet := running.silence(open_):
        _print_fitted(screen, Text(f"! {quiet}", "yellow"))


_COUNTS = (
    ("steps", "step"),
    ("model_calls", "model call"),
    ("tool_calls", "tool call"),
    ("gates", "gate"),
    ("errors", "error"),
    ("retries", "retry"),
)


def cost(run: Row) -> str:
    """A run's exact cost, and how many calls it leaves out for want of a price."""
    missing = run["unpriced_calls"]
    return units.money_exact(run["cost_usd"]) + (f" + {plural(missing, 'call')} without a price" if missing else "")


def loop_line(loop: Loop) -> str:
    """What repeats, how often, and what it wasted."""
    what = escape(loop.tool_name) or "model calls"
    return (
        f"{what} {TIMES}{loop.repetitions} ({escape(loop.pattern)}), wasted {plural(loop.wasted_tokens, 'token')}, "
        f"{units.money_exact(loop.wasted_cost_usd)}"
    )


def gate_line(gate: Gate) -> str:
    """Outcome, who decided, after how long, and why."""
    decider = gate.actor_type or gate.source or gate.kind
    text = escape(gate.outcome) + (f" by {escape(decider)}" if decider else "")
    if gate.wait_ms:
        text += f" after {units.duration(gate.wait_ms * 1_000_000)}"
    return text + (f": {escape(gate.reason)}" if gate.reason else "")


def tree(screen: Console, lines: Sequence[Line], start_ns: int, loops: int, at_most: int | None = None) -> int:
    """Print the lines with the lines below them; returns how many were left out of more than ``at_most``.

    Args:
        screen: where to.
        lines: the top of the tree.
        start_ns: when the run started, in nanoseconds; times of repeats count from there.
        loops: how many loops the run has; their numbers are printed when there are several.
        at_most: how many spans' lines to print, None for all.
    """
    costs = max([9, *(len(_cost(line)) for line, _, _ in _walk(lines))])
    name_width = max(24, screen.width - (5 + 5 + costs + 6 + 4))
    titles = f"{'IN':>5} {'OUT':>5} {'COST':>{costs}} {'TIME':>6}"
    put(screen, Text(pad("SPAN", name_width) + " " + titles, "bold"))
    printed = left_out = 0
    for line, prefix, below in _walk(lines, most=name_width // 2):
        if at_most is not None and printed >= at_most:
            left_out += 1
            continue
        printed += 1
        numbers = (
            f" {_tokens(line.input_tokens):>5} {_tokens(line.output_tokens):>5} {_cost(line):>{costs}} "
            f"{units.duration(line.duration_ns):>6}"
        )
        text = _name(line, prefix, name_width, loops)
        text.append(numbers, "dim" if line.children else "")
        put(screen, text)
        for detail, style in _details(line, start_ns):
            room = max(_LEAST_DETAIL, screen.width - width(below) - 2)
            put(screen, Text(below, "dim").append("  ").append(fit(detail, room), style))
    return left_out


def _walk(lines: Sequence[Line], most: int = 0) -> Iterator[tuple[Line, str, str]]:
    """Each line with what is drawn before its name, and before the details under it; not longer than ``most``."""

    def clip(prefix: str) -> str:
        return prefix if len(prefix) <= most else "⋯" + prefix[len(prefix) - most + 1 :]

    stack: list[tuple[Line, str, str]] = [(line, "", "") for line in reversed(lines)]
    while stack:
        line, prefix, below = stack.pop()
        yield line, prefix, below + ("│ " if line.children else "  ")
        for i, child in enumerate(reversed(line.children)):
            arm, gap = ("└─ ", "   ") if i == 0 else ("├─ ", "│  ")
            stack.append((child, clip(below + arm), clip(below + gap)))


def _name(line: Line, prefix: str, cells: int, loops: int) -> Text:
    """The line's sign, name and marks in exactly ``cells`` cells; marks are never cut."""
    node = line.nodes[0]
    marks: list[tuple[str, str]] = []
    if line.kind == "span" and line.times > 1:
        marks.append((f" {TIMES}{line.times:,}", "bold cyan"))
    if line.kind == "span" and node.loops:
        numbers = "" if loops < 2 else " " + ",".join(map(str, node.loops[:3]))
        marks.append((f" {LOOP_SIGN} loop{numbers}", "red"))
    if line.kind == "span" and node.span.running:
        marks.append((f" {RUNNING_SIGN} running", RUNNING_STYLE))
    if line.kind == "span" and node.orphan:
        marks.append((f" {ORPHAN_SIGN}", "yellow"))
    sign, label, style = _label(line)
    room = max(4, cells - width(prefix) - 2 - sum(width(mark) for mark, _ in marks))
    label = fit(label, room)
    text = Text(prefix, "dim").append(sign + " ", style).append(label, style)
    for mark, mark_style in marks:
        text.append(mark, mark_style)
    text.append(" " * max(0, cells - width(text.plain)))
    return text


def _label(line: Line) -> tuple[str, str, str]:
    """Sign, escaped name and style of a line."""
    if line.kind == "more":
        return "…", f"{plural(line.spans, 'more span')}", "dim"
    if line.kind == "group":
        return LOOP_SIGN, f"these {len(line.children)}, {line.times:,} times", "bold cyan"
    span, last = line.nodes[0].span, line.nodes[-1].span
    style = "dim" if span.duplicate else "red" if span.failed else ""
    if span.op in INFERENCE:
        return MODEL_SIGN, _model_label(span), style
    sign = SIGNS.get(span.op, OTHER_SIGN)
    short = {"execute_tool": span.tool, "invoke_agent": span.agent, "gate": span.gate_name}.get(span.op)
    name = short or span.name or span.op or "(no name)"
    if not short and last.name != span.name:
        name += f" … {last.name}"
    return sign, escape(name), style or ("bold" if sign == "●" else "")


def _model_label(span: Span) -> str:
    name = span.name or span.op
    known = (span.request_model and span.request_model in name) or (span.model and span.model in name)
    return escape(name if known or not span.model else f"{name} {span.model}")


def _details(line: Line, start_ns: int) -> Iterator[tuple[str, str]]:
    """What is said under a line: when its repeats began and ended, its error, its gates."""
    node = line.nodes[0]
    if line.fold:
        first = units.duration(max(0, node.span.start_ns - start_ns))
        last = units.duration(max(0, line.nodes[-1].span.start_ns - start_ns))
        yield f"first at {first}, last at {last}", "dim"
    if line.kind != "span":
        return
    if node.span.silence_ns:
        yield "! " + running.told_silence(node.span.silence_ns), "yellow"
    if node.span.failed:
        yield "✗ " + escape(_error(node.span)), "red"
    for gate in _distinct(line.nodes):
        sign, style = OUTCOMES.get(gate.outcome, OPEN_OUTCOME)
        name = "" if node.span.op == "gate" else f"gate {escape(gate.gate_name or gate.kind)}: "
        yield f"{sign} {name}{gate_line(gate)}", style


def _error(span: Span) -> str:
    """Type and message; the type only once, as SDKs begin the message with it."""
    kind, message = span.error_type, span.status_message
    if message.startswith(kind.rpartition(".")[2] or " "):
        return message
    return ": ".join(filter(None, (kind, message))) or "error"


def _distinct(nodes: Iterable[Node]) -> Iterator[Gate]:
    """The gates of the spans, those that read the same once."""
    seen = set()
    for node in nodes:
        for gate in node.gates:
            key = (gate.gate_name, gate.outcome, gate.reason)
            if key not in seen:
                seen.add(key)
                yield gate


def _tokens(number: int) -> str:
    return units.count(number) if number else ""


def _cost(line: Line) -> str:
    """Dollars; empty where nothing was used, ``unpriced`` where no price is known, ``≥`` where some are missing."""
    if not line.unpriced:
        used = line.cost_usd or line.input_tokens or line.output_tokens
        return units.money(line.cost_usd) if used else ""
    return f"≥{units.money(line.cost_usd)}" if line.cost_usd > Decimal(0) else "unpriced"


def _joined(parts: Sequence[str]) -> str:
    return " · ".join(parts)


def _print_fitted(screen: Console, text: Text) -> None:
    put(screen, Text(fit(text.plain, screen.width), text.style))
