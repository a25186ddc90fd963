"""Messages of every known shape have the canonical form of what they say."""

from __future__ import annotations

import json
from typing import Any

import clew_kernel
import pytest

from shared.kernel import KEY, content, contents, decode, decoder, values
from shared.otlp import request, span

ARGUMENTS = {"city": "Paris", "days": 2}
ENCODED = '{"days": 2, "city": "Paris"}'
RESULT = {"sky": "clear", "degrees": 21}
ENCODED_RESULT = '{"degrees": 21, "sky": "clear"}'
SYSTEM, QUESTION, ANSWER = "You are brief.", 'What should I pack for "Paris"?\nRéponds 🙂', "It is 21°C: pack light."
SAYS = "Let me look."

# One conversation of system, user, assistant with words and a call, the tool's answer, assistant; in canonical form.
CANONICAL = [
    {"parts": [{"content": SYSTEM, "type": "text"}], "role": "system"},
    {"parts": [{"content": QUESTION, "type": "text"}], "role": "user"},
    {
        "parts": [
            {"content": SAYS, "type": "text"},
            {"arguments": ARGUMENTS, "id": "c1", "name": "weather", "type": "tool_call"},
        ],
        "role": "assistant",
    },
    {"parts": [{"id": "c1", "response": RESULT, "type": "tool_call_response"}], "role": "tool"},
    {"parts": [{"content": ANSWER, "type": "text"}], "role": "assistant"},
]


