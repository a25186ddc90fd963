"""LangChain's chat models and `create_agent`, over OpenAI or Anthropic (CORPUS_PROVIDER)."""

import os

import harness

harness.set_up()

from langchain_core.messages import HumanMessage, SystemMessage  # noqa: E402
from langchain_core.tools import tool  # noqa: E402

if os.environ.get("CORPUS_PROVIDER") == "anthropic":
    from langchain_anthropic import ChatAnthropic

    model = ChatAnthropic(model=harness.ANTHROPIC_MODEL, base_url=harness.MODEL_URL, api_key="sk-test", max_tokens=4096)
else:
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(
        model=harness.OPENAI_MODEL, base_url=harness.OPENAI_URL, api_key="sk-test", stream_usage=harness.STREAM_USAGE
    )


def opening(prompt):
    return [SystemMessage(harness.SYSTEM), HumanMessage(prompt)]


def one(prompt):
    return model.invoke(opening(prompt), {"callbacks": harness.callbacks}).text


def streamed(prompt):
    return "".join(str(piece.text) for piece in model.stream(opening(prompt), {"callbacks": harness.callbacks}))


@tool
def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.get_weather(city)


def agent(tools, system, name):
    try:
        from langchain.agents import create_agent
    except ImportError:
        from langgraph.prebuilt import create_react_agent

        return create_react_agent(model, tools, prompt=system, name=name)
    return create_agent(model, tools, system_prompt=system, name=name)


def loop(prompt):
    get_weather.handle_tool_error = True
    try:
        answer = agent([get_weather], harness.SYSTEM, "travel_assistant").invoke(
            {"messages": [HumanMessage(prompt)]},
            {"configurable": {"thread_id": harness.SESSION}, "recursion_limit": 40, "callbacks": harness.callbacks},
        )
    except LookupError:
        if harness.SCENARIO != "S12":
            raise
        # The agent does not catch it; the application asks on without the tool.
        return model.invoke([*opening(prompt), HumanMessage("The tool failed: no weather station in Atlantis.")]).text
    return answer["messages"][-1].text


def approved(prompt):
    from langchain.agents import create_agent
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command, interrupt

    @tool("get_weather")
    def asks_first(city: str) -> str:
        """Current weather of a city."""
        return harness.get_weather(city) if interrupt({"look up": city}) else "refused by the user"

    asking = create_agent(
        model, [asks_first], system_prompt=harness.SYSTEM, checkpointer=InMemorySaver(), name="travel_assistant"
    )
    config = {"configurable": {"thread_id": harness.SESSION}, "callbacks": harness.callbacks}
    asking.invoke({"messages": [HumanMessage(prompt)]}, config)
    return asking.invoke(Command(resume=harness.ALLOWED), config)["messages"][-1].text


def handover(prompt):
    expert = agent([], "You are an expert in weather.", "weather_expert")

    @tool
    def ask_weather_expert(question: str) -> str:
        """Hand the question over to the weather expert."""
        return expert.invoke({"messages": [HumanMessage(question)]})["messages"][-1].text

    answer = agent([ask_weather_expert], harness.SYSTEM, "travel_assistant").invoke(
        {"messages": [HumanMessage(prompt)]}
    )
    return answer["messages"][-1].text


def rag(prompt):
    from langchain_core.documents import Document
    from langchain_core.vectorstores import InMemoryVectorStore
    from langchain_openai import OpenAIEmbeddings

    embeddings = OpenAIEmbeddings(
        model=harness.EMBEDDING_MODEL, base_url=harness.OPENAI_URL, api_key="sk-test", check_embedding_ctx_length=False
    )
    store = InMemoryVectorStore(embeddings)
    store.add_documents([Document(text) for text in harness.DOCUMENTS])
    found = store.as_retriever(search_kwargs={"k": 1}).invoke(prompt)
    return one(f"{prompt}\n\n{found[0].page_content}")


harness.main(globals())
