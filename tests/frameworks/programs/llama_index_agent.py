"""LlamaIndex: a model called directly, FunctionAgent, and a vector index."""

import clew.auto  # noqa: F401, I001

import harness
import scripted
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI

streams = {"additional_kwargs": {"stream_options": {"include_usage": True}}} if harness.SCENARIO == "S2" else {}
llm = OpenAI(model=harness.OPENAI_MODEL, api_base=harness.OPENAI_URL, api_key="sk-test", max_retries=1, **streams)


def opening(prompt):
    return [ChatMessage(role="system", content=harness.SYSTEM), ChatMessage(role="user", content=prompt)]


def one(prompt):
    return llm.chat(opening(prompt)).message.content


async def one_async(prompt):
    return (await llm.achat(opening(prompt))).message.content


def streamed(prompt):
    return "".join(piece.delta or "" for piece in llm.stream_chat(opening(prompt)))


async def streamed_async(prompt):
    return "".join([piece.delta or "" async for piece in await llm.astream_chat(opening(prompt))])


def left(prompt):
    for piece in llm.stream_chat(opening(prompt)):
        if piece.delta:
            return piece.delta
    return None


async def left_async(prompt):
    async for piece in await llm.astream_chat(opening(prompt)):
        if piece.delta:
            return piece.delta
    return None


def get_weather(city: str) -> str:
    """Current weather of a city."""
    return harness.get_weather(city)


def plan() -> str:
    """Plan a day."""
    return "museum"


def agent(*tools, name="travel_assistant", **more):
    about = {"name": name, "description": f"The {name}.", "system_prompt": harness.SYSTEM}
    return FunctionAgent(tools=list(tools), llm=llm, streaming=False, **about, **more)


async def loop_async(prompt):
    return str(await agent(get_weather).run(user_msg=prompt))


async def handover_async(prompt):
    first, expert = agent(plan, can_handoff_to=["weather_expert"]), agent(get_weather, name="weather_expert")
    return str(await AgentWorkflow(agents=[first, expert], root_agent="travel_assistant").run(user_msg=prompt))


def rag(prompt):
    embed = OpenAIEmbedding(model=harness.EMBEDDING_MODEL, api_base=harness.OPENAI_URL, api_key="sk-test")
    index = VectorStoreIndex.from_documents([Document(text=text) for text in harness.DOCUMENTS], embed_model=embed)
    return str(index.as_query_engine(llm=llm, similarity_top_k=1).query(prompt))


scripted.main(globals())
