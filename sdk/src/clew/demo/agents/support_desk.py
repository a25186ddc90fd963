"""A healthy run on an agent framework: LangGraph with LangChain's OpenAI model.

Nothing in the graph knows of clew: its model calls and tools are recorded by the official LangChain
instrumentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import SecretStr

import clew

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph


def look_up_order(order_id: str) -> dict[str, Any]:
    """Where an order is and whether it can still be changed."""
    return {"order_id": order_id, "state": "dispatched", "carrier": "DHL", "changeable": False}


def search_help_pages(query: str) -> list[str]:
    """Help pages that fit a question."""
    return [f"{query}: redirect the parcel in the carrier's app until 18:00 on the day of dispatch."]


def build_graph(model: ChatOpenAI) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The usual two nodes: the model, and the tools it asks for."""
    tools = [look_up_order, search_help_pages]
    with_tools = model.bind_tools(tools)

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [with_tools.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", answer)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile()


@clew.agent(name="support-desk")
def run(server: str) -> str:
    """Answers a customer; returns the answer."""
    model = ChatOpenAI(model="o4-mini", base_url=f"{server}/support-desk/v1", api_key=SecretStr("demo"))
    question = "I moved yesterday. Can you send order A-1042 to my new address?"
    messages = [SystemMessage("You help customers of a shop."), HumanMessage(question)]
    result = build_graph(model).invoke({"messages": messages})
    clew.outcome("success", score=0.9)
    return str(result["messages"][-1].content)
