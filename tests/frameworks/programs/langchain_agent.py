"""LangChain's chat model, and `create_agent`, which is a graph of LangGraph."""

import clew.auto  # noqa: F401, I001

import harness
import scripted
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model=harness.OPENAI_MODEL, base_url=harness.OPENAI_URL, api_key="sk-test", stream_usage=True)
CONFIG = {"configurable": {"thread_id": harness.SESSION}, "recursion_limit": 40}


def opening(prompt):
    return [SystemMessage(harness.SYSTEM), HumanMessage(prompt)]


def asked(prompt):
    return {"messages": [HumanMessage(prompt)]}


@tool
def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.weather_or_error(city)


def agent(tools, system=harness.SYSTEM, name="travel_assistant"):
    return create_agent(model, tools, system_prompt=system, name=name)


def one(prompt):
    return model.invoke(opening(prompt)).text


async def one_async(prompt):
    return (await model.ainvoke(opening(prompt))).text


def streamed(prompt):
    return "".join(piece.text for piece in model.stream(opening(prompt)))


async def streamed_async(prompt):
    return "".join([piece.text async for piece in model.astream(opening(prompt))])


def left(prompt):
    for piece in model.stream(opening(prompt)):
        if piece.text:
            return piece.text
    return None


async def left_async(prompt):
    async for piece in model.astream(opening(prompt)):
        if piece.text:
            return piece.text
    return None


def loop(prompt):
    return agent([get_weather]).invoke(asked(prompt), CONFIG)["messages"][-1].text


async def loop_async(prompt):
    parts = agent([get_weather]).astream(asked(prompt), CONFIG, stream_mode="values")
    return [part async for part in parts][-1]["messages"][-1].text


def handover(prompt):
    expert = agent([], "You are an expert in weather.", "weather_expert")

    @tool
    def ask_weather_expert(question: str) -> str:
        """Hand the question over to the weather expert."""
        return expert.invoke(asked(question))["messages"][-1].text

    return agent([ask_weather_expert]).invoke(asked(prompt))["messages"][-1].text


scripted.main(globals())