def text_part(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def openai_call(arguments: Any) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": arguments}}


def langchain(of: str, **more: Any) -> dict[str, Any]:
    path = ["langchain", "schema", "messages", of]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": {"id": "run-1", **more}}


LANGCHAIN_CALL = {"name": "weather", "args": ARGUMENTS, "id": "c1", "type": "tool_call"}

SHAPES: dict[str, list[dict[str, Any]]] = {
    "OpenTelemetry": [
        {"role": "system", "parts": [{"type": "text", "content": SYSTEM}], "name": None},
        {"role": "user", "parts": [{"content": QUESTION, "type": "text"}]},
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": SAYS},
                {"type": "tool_call", "id": "c1", "name": "weather", "arguments": ARGUMENTS},
            ],
            "finish_reason": "tool_call",
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": ENCODED_RESULT}]},
        {"role": "assistant", "parts": [{"type": "text", "content": ANSWER}], "finish_reason": "stop"},
    ],
    "Pydantic AI 2": [
        {"role": "system", "parts": [{"type": "text", "content": SYSTEM}]},
        {"role": "user", "parts": [{"type": "text", "content": QUESTION}]},
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": SAYS},
                {"type": "tool_call", "id": "c1", "name": "weather", "arguments": ENCODED},
            ],
        },
        {"role": "user", "parts": [{"type": "tool_call_response", "id": "c1", "name": "weather", "result": RESULT}]},
        {"role": "assistant", "parts": [{"type": "text", "content": ANSWER}]},
    ],
    "Pydantic AI 1": [
        {"event.name": "gen_ai.system.message", "content": SYSTEM, "role": "system", "gen_ai.message.index": 0},
        {"event.name": "gen_ai.user.message", "content": QUESTION, "role": "user", "gen_ai.message.index": 0},
        {
            "event.name": "gen_ai.assistant.message",
            "role": "assistant",
            "content": SAYS,
            "tool_calls": [openai_call(ARGUMENTS)],
        },
        {"event.name": "gen_ai.tool.message", "content": RESULT, "role": "tool", "id": "c1", "name": "weather"},
        {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": ANSWER}},
    ],
    "OpenAI chat": [
        {"role": "developer", "content": SYSTEM},
        {"role": "user", "content": [text_part(QUESTION)]},
        {"role": "assistant", "content": SAYS, "tool_calls": [openai_call(ENCODED)], "refusal": None},
        {"role": "tool", "tool_call_id": "c1", "content": ENCODED_RESULT},
        {"role": "assistant", "content": ANSWER, "annotations": [], "refusal": None},
    ],
    "Anthropic": [
        {"role": "system", "content": [text_part(SYSTEM) | {"cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": QUESTION},
        {
            "role": "assistant",
            "content": [text_part(SAYS), {"type": "tool_use", "id": "c1", "name": "weather", "input": ARGUMENTS}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [text_part(ENCODED_RESULT)]}],
        },
        {"id": "msg_1", "type": "message", "role": "assistant", "content": [text_part(ANSWER)], "stop_reason": "end"},
    ],
    "Gemini": [
        {"role": "system", "parts": [{"text": SYSTEM}]},
        {"role": "user", "parts": [{"text": QUESTION}]},
        {
            "role": "model",
            "parts": [{"text": SAYS}, {"functionCall": {"id": "c1", "name": "weather", "args": ARGUMENTS}}],
        },
        {
            "role": "user",
            "parts": [{"functionResponse": {"id": "c1", "name": "weather", "response": {"result": RESULT}}}],
        },
        {"content": {"role": "model", "parts": [{"text": ANSWER}]}, "finishReason": "STOP"},
    ],
    "Bedrock": [
        {"role": "system", "content": [{"text": SYSTEM}]},
        {"role": "user", "content": [{"text": QUESTION}]},
        {
            "role": "assistant",
            "content": [{"text": SAYS}, {"toolUse": {"toolUseId": "c1", "name": "weather", "input": ARGUMENTS}}],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "c1", "status": "success", "content": [{"json": RESULT}]}}],
        },
        {"role": "assistant", "content": [{"text": ANSWER}]},
    ],
    "Strands": [
        {"event.name": "gen_ai.system.message", "content": json.dumps([{"text": SYSTEM}])},
        {"event.name": "gen_ai.user.message", "content": json.dumps([{"text": QUESTION}])},
        {
            "event.name": "gen_ai.assistant.message",
            "content": json.dumps(
                [{"text": SAYS}, {"toolUse": {"toolUseId": "c1", "name": "weather", "input": ARGUMENTS}}]
            ),
        },
        {
            "event.name": "gen_ai.tool.message",
            "content": json.dumps([{"toolResult": {"toolUseId": "c1", "content": [{"text": ENCODED_RESULT}]}}]),
        },
        {
            "event.name": "gen_ai.choice",
            "message": json.dumps([{"text": ANSWER}]),
            "finish_reason": "end_turn",
        },
    ],
    "LangChain serialized": [
        langchain("SystemMessage", content=SYSTEM, type="system"),
        langchain("HumanMessage", content=QUESTION, type="human"),
        langchain("AIMessageChunk", content=SAYS, tool_calls=[LANGCHAIN_CALL], type="AIMessageChunk", name="agent"),
        langchain("ToolMessage", content=ENCODED_RESULT, tool_call_id="c1", status="success", type="tool"),
        langchain("AIMessage", content=[text_part(ANSWER)], tool_calls=[], invalid_tool_calls=[], type="ai"),
    ],
    "LangChain": [
        {"type": "system", "content": SYSTEM},
        {"type": "human", "data": {"content": QUESTION, "type": "human", "name": None, "id": "1"}},
        {
            "type": "ai",
            "content": [text_part(SAYS), {"type": "tool_use", "id": "c1", "name": "weather", "input": ARGUMENTS}],
            "tool_calls": [LANGCHAIN_CALL],
            "additional_kwargs": {"tool_calls": [openai_call(ENCODED)]},
        },
        {"type": "tool", "content": ENCODED_RESULT, "name": "weather", "tool_call_id": "c1", "id": None},
        {"type": "ai", "data": {"content": ANSWER, "type": "ai", "tool_calls": []}},
    ],
    "Vercel AI": [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": [text_part(QUESTION)]},
        {
            "role": "assistant",
            "content": [
                text_part(SAYS),
                {"type": "tool-call", "toolCallId": "c1", "toolName": "weather", "input": ARGUMENTS},
            ],
        },
        {
            "role": "tool",
            "content": [
                {
                    "type": "tool-result",
                    "toolCallId": "c1",
                    "toolName": "weather",
                    "output": {"type": "json", "value": RESULT},
                }
            ],
        },
        {"role": "assistant", "content": [text_part(ANSWER)]},
    ],
    "Haystack": [
        {"role": "system", "content": [{"text": SYSTEM}], "meta": {}, "name": None},
        {"_role": "user", "_content": [{"text": QUESTION}], "_meta": {}, "_name": None},
        {
            "role": "ChatRole.ASSISTANT",
            "content": [
                {"text": SAYS},
                {"tool_call": {"tool_name": "weather", "arguments": ARGUMENTS, "id": "c1", "extra": None}},
            ],
        },
        {
            "role": "tool",
            "content": [
                {
                    "tool_call_result": {
                        "result": ENCODED_RESULT,
                        "origin": {"tool_name": "weather", "arguments": ARGUMENTS, "id": "c1"},
                        "error": False,
                    }
                }
            ],
        },
        {"role": "assistant", "content": [{"text": ANSWER}]},
    ],
    "LlamaIndex": [
        {"role": "MessageRole.SYSTEM", "additional_kwargs": {}, "blocks": [{"block_type": "text", "text": SYSTEM}]},
        {"role": "user", "additional_kwargs": {}, "blocks": [{"block_type": "text", "text": QUESTION}]},
        {
            "role": "assistant",
            "additional_kwargs": {"tool_calls": [openai_call(ENCODED)]},
            "blocks": [{"block_type": "text", "text": SAYS}],
        },
        {"role": "tool", "tool_call_id": "c1", "blocks": [{"block_type": "text", "text": ENCODED_RESULT}]},
        {"role": "assistant", "blocks": [{"block_type": "text", "text": ANSWER}]},
    ],
    "Genkit": [
        {"role": "system", "content": [{"text": SYSTEM}]},
        {"role": "user", "content": [{"text": QUESTION}]},
        {
            "role": "model",
            "content": [{"text": SAYS}, {"toolRequest": {"ref": "c1", "name": "weather", "input": ARGUMENTS}}],
        },
        {
            "role": "tool",
            "content": [{"toolResponse": {"ref": "c1", "name": "weather", "output": ENCODED_RESULT}}],
        },
        {"message": {"role": "model", "content": [{"text": ANSWER}]}, "finishReason": "stop"},
    ],
    "OpenInference": [
        {"message": {"role": "system", "content": SYSTEM}},
        {
            "message": {
                "role": "user",
                "contents": [{"message_content": {"type": "text", "text": QUESTION}}],
            }
        },
        {
            "message": {
                "role": "assistant",
                "contents": [
                    {"message_content": {"type": "text", "text": SAYS}},
                    {
                        "message_content": {"type": "tool_use"},
                        "tool_call": {"id": "c1", "function": {"name": "weather", "arguments": ENCODED}},
                    },
                ],
                "tool_calls": [{"tool_call": {"id": "c1", "function": {"name": "weather", "arguments": ENCODED}}}],
            }
        },
        {"message": {"role": "tool", "content": ENCODED_RESULT, "tool_call_id": "c1", "name": "weather"}},
        {"message": {"role": "assistant", "content": ANSWER}},
    ],
    "OpenLLMetry": [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": json.dumps([text_part(QUESTION)])},
        {
            "role": "assistant",
            "content": SAYS,
            "finish_reason": "tool_calls",
            "tool_calls": [{"id": "c1", "name": "weather", "arguments": ENCODED}],
        },
        {"role": "tool", "content": ENCODED_RESULT, "tool_call_id": "c1"},
        {"role": "assistant", "content": ANSWER, "finish_reason": "stop"},
    ],
}  # fmt: skip


