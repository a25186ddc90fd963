"""What the benchmark's spans look like: agent traces as the official GenAI instrumentations and clew's SDK send them.

Three shapes, all deterministic for a seed:

* `small`: 30 spans a trace (an agent, its model calls, tool calls, a gate, a reasoning step, an HTTP call), 10 to 16
  attributes and about 400 bytes each, content limited to the tools' arguments.
* `large`: the same traces with content on: messages, arguments and results bring a span to about 4 kB. No text twice.
* `growing`: 100 interleaved conversations of 30 steps, a model call and a tool call a step. Each model call resends
  the whole history, the system instructions and the tool definitions; a span has about 12 kB on average.

Texts and ids that must differ each time the same spans are sent again hold `MARK`.
"""

from __future__ import annotations

import json
import random
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARK = "~p000~"
SPANS_PER_TRACE = 30
CONVERSATIONS = 100
STEPS = 30

_MODELS = (
    ("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
    ("openai", "o4-mini", "o4-mini-2025-04-16"),
    ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
    ("gcp.gemini", "gemini-2.5-flash", "gemini-2.5-flash"),
)
_TOOLS = ("search_orders", "read_file", "run_query", "send_email", "lookup_customer", "web_search", "calculator")
_AGENTS = ("triage", "researcher", "support", "billing")
_SYLLABLES = re.findall("..", "tarenmoliversondeaalingestcompertionblecaroneesiquathstanou")
_ERROR_SHARE = 0.02
_EVENT_SHARE = 0.05


@dataclass(frozen=True, eq=False, slots=True)
class Sender:
    """Who sends a span: the resource and the scope it stands under."""

    resource: Resource
    scope: InstrumentationScope


class Traced(NamedTuple):
    """A span and its sender."""

    sender: Sender
    span: Span


_RESOURCES = tuple(
    {
        "service.name": f"agents-{name}",
        "service.version": "2026.11.3",
        "service.instance.id": f"7b0c2f4e-{index:04d}-4d55-9d1a-6b1f0a7c11aa",
        "deployment.environment.name": "production",
        "telemetry.sdk.language": "python",
    }
    for index, name in enumerate(_AGENTS)
)


def small(traces: int, seed: int = 1) -> Iterator[list[Traced]]:
    """Traces of 30 spans of about 400 bytes.

    Args:
        traces: How many.
        seed: Of everything random in them.

    Yields:
        A trace's spans in the order in which they end: the root last.
    """
    rng = random.Random(seed)
    for _ in range(traces):
        yield _trace(rng, _nothing)


def large(traces: int, seed: int = 2) -> Iterator[list[Traced]]:
    """Traces of 30 spans of about 4 kB, content on; as `small` otherwise."""
    rng = random.Random(seed)
    words = _Words(rng)
    for _ in range(traces):
        yield _trace(rng, lambda kind: _content(kind, words))


def growing(seed: int = 3) -> Iterator[list[Traced]]:
    """The interleaved conversations.

    Yields:
        The spans of one step of one conversation after the other; after the last step the roots.
    """
    rng = random.Random(seed)
    words = _Words(rng)
    setups = [_setup(words) for _ in _AGENTS]
    runs = [_Conversation(rng, words, setups, index) for index in range(CONVERSATIONS)]
    for _ in range(STEPS):
        for run in runs:
            yield run.step()
    for run in runs:
        yield [run.root()]


def attributes(values: dict[str, object]) -> list[KeyValue]:
    """Attributes of a span or resource."""
    return [KeyValue(key=key, value=_value(value)) for key, value in values.items()]


def _value(value: object) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[_value(item) for item in value]))
    return AnyValue(string_value=str(value))


SENDERS = tuple(
    Sender(
        Resource(attributes=attributes(dict(resource))),
        InstrumentationScope(name="opentelemetry.instrumentation.genai", version="1.3b0"),
    )
    for resource in _RESOURCES
)


