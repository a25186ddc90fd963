"""What is on record of the demo's runs, read back by SQL through the query endpoint, and how it compares."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from decimal import Decimal
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

from clew.demo.errors import DemoError
from clew.demo.expected import Expected
from clew.demo.processor import LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SERVICE_NAME = "clew-demo"

_RUNS = f"""
SELECT trace_id, agent_name, status, outcome, steps, model_calls, tool_calls, input_tokens, output_tokens,
       cache_read_tokens, cache_write_tokens, toString(cost_usd) AS cost_usd, loops,
       toString(loop_cost_usd) AS loop_cost_usd, gates, gates_denied
FROM runs WHERE service_name = '{SERVICE_NAME}' ORDER BY agent_name, started_at
"""


@dataclass(frozen=True)
class Recorded:
    """One row of the table `runs`, by its column names."""

    trace_id: str
    agent_name: str
    status: str
    outcome: str
    steps: int
    model_calls: int
    tool_calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: Decimal
    loops: int
    loop_cost_usd: Decimal
    gates: int
    gates_denied: int


_PARSE = {"str": str, "int": int, "Decimal": Decimal}


def recorded_runs(query_address: str) -> list[Recorded]:
    """The demo's runs as they are on record now, by agent.

    Raises:
        DemoError: The query endpoint does not answer, or answers with an error.
    """
    rows = _select(query_address, _RUNS)
    # 64-bit numbers and decimals come as text or as numbers; the field says which they are.
    return [Recorded(**{f.name: _PARSE[str(f.type)](row[f.name]) for f in fields(Recorded)}) for row in rows]


def differences(expected: Sequence[Expected], recorded: Iterable[Recorded]) -> list[str]:
    """Where the record is not what it must be: a line for each field, run by run; empty when all is equal.

    Numbers are compared exactly; a cost that differs in its ninth decimal is a difference.
    """
    by_agent: dict[str, list[Recorded]] = {}
    for run in recorded:
        by_agent.setdefault(run.agent_name, []).append(run)
    found: list[str] = []
    for want in expected:
        runs = by_agent.pop(want.agent_name, [])
        if len(runs) != 1:
            found.append(f"{want.agent_name}: {len(runs)} runs on record, 1 expected")
            continue
        for field in fields(Expected):
            wanted, got = getattr(want, field.name), getattr(runs[0], field.name)
            if wanted != got:
                found.append(f"{want.agent_name}: {field.name} is {got} on record, {wanted} by hand")
    found += [f"{agent or '(no agent)'}: {len(runs)} runs nobody made" for agent, runs in by_agent.items()]
    return found


def _select(query_address: str, sql: str) -> list[dict[str, Any]]:
    url = f"http://{query_address}/?database=clew&default_format=JSON"
    try:
        with LOCAL.open(url, data=sql.encode(), timeout=30) as response:
            answer = json.loads(response.read())
    except HTTPError as error:
        raise DemoError(f"the query endpoint refused a query: {error.read().decode(errors='replace')}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise DemoError(f"the query endpoint at {query_address} does not answer: {error}") from error
    data: list[dict[str, Any]] = answer["data"]
    return data
