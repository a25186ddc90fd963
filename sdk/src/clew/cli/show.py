"""`clew show`."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clew.cli import running
from clew.cli.endpoint import Endpoint, Row
from clew.cli.lookup import find
from clew.cli.options import DEFAULT_ADDRESS, Json, Query
from clew.cli.runs import COLUMNS, as_data
from clew.cli.spans import MAX_SPANS, Recording, Span, read
from clew.cli.text import plural
from clew.cli.tree import Tree, build

if TYPE_CHECKING:
    from clew.cli.fold import Line
    from clew.cli.running import Open

#: What is printed of a span as JSON: what is stored of it.
_STORED = tuple(field.name for field in fields(Span) if field.name != "silence_ns")

#: A folded tree longer than this is merged instead ...
READABLE = 150

#: ... and a merged one cut at this.
LONGEST = 400


def show(
    trace_id: Annotated[str, typer.Argument(metavar="TRACE_ID", help="The trace id, or enough of its beginning.")],
    *,
    every: Annotated[bool, typer.Option("--all", help="Every span a line: nothing folded or hidden.")] = False,
    query: Query = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """One run as a tree: repeats folded, cost and time per step, gates and loops marked."""
    endpoint = Endpoint.at(query)
    tenant_id, whole = find(endpoint, trace_id)
    rows = endpoint.rows(
        f"SELECT {COLUMNS} FROM runs WHERE trace_id = {{trace_id:String}} AND tenant_id = {{tenant_id:String}}",
        trace_id=whole,
        tenant_id=tenant_id,
    )
    recording = read(endpoint, tenant_id, whole, rows[0] if rows else None)
    open_ = running.read(endpoint, [(tenant_id, whole)]).get(whole, [])
    if as_json:
        from clew.cli.output import write_json

        write_json(_data(recording) | {"running": running.as_data(open_)})
        return
    _print(recording, open_, every=every)


def _print(recording: Recording, open_: list[Open], *, every: bool) -> None:
    from clew.cli import draw
    from clew.cli.output import console, put

    screen = console()
    draw.header(screen, recording, open_)
    put(screen)
    spans = running.beside(recording.spans, open_)
    if not spans:
        put(screen, "Its spans were not kept (sampled out or expired); the numbers above are exact.")
        return
    grown = build(spans, recording.loops, recording.gates, keep_duplicates=every)
    lines, note = _arranged(grown, every=every)
    run: Row = recording.run or {"started_ns": spans[0].start_ns}
    left_out = draw.tree(screen, lines, run["started_ns"], len(recording.loops), None if every else LONGEST)
    notes = [note] if note else []
    if left_out:
        notes.append(f"{plural(left_out, 'more line')} left out; --all shows every span")
    if grown.duplicates:
        notes.append(f"{plural(grown.duplicates, 'span')} hidden of calls already counted; --all shows them")
    if grown.orphans:
        notes.append(f"{draw.ORPHAN_SIGN} the span's parent is not stored; it hangs under the first root")
    if grown.stray_gates:
        notes.append(f"{plural(len(grown.stray_gates), 'gate')} on spans that are not stored")
    if recording.cut:
        notes.append(f"only the first {MAX_SPANS:,} spans are shown")
    if notes:
        put(screen)
    for line in notes:
        put(screen, line)


def _arranged(grown: Tree, *, every: bool) -> tuple[list[Line], str]:
    """The lines to print, and what to say about them."""
    from clew.cli.fold import folded, merged, unfolded

    if every:
        return unfolded(grown.roots), ""
    lines = folded(grown.roots)
    if _longer(lines, READABLE):
        return merged(grown.roots), "a long run: spans of a kind are merged under their parent; --all shows each"
    return lines, ""


def _longer(lines: list[Line], limit: int) -> bool:
    seen, pending = 0, list(lines)
    while pending and seen <= limit:
        seen += 1
        pending += pending.pop().children
    return seen > limit


def _data(recording: Recording) -> dict[str, Any]:
    """The recording for JSON: times as text, spans flat in order of their start."""
    return {
        "trace_id": recording.trace_id,
        "run": as_data(recording.run) if recording.run else None,
        "loops": [as_data(asdict(loop)) for loop in recording.loops],
        "gates": [as_data(asdict(gate)) for gate in recording.gates],
        "spans": [as_data({name: getattr(span, name) for name in _STORED}) for span in recording.spans],
        "cut": recording.cut,
    }
