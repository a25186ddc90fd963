"""A budget stop: a reasoning model over OpenAI's responses API, and a gate that watches the money."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from openai import OpenAI

import clew
from clew.demo.agents.toolbox import describe, toolbox
from clew.demo.prices import call_cost
from clew.demo.script import Tokens

if TYPE_CHECKING:
    from openai.types.responses import ResponseUsage

MODEL = "o4-mini"
BUDGET = Decimal("0.02")


@clew.tool
def search_web(query: str) -> list[dict[str, str]]:
    """Web pages about a topic."""
    return [{"title": f"About {query}", "url": "https://example.com/report"}]


TOOLS = toolbox(search_web)


def within_budget(spent: Decimal) -> bool:
    """The budget: no further model call once the run has cost more than `BUDGET`."""
    with clew.gate("run-budget", kind="budget", phase="input") as gate:
        if spent <= BUDGET:
            gate.allow()
            return True
        gate.deny(f"spent ${spent} of ${BUDGET}")
        return False


def price(usage: ResponseUsage) -> Decimal:
    """What one answer cost, by list price."""
    cached = usage.input_tokens_details.cached_tokens
    return call_cost(MODEL, Tokens(usage.input_tokens, usage.output_tokens, cache_read=cached))


@clew.agent(name="market-researcher")
def run(server: str) -> str:
    """Researches a market until it is done or the money is; returns what came of it."""
    client = OpenAI(base_url=f"{server}/market-researcher/v1", api_key="demo")
    tools: Any = [{"type": "function", "strict": False} | tool for tool in describe(TOOLS.values())]
    conversation: list[Any] = [{"role": "user", "content": "How is the European heat pump market doing?"}]
    spent = Decimal(0)
    while within_budget(spent):
        with clew.step("iterate"):
            response = client.responses.create(model=MODEL, input=conversation, tools=tools)
            if response.usage is not None:
                spent += price(response.usage)
            calls = [item for item in response.output if item.type == "function_call"]
            if not calls:
                clew.outcome("success")
                return response.output_text
            conversation.extend(item.model_dump(exclude_none=True) for item in response.output)
            for call in calls:
                result = TOOLS[call.name](**json.loads(call.arguments))
                conversation.append(
                    {"type": "function_call_output", "call_id": call.call_id, "output": json.dumps(result)}
                )
    clew.outcome("partial", score=0.3)
    return f"stopped by its budget of ${BUDGET}, having spent ${spent}"