class _Words:
    """English-like text that never repeats: slices of a long random sequence of words."""

    _SIZE = 8_000_000

    def __init__(self, rng: random.Random) -> None:
        vocabulary = ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4))) for _ in range(4000)]
        weights = [1 / (rank + 5) for rank in range(len(vocabulary))]
        self._text = " ".join(rng.choices(vocabulary, weights, k=self._SIZE // 8))
        self._rng = rng
        self._serial = 0

    def text(self, size: int) -> str:
        """About `size` characters, unlike any other."""
        self._serial += 1
        start = self._rng.randrange(len(self._text) - size)
        return f"{MARK}{self._serial:x} {self._text[start : start + size]}"


def _nothing(_kind: str) -> dict[str, object]:
    return {}


def _content(kind: str, words: _Words) -> dict[str, object]:
    if kind == "chat":
        return {
            "gen_ai.input.messages": json.dumps(
                [
                    _message("user", words.text(1400)),
                    _message("assistant", words.text(500)),
                    _message("user", words.text(600)),
                ]
            ),
            "gen_ai.output.messages": json.dumps([_message("assistant", words.text(900)) | {"finish_reason": "stop"}]),
        }
    if kind == "tool":
        return {"gen_ai.tool.call.result": json.dumps({"rows": [words.text(400) for _ in range(8)]})}
    return {"app.note": words.text(3300)}


def _message(role: str, text: str) -> dict[str, object]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _trace(rng: random.Random, content: Callable[[str], dict[str, object]]) -> list[Traced]:
    service = rng.randrange(len(_AGENTS))
    trace_id, root_id = rng.randbytes(16), rng.randbytes(8)
    agent, conversation = _AGENTS[service], f"c{rng.getrandbits(40):x}"
    now = time.time_ns() - rng.randrange(20_000_000_000)
    spans = []
    kinds = ["chat", "tool"] * 13 + ["gate", "step", "http"]
    for position, kind in enumerate(kinds):
        start = now + position * 300_000_000
        values = _KINDS[kind](rng, agent, conversation) | content(kind)
        span = Span(
            trace_id=trace_id,
            span_id=rng.randbytes(8),
            parent_span_id=root_id,
            name=_name(kind, values),
            kind=Span.SPAN_KIND_CLIENT if kind in {"chat", "http"} else Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=start,
            end_time_unix_nano=start + rng.randrange(5_000_000, 290_000_000),
            attributes=attributes(values),
        )
        if rng.random() < _EVENT_SHARE:
            failed = rng.random() < _ERROR_SHARE / _EVENT_SHARE
            event = span.events.add(time_unix_nano=start + 1_000_000, name="exception" if failed else "retry")
            event.attributes.extend(attributes({"exception.type": "TimeoutError"} if failed else {"attempt": 1}))
            if failed:
                span.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message="timed out"))
                span.attributes.extend(attributes({"error.type": "TimeoutError"}))
        spans.append(Traced(SENDERS[service], span))
    values = _agent(rng, agent, conversation) | content("agent")
    root = Span(
        trace_id=trace_id,
        span_id=root_id,
        name=f"invoke_agent {agent}",
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=now - 1_000_000,
        end_time_unix_nano=now + len(kinds) * 300_000_000,
        attributes=attributes(values),
    )
    return [*spans, Traced(SENDERS[service], root)]


def _name(kind: str, values: dict[str, object]) -> str:
    match kind:
        case "chat":
            return f"chat {values['gen_ai.request.model']}"
        case "tool":
            return f"execute_tool {values['gen_ai.tool.name']}"
        case "http":
            return "GET"
    return f"clew.{kind}"


def _chat(rng: random.Random, _agent: str, conversation: str) -> dict[str, object]:
    provider, requested, model = rng.choice(_MODELS)
    prompt = rng.randrange(300, 30_000)
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": requested,
        "gen_ai.response.model": model,
        "gen_ai.response.id": f"r{MARK}{rng.getrandbits(48):x}",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": prompt,
        "gen_ai.usage.cache_read.input_tokens": prompt // 2,
        "gen_ai.usage.output_tokens": rng.randrange(20, 1500),
        "gen_ai.conversation.id": conversation,
    }


def _tool(rng: random.Random, agent: str, conversation: str) -> dict[str, object]:
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": rng.choice(_TOOLS),
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": f"{MARK}{rng.getrandbits(48):x}",
        "gen_ai.tool.call.arguments": json.dumps({"id": f"{MARK}{rng.getrandbits(40):x}"}),
        "gen_ai.agent.name": agent,
        "gen_ai.conversation.id": conversation,
        "thread.id": rng.randrange(1 << 20),
        "attempt": 1,
        "cached": False,
    }


def _gate(rng: random.Random, agent: str, conversation: str) -> dict[str, object]:
    return {
        "clew.gate.name": "spend-limit",
        "clew.gate.kind": "policy",
        "clew.gate.phase": "pre_tool",
        "clew.gate.outcome": "deny" if rng.random() < _ERROR_SHARE else "allow",
        "clew.gate.source": "policy",
        "clew.gate.actor.type": "service",
        "gen_ai.agent.name": agent,
        "gen_ai.conversation.id": conversation,
        "code.function.name": "gates.spend.check",
        "thread.name": "worker-3",
    }


