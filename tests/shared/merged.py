"""What the tables' engines make of inserted rows, written down a second time: sums, minima, maxima, latest versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shared.pipeline import Recorder

Row = dict[str, Any]

_LEAST = {"root", "agent", "started_at"}
_GREATEST = {"outcome", "conversation_id", "user_id", "ended_at", "updated_at", "sampled"}


def merged_runs(sink: Recorder) -> dict[tuple[str, str], Row]:
    """run_deltas summed up: (tenant, trace) -> row. Tuples come as tuples of their values."""
    return _merged(
        sink.rows("run_deltas"),
        key=("tenant_id", "trace_id"),
        without=("day",),
        how=lambda name: min if name in _LEAST else max if name in _GREATEST else _plus,
    )


def merged_usage(sink: Recorder) -> dict[tuple[Any, ...], Row]:
    """usage_1m summed up: (minute, dimensions ...) -> sums, without rows that add up to nothing."""
    key = (
        "minute", "tenant_id", "service_name", "agent_name", "agent_version", "provider", "model", "tool_name", "op",
    )  # fmt: skip
    rows = _merged(sink.rows("usage_1m"), key=key, without=(), how=lambda _: _plus)
    for row in rows.values():
        row["duration_buckets"] = {bucket: count for bucket, count in row["duration_buckets"].items() if count}
    return {where: row for where, row in rows.items() if any(row.values())}


def current_loops(sink: Recorder) -> list[Row]:
    """Rows of the view `loops`."""
    latest: dict[tuple[Any, ...], Row] = {}
    for row in sink.rows("loop_versions"):
        key = (row["tenant_id"], row["trace_id"], row["pattern"], row["first_span_id"])
        if key not in latest or row["version"] >= latest[key]["version"]:
            latest[key] = row
    return [row for row in latest.values() if not row["deleted"]]


def _merged(
    rows: Iterable[Row], *, key: tuple[str, ...], without: tuple[str, ...], how: Callable[[str], Callable[..., Any]]
) -> dict[Any, Row]:
    found: dict[Any, Row] = {}
    for row in rows:
        where = tuple(row[name] for name in key)
        values = {name: _plain(value) for name, value in row.items() if name not in key and name not in without}
        if where in found:
            found[where] = {name: how(name)(found[where][name], value) for name, value in values.items()}
        else:
            found[where] = values
    return found


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return tuple(value.values())
        case list():
            return dict(value)
    return value


def _plus(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        return {bucket: one.get(bucket, 0) + other.get(bucket, 0) for bucket in one.keys() | other.keys()}
    return one + other
