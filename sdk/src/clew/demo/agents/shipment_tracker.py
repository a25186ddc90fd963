"""A run that loops: the parcel does not move, and the model asks for it again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openai import OpenAI

import clew
from clew.demo.agents.chat_loop import chat_loop, chat_tools
from clew.demo.agents.toolbox import StepLimitError, toolbox

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessage


@clew.tool
def find_order(customer: str) -> dict[str, Any]:
    """The latest order of a customer."""
    return {"order_id": "A-2077", "customer": customer, "carrier": "DHL"}


@clew.tool
def track_shipment(order_id: str, carrier: str) -> dict[str, Any]:
    """Where a parcel is right now."""
    return {"order_id": order_id, "carrier": carrier, "status": "in transit", "place": "Leipzig"}


TOOLS = toolbox(find_order, track_shipment)


@clew.agent(name="shipment-tracker")
def run(server: str) -> str:
    """Waits for a parcel; returns why it gave up."""
    client = OpenAI(base_url=f"{server}/shipment-tracker/v1", api_key="demo")

    def ask(messages: list[Any]) -> ChatCompletionMessage:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=chat_tools(TOOLS))
        return answer.choices[0].message

    try:
        return chat_loop(
            ask,
            run_tool=lambda name, arguments: TOOLS[name](**arguments),
            task="You follow parcels. Answer only when the parcel has been delivered.",
            question="Tell me when Ines Duarte's order has arrived.",
            max_steps=7,
        )
    except StepLimitError as limit:
        clew.outcome("failure", score=0.0)
        return str(limit)