def canonical(message: Any, role: str = "user") -> Any:
    text = message if isinstance(message, str) else json.dumps(message)
    form = clew_kernel.canonical_message(text.encode(), role)
    assert clew_kernel.canonical_message(form) == form
    return json.loads(form)


@pytest.mark.parametrize("shape", SHAPES)
def test_one_conversation_is_the_same_in_every_shape(shape: str):
    assert [canonical(message) for message in SHAPES[shape]] == CANONICAL


def test_one_conversation_has_the_same_hashes_in_every_shape():
    kernel = decoder(contents=[content("m")])
    hashes = set()
    for messages in SHAPES.values():
        kernel.forget()
        by_hash = {
            row["hash"]: row["canonical_hash"]
            for row in contents(decode(kernel, request(span(attributes={"m": json.dumps(messages)}))))
        }
        assert len(by_hash) == len(CANONICAL)
        hashes.add(tuple(by_hash.values()))
    wanted = [json.dumps(m, separators=(",", ":"), ensure_ascii=False, sort_keys=True) for m in CANONICAL]
    assert hashes == {tuple(clew_kernel.content_hash(KEY, text.encode()) for text in wanted)}


def test_every_shape_tells_the_same_call():
    kernel = decoder(contents=[content("m", calls=True)])
    arguments = clew_kernel.content_hash(KEY, b'{"city":"Paris","days":2}')
    for shape, messages in SHAPES.items():
        # What was given out before is remembered, and its calls are listed again.
        for _ in range(2):
            decoded = decode(kernel, request(span(attributes={"m": json.dumps(messages)})))
            assert values(decoded, "m.calls") == [[{"name": "weather", "id": "c1", "args": arguments}]], shape


