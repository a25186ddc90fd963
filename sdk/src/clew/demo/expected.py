"""The hand calculation: what must be on record for each run, from what the model server served."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from clew.demo.errors import DemoError
from clew.demo.prices import call_cost
from clew.demo.script import Failure, Reply, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clew.demo.scenarios import Scenario
    from clew.demo.script import Served


@dataclass(frozen=True)
class Expected:
    """What must be on record for one run; field names are those of the table `runs`.

    Attributes:
        model_calls: Calls as the agent made them: a 429 that the client retried by itself is no call of its
            own, an error that reached the agent is.
        loop_cost_usd: What the model calls cost that asked for the looping call once more: its second repetition
            and every later one.
    """

    agent_name: str
    outcome: str
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


def expected_run(scenario: Scenario, served: Iterable[Served]) -> Expected:
    """Works out what must be on record for one scenario.

    Args:
        scenario: The run.
        served: The server's ledger; lines of other runs are passed over.

    Raises:
        DemoError: The ledger does not hold the scenario's script from its first to its last answer, so the
            agent did something else than the scenario says.
    """
    lines = [line for line in served if line.run == scenario.agent]
    answers = tuple(line.answer for line in lines)
    if answers != scenario.script:
        raise DemoError(
            f"{scenario.agent}: the model server served {len(answers)} answers and the script has "
            f"{len(scenario.script)}, or they differ; the last one was {answers[-1] if answers else None}"
        )
    replies = [(line.model, line.answer) for line in lines if isinstance(line.answer, Reply)]
    seen_failures = sum(isinstance(answer, Failure) and answer.retry_after is None for answer in answers)
    costs = [call_cost(model, reply.tokens) for model, reply in replies]
    # The looping runs of the demo loop to their very end.
    wasted = costs[1 - scenario.repetitions :] if scenario.repetitions else []
    tokens = sum((reply.tokens for _, reply in replies), Tokens(0, 0))
    return Expected(
        agent_name=scenario.agent,
        outcome=scenario.outcome,
        model_calls=len(replies) + seen_failures,
        tool_calls=scenario.tool_runs,
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
        cost_usd=sum(costs, Decimal(0)),
        loops=int(scenario.repetitions > 0),
        loop_cost_usd=sum(wasted, Decimal(0)),
        gates=scenario.gates,
        gates_denied=scenario.gates_denied,
    )
