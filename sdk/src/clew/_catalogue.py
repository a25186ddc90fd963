"""Which GenAI libraries are instrumented by which packages: data, and nothing else.

Official OpenTelemetry packages stand first; an OpenInference package is used where no official one is installed.
Both register themselves in the entry-point group `opentelemetry_instrumentor`.
"""

from __future__ import annotations

from typing import NamedTuple


class Library(NamedTuple):
    """A library whose model calls or agents can be recorded."""

    name: str
    """What users call it."""
    modules: tuple[str, ...]
    """Its modules, the first the one whose import means that it is used. They count with everything below them."""
    packages: tuple[str, ...]
    """Distributions that instrument it, the best first."""


OFFICIAL = "opentelemetry-instrumentation-genai-"
"""Prefix of the official packages; one that is installed but unknown here is taken for its entry point's name."""

LIBRARIES = (
    Library("agno", ("agno",), (f"{OFFICIAL}agno", "openinference-instrumentation-agno")),
    Library("anthropic", ("anthropic",), (f"{OFFICIAL}anthropic", "openinference-instrumentation-anthropic")),
    Library("autogen", ("autogen_agentchat",), ("openinference-instrumentation-autogen-agentchat",)),
    Library("bedrock", ("botocore",), (f"{OFFICIAL}bedrock", "openinference-instrumentation-bedrock")),
    Library("beeai", ("beeai_framework",), ("openinference-instrumentation-beeai",)),
    Library("claude-agent-sdk", ("claude_agent_sdk",), ("openinference-instrumentation-claude-agent-sdk",)),
    Library("crewai", ("crewai",), ("openinference-instrumentation-crewai",)),
    Library("dspy", ("dspy",), (f"{OFFICIAL}dspy", "openinference-instrumentation-dspy")),
    Library("google-adk", ("google.adk",), ("openinference-instrumentation-google-adk",)),
    Library(
        "google-genai",
        ("google.genai",),
        ("opentelemetry-instrumentation-google-genai", "openinference-instrumentation-google-genai"),
    ),
    Library("groq", ("groq",), ("openinference-instrumentation-groq",)),
    Library("haystack", ("haystack",), ("openinference-instrumentation-haystack",)),
    Library(
        "langchain",
        ("langchain_core", "langchain", "langgraph"),
        (f"{OFFICIAL}langchain", "openinference-instrumentation-langchain"),
    ),
    Library("litellm", ("litellm",), ("openinference-instrumentation-litellm",)),
    Library("llama-index", ("llama_index",), (f"{OFFICIAL}llama-index", "openinference-instrumentation-llama-index")),
    Library("mistralai", ("mistralai",), ("openinference-instrumentation-mistralai",)),
    Library("openai", ("openai",), (f"{OFFICIAL}openai", "openinference-instrumentation-openai")),
    Library("openai-agents", ("agents",), (f"{OFFICIAL}openai-agents", "openinference-instrumentation-openai-agents")),
    Library("portkey", ("portkey_ai",), (f"{OFFICIAL}portkey", "openinference-instrumentation-portkey")),
    Library("qwen-agent", ("qwen_agent",), (f"{OFFICIAL}qwen-agent",)),
    Library("smolagents", ("smolagents",), (f"{OFFICIAL}smolagents", "openinference-instrumentation-smolagents")),
    Library("vertexai", ("vertexai",), ("openinference-instrumentation-vertexai",)),
)