def test_items_of_openai_responses_are_messages_of_their_own():
    items = [
        {"type": "message", "role": "developer", "content": SYSTEM},
        {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": ENCODED},
        {"type": "function_call_output", "call_id": "c1", "output": ENCODED_RESULT},
        {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": ANSWER}]},
    ]
    system, question, asking, answer, last = CANONICAL
    assert [canonical(item) for item in items] == [
        system,
        question,
        {"parts": [{"content": "hm", "type": "reasoning"}], "role": "assistant"},
        {"parts": asking["parts"][1:], "role": "assistant"},
        answer,
        last,
    ]
    assert pieces(items) == items
    assert pieces(items[2:]) == items[2:]


def pieces(value: Any) -> list[Any]:
    """The contents a text is cut into."""
    text = value if isinstance(value, str) else json.dumps(value)
    decoded = decode(decoder(contents=[content("m")]), request(span(attributes={"m": text})))
    by_hash = {row["hash"]: row["content"].decode() for row in contents(decoded)}
    (hashes,) = values(decoded, "m")
    return [json.loads(by_hash[h]) if by_hash[h][0] in '[{"' else by_hash[h] for h in hashes]


USER, REPLY = SHAPES["OpenAI chat"][1], SHAPES["OpenAI chat"][4]
PARTS = [text_part("a"), {"type": "tool_use", "id": "c1", "name": "f", "input": {}}]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([USER, REPLY], [USER, REPLY]),
        ([[USER, REPLY]], [USER, REPLY]),
        ([[USER], [REPLY]], [USER, REPLY]),
        (json.dumps(json.dumps([USER, REPLY])), [USER, REPLY]),
        ({"model": "m", "messages": [USER, REPLY], "tools": []}, [USER, REPLY]),
        ({"messages": [[USER, REPLY]]}, [USER, REPLY]),
        (json.dumps(json.dumps({"messages": [USER]})), [USER]),
        ({"max_tokens": 9, "messages": [USER], "system": SYSTEM}, [SYSTEM, USER]),
        ({"system": [text_part(SYSTEM)], "messages": [USER]}, [[text_part(SYSTEM)], USER]),
        ({"system": None, "prompt": "hi"}, ["hi"]),
        ({"prompt": "hi", "system": SYSTEM}, [SYSTEM, "hi"]),
        ({"input": "hi", "instructions": SYSTEM}, [SYSTEM, "hi"]),
        ({"input": [USER], "instructions": ""}, [USER]),
        ({"config": {"system_instruction": SYSTEM, "x": 1}, "contents": [USER], "model": "m"}, [SYSTEM, USER]),
        ({"choices": [{"index": 0, "message": REPLY, "finish_reason": "stop"}], "usage": {}}, [REPLY]),
        ({"candidates": [{"content": {"role": "model", "parts": [{"text": "a"}]}, "index": 0}]},
         [{"content": {"role": "model", "parts": [{"text": "a"}]}, "index": 0}]),
        ({"generations": [[{"text": "", "message": SHAPES["LangChain serialized"][4], "type": "ChatGeneration"}]]},
         [SHAPES["LangChain serialized"][4]]),
        ({"inputs": {"messages": [USER]}, "tags": []}, [USER]),
        ([{"graph": None, "update": {"messages": [USER]}, "goto": []}], [USER]),
        ({"messages": [["user", "hi"], ["ai", "ho"]]}, [["user", "hi"], ["ai", "ho"]]),
        ({"replies": [REPLY]}, [REPLY]),
        ({"args": {"messages": [USER]}, "lg_name": "Send", "node": "tools"}, [USER]),
        ({"args": ["a"], "kwargs": {}}, [{"args": ["a"], "kwargs": {}}]),
        ({"llm": {"replies": [REPLY]}}, [REPLY]),
        ({"data": {"llm": {"messages": [USER]}}}, [USER]),
        ({"data": [{"embedding": [0.5]}], "object": "list"}, [{"data": [{"embedding": [0.5]}], "object": "list"}]),
        ("null", []),
        ({"items": [USER, REPLY]}, [USER, REPLY]),
        (REPLY, [REPLY]),
        ({"content": {"parts": [{"text": "a"}], "role": "model"}, "usage_metadata": {}},
         [{"content": {"parts": [{"text": "a"}], "role": "model"}, "usage_metadata": {}}]),
        (PARTS, [PARTS]),
        ([{"toolCallId": "c1", "toolName": "f", "input": "{}"}, {"toolCallId": "c2", "toolName": "g", "input": "{}"}],
         [[{"toolCallId": "c1", "toolName": "f", "input": "{}"},
           {"toolCallId": "c2", "toolName": "g", "input": "{}"}]]),
        ([openai_call("{}"), openai_call("{}")], [[openai_call("{}"), openai_call("{}")]]),
        ({"query": "x", "input": {"depth": 1}}, [{"query": "x", "input": {"depth": 1}}]),
        ({"messages": []}, [{"messages": []}]),
        ([], []),
        ("plain words", ["plain words"]),
        ("{not: json", None),
    ],
)  # fmt: skip
def test_a_text_is_cut_into_its_messages(value: Any, found: list[Any] | None):
    if found is None:
        decoded = decode(decoder(contents=[content("m")]), request(span(attributes={"m": value})))
        assert [row["content"].decode() for row in contents(decoded)] == [value]
    else:
        assert pieces(value) == found