def _step(rng: random.Random, agent: str, conversation: str) -> dict[str, object]:
    return {
        "clew.step.kind": "plan",
        "clew.step.index": rng.randrange(1, 30),
        "clew.decision.confidence": rng.random(),
        "clew.decision.chosen": "search before answering",
        "gen_ai.agent.name": agent,
        "gen_ai.conversation.id": conversation,
        "code.function.name": "agent.plan",
        "thread.id": rng.randrange(1 << 40),
        "thread.name": "worker-3",
        "app.experiment": "planner-b",
    }


def _http(rng: random.Random, _agent: str, _conversation: str) -> dict[str, object]:
    return {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.full": f"https://inventory.internal.example/v2/items/{rng.getrandbits(40)}?fields=name,price",
        "url.scheme": "https",
        "server.address": "inventory.internal.example",
        "server.port": 443,
        "network.protocol.version": "1.1",
        "network.peer.address": "10.12.7.33",
        "user_agent.original": "python-httpx/0.28.1",
        "http.response.body.size": rng.randrange(200, 90_000),
    }


def _agent(rng: random.Random, agent: str, conversation: str) -> dict[str, object]:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": agent,
        "gen_ai.agent.id": f"agent_{agent}_01",
        "gen_ai.agent.version": "14",
        "gen_ai.conversation.id": conversation,
        "gen_ai.provider.name": "openai",
        "user.id": f"user_{rng.getrandbits(20)}",
        "clew.outcome.status": "success",
        "app.experiment": "planner-b",
        "app.region": "eu-central-1",
    }


_KINDS: dict[str, Callable[[random.Random, str, str], dict[str, object]]] = {
    "chat": _chat,
    "tool": _tool,
    "gate": _gate,
    "step": _step,
    "http": _http,
}


def _setup(words: _Words) -> dict[str, object]:
    """Instructions and tools: an agent's, so that all its runs send the same."""
    return {
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": words.text(1600)}]),
        "gen_ai.tool.definitions": json.dumps([_definition(name, words) for name in _TOOLS]),
    }


class _Conversation:
    """One run whose model calls carry everything said before."""

    def __init__(self, rng: random.Random, words: _Words, setups: list[dict[str, object]], index: int) -> None:
        self._rng = rng
        self._words = words
        self._service = index % len(_AGENTS)
        self._agent = _AGENTS[self._service]
        self._name = f"conv_{index:04d}_{MARK}"
        self._trace_id, self._root_id = rng.randbytes(16), rng.randbytes(8)
        self._start = self._now = time.time_ns() - 30_000_000_000 + rng.randrange(1_000_000_000)
        self._setup = setups[self._service]
        self._history: list[dict[str, object]] = [_message("user", words.text(400))]

    def step(self) -> list[Traced]:
        """The spans of a model call that asks for a tool, and of the tool."""
        values = _chat(self._rng, self._agent, self._name)
        call = _tool(self._rng, self._agent, self._name)
        request = {
            "type": "tool_call",
            "id": call["gen_ai.tool.call.id"],
            "name": call["gen_ai.tool.name"],
            "arguments": {"query": self._words.text(120)},
        }
        answer = {
            "role": "assistant",
            "parts": [{"type": "text", "content": self._words.text(280)}, request],
            "finish_reason": "tool_call",
        }
        result = self._words.text(350)
        values |= self._setup | {
            "gen_ai.input.messages": json.dumps(self._history),
            "gen_ai.output.messages": json.dumps([answer]),
        }
        call |= {
            "gen_ai.tool.call.arguments": json.dumps(request["arguments"]),
            "gen_ai.tool.call.result": result,
        }
        response = {"type": "tool_call_response", "id": request["id"], "response": result}
        self._history += [answer, {"role": "tool", "parts": [response]}]
        return [self._span("chat", values), self._span("tool", call)]

    def root(self) -> Traced:
        """The agent's own span."""
        values = _agent(self._rng, self._agent, self._name)
        span = Span(
            trace_id=self._trace_id,
            span_id=self._root_id,
            name=f"invoke_agent {self._agent}",
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=self._start,
            end_time_unix_nano=self._now,
            attributes=attributes(values),
        )
        return Traced(SENDERS[self._service], span)

    def _span(self, kind: str, values: dict[str, object]) -> Traced:
        start, self._now = self._now, self._now + 400_000_000
        span = Span(
            trace_id=self._trace_id,
            span_id=self._rng.randbytes(8),
            parent_span_id=self._root_id,
            name=_name(kind, values),
            kind=Span.SPAN_KIND_CLIENT if kind == "chat" else Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=start,
            end_time_unix_nano=self._now,
            attributes=attributes(values),
        )
        return Traced(SENDERS[self._service], span)


def _definition(name: str, words: _Words) -> dict[str, object]:
    return {
        "type": "function",
        "name": name,
        "description": words.text(180),
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string", "description": words.text(60)}, "limit": {"type": "integer"}},
            "required": ["query"],
        },
    }
