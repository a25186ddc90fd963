"""From what a person types or reads of a trace id to the one that is meant, and back."""

from __future__ import annotations

from itertools import pairwise
from os.path import commonprefix
from typing import TYPE_CHECKING, NamedTuple

from clew.cli.errors import CliError
from clew.cli.text import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clew.cli.endpoint import Endpoint

#: Lists show so many characters of a trace id, and more where these do not tell it from all others.
SHORTEST = 8

#: If more ids than this begin like the listed ones (ids counted up from zero), they are shown whole.
_RELATIVES = 10_000

#: So many candidates are listed for a prefix that fits several.
_CANDIDATES = 10


class Found(NamedTuple):
    """One trace."""

    tenant_id: str
    trace_id: str


def find(endpoint: Endpoint, typed: str) -> Found:
    """The one trace whose id begins with ``typed``; a run if there is one, else any trace with spans.

    Raises:
        CliError: there is none, or several, which the message lists.
    """
    prefix = typed.strip().replace("-", "").lower()
    for table, tenant, column in (("runs", "tenant_id", "trace_id"), ("otel_traces", "TenantId", "TraceId")):
        rows = endpoint.rows(
            f"SELECT DISTINCT {tenant} AS tenant_id, {column} AS trace_id FROM {table} "
            f"WHERE startsWith({column}, {{prefix:String}}) ORDER BY trace_id LIMIT {{limit:UInt32}}",
            prefix=prefix,
            limit=_CANDIDATES + 1,
        )
        if len(rows) > 1:
            listed = [f"  {row['trace_id']}" for row in rows[:_CANDIDATES]]
            listed += ["  ..."] if len(rows) > _CANDIDATES else []
            raise CliError("\n".join([f"{typed!r} fits several runs; write more of one of these:", *listed]))
        if rows:
            return Found(**rows[0])
    raise CliError(f"no run's trace id begins with {escape(typed)!r}; `clew runs` lists them")


def shorten(endpoint: Endpoint, trace_ids: Sequence[str]) -> dict[str, str]:
    """For each id the shortest beginning, of `SHORTEST` characters at least, that no other run's id has."""
    rows = endpoint.rows(
        f"SELECT DISTINCT trace_id FROM runs WHERE substring(trace_id, 1, {SHORTEST}) IN {{starts:Array(String)}} "
        "LIMIT {limit:UInt32}",
        starts=sorted({trace_id[:SHORTEST] for trace_id in trace_ids}),
        limit=_RELATIVES,
    )
    if len(rows) == _RELATIVES:
        return {trace_id: trace_id for trace_id in trace_ids}
    # In sorted order an id has most in common with its neighbours.
    known = sorted({*trace_ids, *(row["trace_id"] for row in rows)})
    common = [len(commonprefix(pair)) for pair in pairwise(known)]  # noqa: RUF071 - text, not paths
    lengths = {known[i]: max([SHORTEST - 1, *common[max(0, i - 1) : i + 1]]) + 1 for i in range(len(known))}
    return {trace_id: trace_id[: lengths[trace_id]] for trace_id in trace_ids}