def test_who_speaks_where_it_is_not_said_is_told_by_the_place_or_the_plan():
    text = json.dumps({"system": SYSTEM, "prompt": "hi"})
    kernel = decoder(contents=[content("m")])
    forms = [row["canonical_hash"] for row in contents(decode(kernel, request(span(attributes={"m": text}))))]
    assert forms == [
        clew_kernel.content_hash(KEY, clew_kernel.canonical_message(words.encode(), role))
        for words, role in ((SYSTEM, "system"), ("hi", "user"))
    ]
    kernel = decoder(contents=[content("m", role="assistant")])
    (row,) = contents(decode(kernel, request(span(attributes={"m": "hi"}))))
    assert row["canonical_hash"] == clew_kernel.content_hash(KEY, clew_kernel.canonical_message(b"hi", "assistant"))
    assert clew_kernel.canonical_message(b"hi", "tool") == (
        b'{"parts":[{"response":"hi","type":"tool_call_response"}],"role":"tool"}'
    )


def parts(*found: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"parts": list(found), "role": role}


def said(words: str, kind: str = "text") -> dict[str, str]:
    return {"content": words, "type": kind}


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("hello", parts(said("hello"))),
        ('"hello"', parts(said("hello"))),
        ("42", parts(said("42"))),
        ({"role": "user", "content": 42}, parts(said("42"))),
        ({"role": "user", "content": ""}, parts()),
        ({"role": "user", "content": None}, parts()),
        ({"role": "user"}, parts()),
        ({"content": "a"}, parts(said("a"))),
        ({"answer": 42}, parts({"answer": 42})),
        ([text_part("a"), "b"], parts(said("a"), said("b"))),
        ({"role": "user", "content": ["a", text_part("b"), None, 3]}, parts(said("a"), said("b"), 3)),
        ({"role": "critic", "content": "a"}, parts(said("a"), role="critic")),
        ({"role": "USER", "content": "a"}, parts(said("a"))),
        ("{'role': 'human', 'content': \"it's\", 'name': None}", parts(said("it's"))),
        ({"role": "user", "content": '[{"a": 1}]'}, parts(said('[{"a": 1}]'))),
        ({"role": "user", "content": "[]"}, parts(said("[]"))),
        ({"role": "assistant", "content": None, "reasoning_content": "hm"},
         parts(said("hm", "reasoning"), role="assistant")),
        ({"role": "assistant", "content": None, "refusal": "no"}, parts(said("no", "refusal"), role="assistant")),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
         parts(said("no", "refusal"), role="assistant")),
        ({"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "x"}]},
         parts(said("hm", "reasoning"), role="assistant")),
        ({"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "a"}]},
         parts(said("hm", "reasoning"), said("a"), role="assistant")),
        ({"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "hm"}}}]},
         parts(said("hm", "reasoning"), role="assistant")),
        ({"role": "assistant", "content": [{"reasoning": {"reasoning_text": "hm"}}]},
         parts(said("hm", "reasoning"), role="assistant")),
        ({"role": "assistant", "content": [{"type": "reasoning", "encrypted_content": "x", "summary": []}]},
         parts(role="assistant")),
        ({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}, "content": None},
         parts({"arguments": {}, "name": "f", "type": "tool_call"}, role="assistant")),
        ({"message": {"role": "assistant", "function_call_name": "f", "function_call_arguments_json": "{}"}},
         parts({"arguments": {}, "name": "f", "type": "tool_call"}, role="assistant")),
        ({"role": "assistant", "tool_calls": json.dumps([openai_call("x y")])},
         parts({"arguments": "x y", "id": "c1", "name": "weather", "type": "tool_call"}, role="assistant")),
        ({"role": "function", "name": "f", "content": "5"},
         parts({"response": "5", "type": "tool_call_response"}, role="tool")),
        ({"role": "tool", "content": 5, "tool_call_id": 7},
         parts({"id": "7", "response": "5", "type": "tool_call_response"}, role="tool")),
        ({"role": "tool", "tool_call_id": "1", "content": [text_part("a"), text_part("b")]},
         parts({"id": "1", "response": [text_part("a"), text_part("b")], "type": "tool_call_response"}, role="tool")),
        ({"message": {"role": "user", "tool_call_id": "1", "content": "a"}},
         parts({"id": "1", "response": "a", "type": "tool_call_response"}, role="tool")),
        ({"content": "a", "reasoning_content": "hm", "tool_calls": json.dumps([json.dumps(openai_call("{}"))])},
         parts(said("hm", "reasoning"), said("a"),
               {"arguments": {}, "id": "c1", "name": "weather", "type": "tool_call"}, role="assistant")),
        ({"reasoning_content": "hm"}, parts(said("hm", "reasoning"), role="assistant")),
        ({"message.role": "assistant", "message.content": "a", "message.tool_calls": [
            {"tool_call.id": "1", "tool_call.function.name": "f", "tool_call.function.arguments": "{}"}]},
         parts(said("a"), {"arguments": {}, "id": "1", "name": "f", "type": "tool_call"}, role="assistant")),
        ({"kwargs": {"content": "a", "type": "ai"}}, parts(said("a"), role="assistant")),
        ({"args": [], "kwargs": {"city": "Paris"}}, parts({"args": [], "kwargs": {"city": "Paris"}})),
        ({"data": [1]}, parts({"data": [1]})),
        ({"content": "a", "additional_kwargs": {}, "role": "get_weather"},
         parts({"response": "a", "type": "tool_call_response"}, role="tool")),
        ({"role": "unknown", "content": "a"}, parts(said("a"))),
        ({"role": "assistant", "content": [{"id": "1", "arguments": "{}", "name": "f"}]},
         parts({"arguments": {}, "id": "1", "name": "f", "type": "tool_call"}, role="assistant")),
        ({"content": [{"call_id": "1", "content": "a", "name": "f", "is_error": False}], "source": "x"},
         parts({"id": "1", "response": "a", "type": "tool_call_response"}, role="tool")),
        ({"callId": "1", "name": "f", "args": {}},
         parts({"arguments": {}, "id": "1", "name": "f", "type": "tool_call"}, role="assistant")),
        ({"id": "1", "name": "f", "response": {"result": "a"}},
         parts({"id": "1", "response": "a", "type": "tool_call_response"}, role="tool")),
        ({"role": "user", "parts": [{"type": "text", "content": [text_part("a") | {"cache_control": {}}]}]},
         parts(said("a"))),
        ({"role": "user", "parts": [{"type": "text"}, {"type": "breakpoint", "of": None}]}, parts()),
        ({"role": "assistant", "parts": [said(str({"role": "assistant", "content": None,
                                                   "tool_calls": [openai_call("{}")]}))]},
         parts({"arguments": {}, "id": "c1", "name": "weather", "type": "tool_call"}, role="assistant")),
        ("ChatMessage(_role=<ChatRole.USER: 'user'>, _content=[TextContent(text='a')], _name=None, _meta={})",
         parts(said("a"))),
        (json.dumps("ChatMessage(role=<MessageRole.USER: 'user'>, blocks=[TextBlock(block_type='text', text='a')])"),
         parts(said("a"))),
        (["ai", "a"], parts(said("a"), role="assistant")),
        (["a", "b"], parts(said("a"), said("b"))),
        ({"toolCallId": "c1", "toolName": "f", "input": "{}"},
         parts({"arguments": {}, "id": "c1", "name": "f", "type": "tool_call"}, role="assistant")),
        ({"prompt": {"text": "a"}}, parts(said("a"))),
    ],
)  # fmt: skip
def test_canonical_form(message: Any, wanted: dict[str, Any]):
    assert canonical(message) == wanted


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ({"type": "image_url", "image_url": {"url": "https://x/y.png"}}, {"type": "uri", "uri": "https://x/y.png"}),
        ({"type": "input_image", "image_url": "https://x/y.png"}, {"type": "uri", "uri": "https://x/y.png"}),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}, said("QUJD", "blob")),
        ({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}, said("QUJD", "blob")),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
         said("QUJD", "blob")),
        ({"type": "image", "source": {"type": "url", "url": "https://x"}}, {"type": "uri", "uri": "https://x"}),
        ({"inlineData": {"mimeType": "image/png", "data": "QUJD"}}, said("QUJD", "blob")),
        ({"fileData": {"mimeType": "image/png", "fileUri": "gs://x"}}, {"type": "uri", "uri": "gs://x"}),
        ({"type": "file", "data": "QUJD", "mediaType": "image/png"}, said("QUJD", "blob")),
        ({"type": "image", "image": "https://x"}, {"type": "uri", "uri": "https://x"}),
        ({"image": {"format": "png", "source": {"bytes": "QUJD"}}}, said("QUJD", "blob")),
        ({"message_content": {"type": "image", "image": {"image": {"url": "https://x"}}}},
         {"type": "uri", "uri": "https://x"}),
        ({"type": "blob", "modality": "image", "mime_type": "image/png", "content": "QUJD"}, said("QUJD", "blob")),
        ({"type": "file", "modality": "image", "file_id": "f1"}, {"type": "file", "file_id": "f1"}),
        ({"type": "file", "file": {"file_id": "f1"}}, {"type": "file", "file_id": "f1"}),
        ({"type": "future", "b": 1, "a": None}, {"type": "future", "b": 1}),
        ({"weird": [1]}, {"weird": [1]}),
    ],
)  # fmt: skip
def test_parts_that_are_no_words(part: dict[str, Any], wanted: dict[str, Any]):
    assert canonical({"role": "user", "content": [part]}) == parts(wanted)


