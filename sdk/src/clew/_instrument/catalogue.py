"""Which GenAI libraries are recorded by what: data, and nothing else.

The order is always the same: the official OpenTelemetry package, then the library's own OpenTelemetry output, then
OpenInference's package. The first that is installed, and meant for the version of the library that is installed, is
turned on, and no other. Packages register themselves in the entry-point group `opentelemetry_instrumentor`; how own
output is turned on is in `_own_output`.

A provider's client under a framework is recorded as well, each by its own line here: a framework's span of a model
call and the client's span below it are told apart by the processor, which counts one of the two. Where the framework's
instrumentation has no model calls at all, or none with tokens, `beside` names the libraries whose lines supply them.
"""

from __future__ import annotations

from typing import NamedTuple


class Library(NamedTuple):
    """A library whose model calls, tools or agents can be recorded."""

    name: str
    """What users call it; also the extra that covers it, if `extra`."""
    distribution: str
    """The distribution that holds the first of the modules; empty for one that is not listed here."""
    modules: tuple[str, ...]
    """Its modules, the first the one whose import means that it is used. They count with everything below them."""
    packages: tuple[str, ...]
    """Distributions that record it, the best first; its own distribution stands for its own output."""
    own_since: str = ""
    """The first version with an output of its own that is worth having."""
    extra: bool = False
    """Whether `pip install 'clew[NAME]'` covers it."""
    own_off: str = ""
    """Environment variable that turns its own output off if `false`: so clew sets it where a package records it."""
    beside: tuple[str, ...] = ()
    """Libraries whose instrumentation supplies the model calls that this one's lacks."""


OFFICIAL = "opentelemetry-instrumentation-genai-"
"""Prefix of the official packages; one that is installed but unknown here is taken for its entry point's name."""
_INFERENCE = "openinference-instrumentation-"

LIBRARIES = (
    # Its own output: agent, model and tool spans, in the newest conventions.
    Library(
        "agent-framework",
        "agent-framework-core",
        ("agent_framework",),
        ("agent-framework-core",),
        own_since="1.0",
        extra=True,
    ),
    Library("agno", "agno", ("agno",), (f"{OFFICIAL}agno", f"{_INFERENCE}agno")),
    # Its own spans (from 2 on) come by themselves wherever a provider is set: each call would be there twice.
    Library(
        "anthropic",
        "anthropic",
        ("anthropic",),
        (f"{OFFICIAL}anthropic", "anthropic", f"{_INFERENCE}anthropic"),
        own_since="2",
        own_off="ANTHROPIC_OPEN_TELEMETRY",
        extra=True,
    ),
    # Its own spans are the agents; OpenInference's would stand beside them, and each tool would be there twice.
    Library(
        "autogen",
        "autogen-agentchat",
        ("autogen_agentchat",),
        ("autogen-agentchat", f"{_INFERENCE}autogen-agentchat"),
        own_since="0.7",
        extra=True,
        beside=("openai", "anthropic"),
    ),
    # The official package changes aiobotocore with it, where that is installed.
    Library(
        "bedrock", "botocore", ("botocore", "aiobotocore"), (f"{OFFICIAL}bedrock", f"{_INFERENCE}bedrock"), extra=True
    ),
    Library("beeai", "beeai-framework", ("beeai_framework",), (f"{_INFERENCE}beeai",)),
    Library("claude-agent-sdk", "claude-agent-sdk", ("claude_agent_sdk",), (f"{_INFERENCE}claude-agent-sdk",)),
    # OpenInference's spans of a crew have no model calls: those are the client's.
    Library(
        "crewai",
        "crewai",
        ("crewai",),
        (f"{_INFERENCE}crewai",),
        extra=True,
        beside=("openai", "anthropic", "litellm"),
    ),
    Library("dspy", "dspy", ("dspy",), (f"{OFFICIAL}dspy", f"{_INFERENCE}dspy")),
    Library("google-adk", "google-adk", ("google.adk",), (f"{_INFERENCE}google-adk",)),
    # The official package (1.3b0) is for google-genai before 3, OpenInference's for all.
    Library(
        "google-genai",
        "google-genai",
        ("google.genai",),
        ("opentelemetry-instrumentation-google-genai", f"{_INFERENCE}google-genai"),
        extra=True,
    ),
    Library("groq", "groq", ("groq",), (f"{_INFERENCE}groq",)),
    Library("haystack", "haystack-ai", ("haystack",), (f"{_INFERENCE}haystack",)),
    Library(
        "langchain",
        "langchain-core",
        ("langchain_core", "langchain", "langgraph"),
        (f"{OFFICIAL}langchain", f"{_INFERENCE}langchain"),
        extra=True,
    ),
    # Its own callback makes traces of its own and writes usage as the text of Python dictionaries.
    Library("litellm", "litellm", ("litellm",), (f"{_INFERENCE}litellm",), extra=True),
    Library(
        "llama-index",
        "llama-index-core",
        ("llama_index.core", "llama_index"),
        (f"{OFFICIAL}llama-index", f"{_INFERENCE}llama-index"),
        extra=True,
        beside=("openai", "anthropic"),
    ),
    # Client and server record themselves from 2 on, and hand the trace on in the request's _meta. OpenInference's
    # package makes no spans.
    Library("mcp", "mcp", ("mcp",), ("mcp",), own_since="2", extra=True),
    Library("mistralai", "mistralai", ("mistralai",), (f"{_INFERENCE}mistralai",)),
    Library("openai", "openai", ("openai",), (f"{OFFICIAL}openai", f"{_INFERENCE}openai"), extra=True),
    # The official spans are the agents and tools, without model calls; OpenInference's have no cache reads over chat
    # completions. Official with the client's beside it is right.
    Library(
        "openai-agents",
        "openai-agents",
        ("agents",),
        (f"{OFFICIAL}openai-agents", f"{_INFERENCE}openai-agents"),
        extra=True,
        beside=("openai",),
    ),
    Library("portkey", "portkey-ai", ("portkey_ai",), (f"{OFFICIAL}portkey", f"{_INFERENCE}portkey")),
    # Its own output has the sums of an agent under names of their own, so that nothing is counted twice.
    Library("pydantic-ai", "pydantic-ai-slim", ("pydantic_ai",), ("pydantic-ai-slim",), own_since="2", extra=True),
    Library("qwen-agent", "qwen-agent", ("qwen_agent",), (f"{OFFICIAL}qwen-agent",)),
    Library(
        "smolagents",
        "smolagents",
        ("smolagents",),
        (f"{OFFICIAL}smolagents", f"{_INFERENCE}smolagents"),
        extra=True,
        beside=("openai", "litellm"),
    ),
    Library("vertexai", "google-cloud-aiplatform", ("vertexai",), (f"{_INFERENCE}vertexai",)),
)
