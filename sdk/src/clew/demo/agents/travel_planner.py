"""A healthy run: a plain loop over OpenAI's chat completions, streamed, with a warm prompt cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openai import OpenAI

import clew
from clew.demo.agents.chat_loop import chat_loop, chat_tools
from clew.demo.agents.toolbox import toolbox

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessage


@clew.tool
def search_flights(origin: str, destination: str, month: str) -> list[dict[str, Any]]:
    """Cheapest return flights between two cities in a month."""
    return [{"from": origin, "to": destination, "airline": "TAP", "date": f"12 {month}", "price": 168}]


@clew.tool
def get_weather(city: str, month: str) -> dict[str, Any]:
    """Typical weather of a city in a month."""
    return {"city": city, "month": month, "high": 23, "rainy_days": 4}


@clew.tool
def find_hotel(city: str, nights: int, max_price: int) -> dict[str, Any]:
    """A well rated hotel below a price per night."""
    return {"name": "Casa do Jardim", "city": city, "nights": nights, "price": min(109, max_price)}


TOOLS = toolbox(search_flights, get_weather, find_hotel)


@clew.agent(name="travel-planner")
def run(server: str) -> str:
    """Plans a trip; returns the plan."""
    client = OpenAI(base_url=f"{server}/travel-planner/v1", api_key="demo")

    def ask(messages: list[Any]) -> ChatCompletionMessage:
        with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=messages,
            tools=chat_tools(TOOLS),
            stream_options={"include_usage": True},
        ) as stream:
            return stream.get_final_completion().choices[0].message

    plan = chat_loop(
        ask,
        run_tool=lambda name, arguments: TOOLS[name](**arguments),
        task="You plan short trips. Use the tools, stay within the budget.",
        question="Three days in Lisbon in May, from Vienna, for at most 900 euros.",
        max_steps=6,
    )
    clew.outcome("success", score=0.95)
    return plan