@pytest.mark.parametrize(
    "result",
    [
        "21C sunny", [text_part("21C sunny")], [{"text": "21C sunny"}],
        {"result": "21C sunny"}, {"output": "21C sunny"}, {"type": "text", "value": "21C sunny"},
        json.dumps([text_part("21C sunny")]), text_part("21C sunny"), "{'result': '21C sunny'}",
    ],
)  # fmt: skip
def test_a_result_is_the_same_in_a_span_and_in_a_message_however_it_is_wrapped(result: Any):
    wanted = clew_kernel.content_hash(KEY, b'"21C sunny"')
    text = result if isinstance(result, str) else json.dumps(result)
    kernel = decoder(contents=[content("r", "result", form="canonical")])
    assert values(decode(kernel, request(span(attributes={"r": text}))), "r") == [wanted]
    (part,) = canonical({"role": "tool", "tool_call_id": "1", "content": result})["parts"]
    assert part["response"] == "21C sunny"


def test_sizes_say_who_speaks_and_how_many_bytes_of_text():
    kernel = decoder(
        contents=[
            content("m", sizes=True),
            content("s", "system", form="whole", sizes=True),
            content("t", "tools", form="whole", sizes=True),
        ]
    )
    sizes = [
        len(SYSTEM),
        len(QUESTION.encode()),
        len(SAYS) + len("weather") + len('{"city":"Paris","days":2}'),
        len('{"degrees":21,"sky":"clear"}'),
        len(ANSWER.encode()),
    ]
    for messages in SHAPES.values():
        attributes = {"m": json.dumps(messages), "s": SYSTEM, "t": '[{"name": "weather"}]'}
        # Remembered, they are the same.
        for _ in range(2):
            decoded = decode(kernel, request(span(), span(attributes=attributes)))
            assert values(decoded, "m.roles") == [[], [1, 2, 3, 4, 3]]
            assert values(decoded, "m.bytes") == [[], sizes]
            assert values(decoded, "s.roles") == [0, 1]
            assert values(decoded, "s.bytes") == [0, len(SYSTEM)]
            assert values(decoded, "t.bytes") == [0, len('[{"name":"weather"}]')]


def test_media_has_no_text():
    kernel = decoder(contents=[content("m", sizes=True)])
    message = {"role": "user", "content": [text_part("see"), {"type": "image", "source": {"data": "QUJD" * 100}}]}
    assert values(decode(kernel, request(span(attributes={"m": json.dumps([message])}))), "m.bytes") == [[3]]


def test_a_message_remembered_as_an_answer_is_known_when_it_comes_back_as_a_question():
    """Who speaks is said, so the other default makes no difference; where it is not, it does."""
    names = [content("o", role="assistant", sizes=True), content("i", role="user", sizes=True)]
    kernel = decoder(contents=names)
    said_so, not_said = json.dumps([{"role": "user", "content": "a"}]), json.dumps([{"content": "a"}])
    for text, roles in ((said_so, (2, 2)), (not_said, (3, 2))):
        decoded = decode(kernel, request(span(attributes={"o": text, "i": text})))
        assert (values(decoded, "o.roles"), values(decoded, "i.roles")) == ([[roles[0]]], [[roles[1]]])
        assert len(contents(decoded)) == 1


def test_an_unknown_role_is_refused():
    with pytest.raises(ValueError, match='role is "nobody", expected "system"'):
        clew_kernel.canonical_message(b"x", "nobody")
