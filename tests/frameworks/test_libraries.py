"""Each supported library as a user has it: one import of clew, the real library, and what the processor counts.

Libraries of requirements.lock run in `make test`, some cases each; all of all by `make test-frameworks`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from frameworks.run import Library, Outcome, Sent, libraries, replayed, run, total, tree
from shared.trace_sink import attributes

TOKENS = {
    "input_tokens": "input_tokens_total",
    "output_tokens": "output_tokens_total",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "reasoning_tokens": "reasoning",
}
"""Column of `runs` : kind of the truth."""
CONVERSATION = {
    "o4-mini": "7741 995 5632 0 576 0.0082467",
    "claude-sonnet-4-5": "7741 995 5632 576 0 0.0233736",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0": "7741 995 5632 576 0 0.02571096",
    "gemini-2.5-flash": "7741 995 5632 0 576 0.00328916",
}
"""What C1 comes to, through whatever library: tokens by kind as in TOKENS, US dollars."""
AGENTS = frozenset({"invoke_agent", "AGENT"})
CALLS = frozenset({"chat", "generate_content", "embeddings"})
COMPLAINTS = re.compile(
    r"^Traceback|detach|clew (failed|lost)|is not used, its library|already instrument|Overriding", re.MULTILINE
)
"""What telemetry gone wrong looks like on stderr."""


def cases() -> list[Any]:
    found = []
    for library in libraries():
        for case in library.cases:
            fast = library.fast and case in library.row["fast"]
            found.append(
                pytest.param(library, case, id=f"{library.name}-{case}", marks=() if fast else pytest.mark.frameworks)
            )
    return found


def counted(lines: list[dict[str, Any]]) -> dict[str, str]:
    """What `runs` says, over all runs."""
    columns = (*TOKENS, "cost_usd", "model_calls", "tool_calls", "errors")
    return {column: _plain(total(lines, column)) for column in columns}


def served(outcome: Outcome) -> dict[str, str]:
    """The same of what the server did."""
    truth = outcome.truth
    sums = truth["totals_on_wire"]
    return {
        **{column: _plain(sums[kind]) for column, kind in TOKENS.items()},
        "cost_usd": _plain(sums["cost_usd_at_list"]),
        "model_calls": str(truth["model_calls"]),
        "tool_calls": str(truth["tool_calls"]),
        "errors": str(truth["model_calls_failed"]),
    }


def without_agent(sent: Sent) -> list[str]:
    """Model calls inside of an agent that do not say its name as they leave the process."""
    spans = {
        span.span_id: (span, attributes(span))
        for request in sent.requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }

    def is_of(said: dict[str, Any], kinds: frozenset[str]) -> bool:
        return bool(kinds & {said.get("gen_ai.operation.name"), said.get("openinference.span.kind")})

    def in_agent(parent: bytes) -> bool:
        if parent not in spans:
            return False
        above, said = spans[parent]
        return is_of(said, AGENTS) or in_agent(above.parent_span_id)

    inner = [(span, said) for span, said in spans.values() if is_of(said, CALLS) and in_agent(span.parent_span_id)]
    return [span.name for span, said in inner if not said.get("gen_ai.agent.name")]


def _plain(number: Any) -> str:
    return f"{Decimal(str(number)).normalize():f}"


@pytest.mark.parametrize(("library", "case"), cases())
def test_library_is_recorded_as_it_was_served(library: Library, case: str):
    outcome = run(library, case)
    complaints = {found.group() for found in COMPLAINTS.finditer(outcome.stderr)} - set(
        library.row.get("complains", [])
    )
    assert (outcome.code, complaints) == (0, set()), outcome.stderr
    lines = replayed(outcome.sent)
    assert tree(lines).splitlines() == library.trees()[case].splitlines()
    assert without_agent(outcome.sent) == []
    told, truth = counted(lines), served(outcome)
    if "left" in case.split() or any(not call["usage_on_wire"] for call in outcome.truth["per_call"]):
        # Nobody has the usage, or not all of it, and whoever guesses says so; which is no error.
        truth |= {name: told[name] for name in (*TOKENS, "cost_usd")}
        runs = [line["run"] for line in lines if "run" in line]
        assert not any(one.get("status") == "error" for one in runs)
        assert "partial" in {one["usage_known"] for one in runs}
    departs = library.departures(case)
    assert not [name for name, seen in departs.items() if truth[name] == seen], "known to differ, and does not"
    assert told == truth | departs
    if case.startswith("C1") and not departs:
        model = outcome.truth["per_call"][0]["model_requested"]
        assert " ".join(told[name] for name in (*TOKENS, "cost_usd")) == CONVERSATION[model]


@pytest.mark.parametrize("library", [pytest.param(library, id=library.name) for library in libraries()])
def test_every_case_has_its_tree_and_every_library_its_cases(library: Library):
    assert sorted(library.trees()) == sorted(library.cases)
    assert set(library.row.get("fast", [])) <= set(library.cases)
    assert {case for one in library.row.get("departs", []) for case in one["cases"]} <= set(library.cases)
    assert all(one["why"] for one in library.row.get("departs", []))
