"""What a scripted model server says: replies, failures, tokens and tool calls, as data.

A `Script` is the list of answers one run gets, in order. Token counts follow clew's tables and the
OpenTelemetry GenAI conventions: `input` includes what was read from and written to the cache, `output`
includes reasoning. The wire shapes, which disagree about that, are the business of `clew.demo.wire`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Tokens:
    """Tokens of one model call, as inclusive totals.

    Attributes:
        input: All tokens the model read, cached ones included.
        output: All tokens the model wrote, reasoning included.
        cache_read: Part of `input` that came out of the prompt cache.
        cache_write: Part of `input` that was put into the prompt cache (Anthropic's five-minute cache).
        reasoning: Part of `output` that the caller never sees.
    """

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.reasoning + other.reasoning,
        )


@dataclass(frozen=True)
class ToolCall:
    """A tool the model asks for; `arguments` is the JSON text exactly as the model writes it."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """A successful answer: text, tool calls or both, and what it cost in tokens.

    Attributes:
        tokens: The usage the server reports.
        text: The words of the answer; streamed a few words at a time.
        calls: Tool calls the model asks for; with any, the finish reason is the API's own "tool calls" word.
        seconds: How long the model pretends to think; tests turn this off with `ModelServer(pace=0)`.
    """

    tokens: Tokens
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    seconds: float = 0.1


@dataclass(frozen=True)
class Failure:
    """An HTTP error instead of an answer.

    Attributes:
        status: The HTTP status, for example 429 or 500.
        message: The error's text, in the API's own error shape.
        retry_after: Seconds the client is told to wait before it tries again by itself, or None when it is
            told not to (`x-should-retry: false`, which both official clients obey) and raises.
    """

    status: int
    message: str
    retry_after: float | None = None


Script: TypeAlias = tuple[Reply | Failure, ...]
Scripts: TypeAlias = "Mapping[str, Script]"


@dataclass(frozen=True)
class Served:
    """One line of the server's own ledger: what really went over the wire.

    Attributes:
        run: The run whose script was followed.
        api: `openai.chat`, `openai.responses` or `anthropic.messages`.
        model: The model the client asked for.
        response_model: The model the answer names; empty for a failure.
        response_id: The answer's id, unique for every answer ever served; empty for a failure.
        tool_call_ids: Ids of the tool calls in the answer, in order.
        stream: Whether the answer was streamed.
        usage_sent: Whether the token counts were part of the answer (OpenAI streams carry them only when
            asked).
        answer: The scripted answer itself.
    """

    run: str
    api: str
    model: str
    response_model: str
    response_id: str
    tool_call_ids: tuple[str, ...]
    stream: bool
    usage_sent: bool
    answer: Reply | Failure
