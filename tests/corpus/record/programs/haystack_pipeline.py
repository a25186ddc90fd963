"""Haystack: a pipeline with a chat generator, an agent, retrieval."""

import os

import harness

harness.set_up()

from haystack import Document, Pipeline  # noqa: E402
from haystack.components.agents import Agent  # noqa: E402
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder  # noqa: E402
from haystack.components.generators.chat import OpenAIChatGenerator  # noqa: E402
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever  # noqa: E402
from haystack.dataclasses import ChatMessage  # noqa: E402
from haystack.document_stores.in_memory import InMemoryDocumentStore  # noqa: E402
from haystack.tools import Tool  # noqa: E402

del os, Document, OpenAIDocumentEmbedder


def generator(**more):
    if harness.KIND[harness.SCENARIO] == "streamed":
        more["streaming_callback"] = lambda _: None
        if harness.STREAM_USAGE:
            more["generation_kwargs"] = {"stream_options": {"include_usage": True}}
    return OpenAIChatGenerator(model=harness.OPENAI_MODEL, api_base_url=harness.OPENAI_URL, **more)


def opening(prompt):
    return [ChatMessage.from_system(harness.SYSTEM), ChatMessage.from_user(prompt)]


def one(prompt):
    pipeline = Pipeline()
    pipeline.add_component("llm", generator())
    return pipeline.run({"llm": {"messages": opening(prompt)}})["llm"]["replies"][0].text


streamed = one


def loop(prompt):
    weather = Tool("get_weather", "Current weather.", harness.WEATHER_SCHEMA, harness.get_weather)
    agent = Agent(chat_generator=generator(), tools=[weather], system_prompt=harness.SYSTEM, max_agent_steps=12)
    return agent.run(messages=[ChatMessage.from_user(prompt)])["messages"][-1].text


def rag(prompt):
    store = InMemoryDocumentStore()
    from haystack import Document

    store.write_documents([Document(content=text, embedding=[0.1, 0.2, 0.3, 0.4]) for text in harness.DOCUMENTS])
    pipeline = Pipeline()
    pipeline.add_component(
        "embedder", OpenAITextEmbedder(model=harness.EMBEDDING_MODEL, api_base_url=harness.OPENAI_URL)
    )
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=1))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    found = pipeline.run({"embedder": {"text": prompt}})["retriever"]["documents"]
    return one(f"{prompt}\n\n{found[0].content}")


harness.main(globals())
