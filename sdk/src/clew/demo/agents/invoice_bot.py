"""A run in which things fail and are tried again: a tool, a rate limit, a broken server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openai import InternalServerError, OpenAI

import clew
from clew.demo.agents.chat_loop import chat_loop, chat_tools
from clew.demo.agents.toolbox import toolbox

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessage

MODEL = "gpt-4o-mini"
FALLBACK_MODEL = "o4-mini"


@clew.tool
def fetch_invoices(customer: str, limit: int) -> list[dict[str, Any]]:
    """Open invoices of a customer, newest first."""
    if limit > 100:
        raise TimeoutError(f"the billing database did not return {limit} invoices within 5 s")
    return [
        {"customer": customer, "number": "2026-131", "amount": 1210.50, "overdue": False},
        {"customer": customer, "number": "2026-117", "amount": 3100.00, "overdue": True},
    ]


TOOLS = toolbox(fetch_invoices)


def run_tool(name: str, arguments: dict[str, Any]) -> Any:
    """Tries a tool twice; what went wrong the second time is for the model to solve."""
    try:
        return TOOLS[name](**arguments)
    except TimeoutError:
        pass
    try:
        return TOOLS[name](**arguments)
    except TimeoutError as error:
        return {"error": str(error)}


@clew.agent(name="invoice-bot")
def run(server: str) -> str:
    """Answers a question about invoices; returns the answer."""
    # The client itself waits and retries where a server asks for it, as with the 429 this run starts with.
    client = OpenAI(base_url=f"{server}/invoice-bot/v1", api_key="demo")

    def ask(messages: list[Any]) -> ChatCompletionMessage:
        tools = chat_tools(TOOLS)
        try:
            answer = client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
        except InternalServerError:
            answer = client.chat.completions.create(model=FALLBACK_MODEL, messages=messages, tools=tools)
        return answer.choices[0].message

    summary = chat_loop(
        ask,
        run_tool,
        task="You answer questions about invoices.",
        question="Which invoices of Acme are open, and is one overdue?",
        max_steps=6,
    )
    clew.outcome("success", score=0.8)
    return summary
