"""Agents' conversations as they go over the wire: every model call sends the whole history again."""

from __future__ import annotations

import itertools
import json
import random
from typing import TYPE_CHECKING

from shared.genai import MODEL, at
from shared.otlp import message, request, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_LETTERS, _OFTEN = "etaoinshrdlcumwfgypbvk", [12, 9, 8, 8, 7, 7, 6, 6, 6, 4, 4, 3, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1]


class Writer:
    """Prose of made-up words, as frequent as English ones: a few often, most of them seldom. Packs as badly, too."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        lengths = [2 + min(10, rank // 20) if rank < 100 else self._random.randint(4, 10) for rank in range(20_000)]
        self._words = ["".join(self._random.choices(_LETTERS, _OFTEN, k=length)) for length in lengths]
        self._weights = list(itertools.accumulate(1 / (rank + 10) for rank in range(len(lengths))))

    def prose(self, words: int) -> str:
        return " ".join(self._random.choices(self._words, cum_weights=self._weights, k=words)).capitalize() + "."

    def __call__(self, least: int, most: int) -> str:
        return self.prose(self._random.randint(least, most))


def interleaved(conversations: int, steps: int, *, seed: int = 1) -> Iterator[ExportTraceServiceRequest]:
    """One request for each step, in it that step's model call and tool call of every conversation.

    A step adds two messages: what the model said (with the tool call it asks for) and what the tool answered. System
    instructions and tool definitions are sent with each model call.
    """
    write = Writer(seed)
    system = json.dumps([{"type": "text", "content": write.prose(250)}])
    tools = json.dumps([{"type": "function", "name": f"tool_{i}", "description": write.prose(40)} for i in range(12)])
    histories = [[json.dumps(message("user", write(20, 60)))] for _ in range(conversations)]
    for step in range(steps):
        spans = []
        for number, history in enumerate(histories):
            arguments = json.dumps({"query": write(4, 10), "page": step})
            call = {"type": "tool_call", "id": f"call_{number}_{step}", "name": "tool_3", "arguments": arguments}
            answer = json.dumps(message("assistant", write(15, 80), call))
            result = write(60, 400)
            fields = {"trace_id": 1_000_000 + number, "start": at(step * 10 + number / 100)}
            spans.append(
                span(
                    f"chat {MODEL}",
                    {
                        "gen_ai.operation.name": "chat",
                        "gen_ai.provider.name": "openai",
                        "gen_ai.request.model": MODEL,
                        "gen_ai.response.id": f"chatcmpl-{number:06}-{step:06}",
                        "gen_ai.usage.input_tokens": 700 + step * 140,
                        "gen_ai.usage.output_tokens": 60,
                        "gen_ai.conversation.id": f"conversation-{number}",
                        "gen_ai.system_instructions": system,
                        "gen_ai.tool.definitions": tools,
                        "gen_ai.input.messages": f"[{','.join(history)}]",
                        "gen_ai.output.messages": f"[{answer}]",
                    },
                    span_id=number * 1000 + step * 2 + 1,
                    **fields,
                )
            )
            spans.append(
                span(
                    "execute_tool tool_3",
                    {
                        "gen_ai.operation.name": "execute_tool",
                        "gen_ai.tool.name": "tool_3",
                        "gen_ai.tool.call.id": call["id"],
                        "gen_ai.tool.call.arguments": arguments,
                        "gen_ai.tool.call.result": result,
                    },
                    span_id=number * 1000 + step * 2 + 2,
                    **fields,
                )
            )
            response = {"type": "tool_call_response", "id": call["id"], "response": result}
            history += [answer, json.dumps(message("tool", response))]
        yield request(*spans)
