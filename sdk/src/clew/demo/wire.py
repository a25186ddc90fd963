"""The three model APIs as bytes: one scripted answer in, the JSON or the server-sent events of one API out.

Each API is an `Api`: where it listens, how it words an answer, a stream of events and an error. Shapes follow
the providers' public API references (OpenAI chat completions and responses, Anthropic messages); only the
fields that the official clients need are sent.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew.demo.script import Failure, Reply

# A model's alias and the dated snapshot the provider answers with.
SNAPSHOTS = {
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "o4-mini": "o4-mini-2025-04-16",
}


@dataclass(frozen=True)
class Answer:
    """A reply with the identities it goes out under."""

    reply: Reply
    model: str
    id: str
    call_ids: tuple[str, ...]


class Api(Protocol):
    """One model API: how it words a scripted answer."""

    name: str
    path: str
    id_prefix: str
    call_prefix: str

    def usage_is_sent(self, request: dict[str, Any]) -> bool:
        """Whether an answer to this request carries its token counts."""

    def body(self, answer: Answer) -> dict[str, Any]:
        """The whole answer as one JSON object."""

    def events(self, answer: Answer, request: dict[str, Any]) -> Iterator[str]:
        """The answer as server-sent events, each a complete `event:`/`data:` frame."""

    def error(self, failure: Failure) -> dict[str, Any]:
        """The error as one JSON object."""


def make_answer(api: Api, reply: Reply, model: str) -> Answer:
    """Gives a reply fresh ids in the API's own style; ids are never reused, as a provider's are not."""
    return Answer(
        reply=reply,
        model=SNAPSHOTS.get(model, model),
        id=f"{api.id_prefix}{uuid.uuid4().hex[:24]}",
        call_ids=tuple(f"{api.call_prefix}{uuid.uuid4().hex[:24]}" for _ in reply.calls),
    )


class OpenAIChat:
    """`POST /v1/chat/completions`."""

    name = "openai.chat"
    path = "/v1/chat/completions"
    id_prefix = "chatcmpl-"
    call_prefix = "call_"

    def usage_is_sent(self, request: dict[str, Any]) -> bool:
        """Always, except in a stream that did not ask for `stream_options.include_usage`."""
        if not request.get("stream"):
            return True
        return bool((request.get("stream_options") or {}).get("include_usage"))

    def body(self, answer: Answer) -> dict[str, Any]:
        """A `chat.completion` object."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.reply.text or None, "refusal": None}
        if answer.reply.calls:
            message["tool_calls"] = [
                {
                    "id": call_id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call_id, call in zip(answer.call_ids, answer.reply.calls, strict=True)
            ]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self._finish(answer.reply),
        }
        return self._envelope(answer, "chat.completion") | {
            "choices": [choice],
            "usage": self._usage(answer.reply),
        }

    def events(self, answer: Answer, request: dict[str, Any]) -> Iterator[str]:
        """`chat.completion.chunk` objects: role, words, tool calls, finish reason, usage, `[DONE]`."""
        envelope = self._envelope(answer, "chat.completion.chunk")

        def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return _data(envelope | {"choices": [choice]})

        yield chunk({"role": "assistant", "content": ""})
        for piece in _pieces(answer.reply.text):
            yield chunk({"content": piece})
        for index, (call_id, call) in enumerate(zip(answer.call_ids, answer.reply.calls, strict=True)):
            head = {"name": call.name, "arguments": ""}
            yield chunk({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": head}]})
            for piece in _pieces(call.arguments):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        yield chunk({}, self._finish(answer.reply))
        if self.usage_is_sent(request):
            yield _data(envelope | {"choices": [], "usage": self._usage(answer.reply)})
        yield "data: [DONE]\n\n"

    def error(self, failure: Failure) -> dict[str, Any]:
        """OpenAI's `{"error": {...}}`."""
        return _openai_error(failure)

    def _envelope(self, answer: Answer, kind: str) -> dict[str, Any]:
        return {"id": answer.id, "object": kind, "created": int(time.time()), "model": answer.model}

    def _finish(self, reply: Reply) -> str:
        return "tool_calls" if reply.calls else "stop"

    def _usage(self, reply: Reply) -> dict[str, Any]:
        tokens = reply.tokens
        return {
            "prompt_tokens": tokens.input,
            "completion_tokens": tokens.output,
            "total_tokens": tokens.input + tokens.output,
            "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": tokens.reasoning, "audio_tokens": 0},
        }


class OpenAIResponses:
    """`POST /v1/responses`."""

    name = "openai.responses"
    path = "/v1/responses"
    id_prefix = "resp_"
    call_prefix = "call_"

    def usage_is_sent(self, request: dict[str, Any]) -> bool:
        """Always: the last event of a stream is the whole response."""
        del request
        return True

    def body(self, answer: Answer) -> dict[str, Any]:
        """A completed `response` object."""
        tokens = answer.reply.tokens
        usage = {
            "input_tokens": tokens.input,
            "input_tokens_details": {"cached_tokens": tokens.cache_read},
            "output_tokens": tokens.output,
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
            "total_tokens": tokens.input + tokens.output,
        }
        return self._response(answer, "completed") | {"output": self._items(answer), "usage": usage}

    def events(self, answer: Answer, request: dict[str, Any]) -> Iterator[str]:
        """Typed events: created, every item in pieces, completed."""
        del request
        sequence = 0

        def event(kind: str, **fields: Any) -> str:
            nonlocal sequence
            sequence += 1
            return _event(kind, {"type": kind, "sequence_number": sequence - 1} | fields)

        yield event("response.created", response=self._response(answer, "in_progress") | {"output": []})
        for index, item in enumerate(self._items(answer)):
            where = {"output_index": index, "item_id": item["id"]}
            yield event("response.output_item.added", output_index=index, item=item | _unfinished(item))
            if item["type"] == "message":
                part = item["content"][0]
                yield event("response.content_part.added", **where, content_index=0, part=part | {"text": ""})
                for piece in _pieces(part["text"]):
                    yield event("response.output_text.delta", **where, content_index=0, delta=piece, logprobs=[])
                yield event("response.output_text.done", **where, content_index=0, text=part["text"], logprobs=[])
                yield event("response.content_part.done", **where, content_index=0, part=part)
            elif item["type"] == "function_call":
                for piece in _pieces(item["arguments"]):
                    yield event("response.function_call_arguments.delta", **where, delta=piece)
                yield event(
                    "response.function_call_arguments.done",
                    **where,
                    name=item["name"],
                    arguments=item["arguments"],
                )
            yield event("response.output_item.done", output_index=index, item=item)
        yield event("response.completed", response=self.body(answer))

    def error(self, failure: Failure) -> dict[str, Any]:
        """OpenAI's `{"error": {...}}`."""
        return _openai_error(failure)

    def _response(self, answer: Answer, status: str) -> dict[str, Any]:
        return {
            "id": answer.id,
            "object": "response",
            "created_at": int(time.time()),
            "status": status,
            "model": answer.model,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "temperature": 1.0,
            "top_p": 1.0,
        }

    def _items(self, answer: Answer) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        suffix = answer.id.removeprefix(self.id_prefix)
        if answer.reply.tokens.reasoning:
            items.append({"type": "reasoning", "id": f"rs_{suffix}", "summary": []})
        if answer.reply.text:
            part = {"type": "output_text", "text": answer.reply.text, "annotations": [], "logprobs": []}
            message = {"type": "message", "id": f"msg_{suffix}", "role": "assistant", "status": "completed"}
            items.append(message | {"content": [part]})
        for call_id, call in zip(answer.call_ids, answer.reply.calls, strict=True):
            identity = {"id": call_id.replace("call_", "fc_", 1), "call_id": call_id, "status": "completed"}
            named = {"name": call.name, "arguments": call.arguments}
            items.append({"type": "function_call"} | identity | named)
        return items


class AnthropicMessages:
    """`POST /v1/messages`."""

    name = "anthropic.messages"
    path = "/v1/messages"
    id_prefix = "msg_"
    call_prefix = "toolu_"

    def usage_is_sent(self, request: dict[str, Any]) -> bool:
        """Always: a stream has the input's share in its first event and the output's in its last but one."""
        del request
        return True

    def body(self, answer: Answer) -> dict[str, Any]:
        """A `message` object."""
        blocks: list[dict[str, Any]] = []
        if answer.reply.text:
            blocks.append({"type": "text", "text": answer.reply.text})
        for call_id, call in zip(answer.call_ids, answer.reply.calls, strict=True):
            blocks.append({"type": "tool_use", "id": call_id, "name": call.name, "input": json.loads(call.arguments)})
        ending = {"stop_reason": self._stop_reason(answer.reply), "usage": self._usage(answer.reply)}
        return self._message(answer) | {"content": blocks} | ending

    def events(self, answer: Answer, request: dict[str, Any]) -> Iterator[str]:
        """message_start, each content block in pieces, message_delta with the output tokens, message_stop."""
        del request

        def event(kind: str, **fields: Any) -> str:
            return _event(kind, {"type": kind} | fields)

        # Like the real API: the first event knows the input, and counts one token of output to start with.
        usage = self._usage(answer.reply) | {"output_tokens": 1}
        yield event("message_start", message=self._message(answer) | {"content": [], "usage": usage})
        index = 0
        if answer.reply.text:
            yield event("content_block_start", index=index, content_block={"type": "text", "text": ""})
            for piece in _pieces(answer.reply.text):
                yield event("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})
            yield event("content_block_stop", index=index)
            index += 1
        for call_id, call in zip(answer.call_ids, answer.reply.calls, strict=True):
            block = {"type": "tool_use", "id": call_id, "name": call.name, "input": {}}
            yield event("content_block_start", index=index, content_block=block)
            for piece in _pieces(call.arguments):
                delta = {"type": "input_json_delta", "partial_json": piece}
                yield event("content_block_delta", index=index, delta=delta)
            yield event("content_block_stop", index=index)
            index += 1
        ending = {"stop_reason": self._stop_reason(answer.reply), "stop_sequence": None}
        yield event("message_delta", delta=ending, usage={"output_tokens": answer.reply.tokens.output})
        yield event("message_stop")

    def error(self, failure: Failure) -> dict[str, Any]:
        """Anthropic's `{"type": "error", "error": {...}}`."""
        kind = "rate_limit_error" if failure.status == 429 else "api_error"
        return {"type": "error", "error": {"type": kind, "message": failure.message}}

    def _message(self, answer: Answer) -> dict[str, Any]:
        fixed = {"type": "message", "role": "assistant", "stop_reason": None, "stop_sequence": None}
        return {"id": answer.id, "model": answer.model} | fixed

    def _stop_reason(self, reply: Reply) -> str:
        return "tool_use" if reply.calls else "end_turn"

    def _usage(self, reply: Reply) -> dict[str, Any]:
        # Anthropic counts cached input beside `input_tokens`, not in it.
        tokens = reply.tokens
        return {
            "input_tokens": tokens.input - tokens.cache_read - tokens.cache_write,
            "cache_read_input_tokens": tokens.cache_read,
            "cache_creation_input_tokens": tokens.cache_write,
            "cache_creation": {
                "ephemeral_5m_input_tokens": tokens.cache_write,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": tokens.output,
            "service_tier": "standard",
        }


APIS: tuple[Api, ...] = (OpenAIChat(), OpenAIResponses(), AnthropicMessages())


def _openai_error(failure: Failure) -> dict[str, Any]:
    kind = "rate_limit_exceeded" if failure.status == 429 else "server_error"
    return {"error": {"message": failure.message, "type": kind, "param": None, "code": kind}}


_UNFINISHED: dict[str, dict[str, Any]] = {
    "message": {"content": [], "status": "in_progress"},
    "function_call": {"arguments": "", "status": "in_progress"},
}


def _unfinished(item: dict[str, Any]) -> dict[str, Any]:
    """What of a responses item is still empty when the item is announced."""
    return _UNFINISHED.get(item["type"], {})


def _pieces(text: str, words: int = 4) -> Iterator[str]:
    """The text in pieces of a few words; joined again they are the text."""
    parts = text.split(" ")
    for start in range(0, len(parts) if text else 0, words):
        yield " ".join(parts[start : start + words]) + (" " if start + words < len(parts) else "")


def _data(payload: dict[str, Any]) -> str:
    return f"data: {json.dumps(payload)}\n\n"


def _event(kind: str, payload: dict[str, Any]) -> str:
    return f"event: {kind}\n{_data(payload)}"
