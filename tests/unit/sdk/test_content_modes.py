"""What is left of content in each mode: shapes of messages, hashes that meet, and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.trace import Status, StatusCode

from clew._content import Content, ContentRules, hashing
from clew._content.hashing import mark
from clew._content.places import place
from clew._content.prepare import prepare

MARK = re.compile(r"<HASHED:(\d+) bytes:[0-9a-f]{32}>")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("CLEW_CONTENT_KEY", "the key of these tests")
    hashing._key.cache_clear()
    yield
    hashing._key.cache_clear()


def make_span(attributes, events=(), status=None, name="chat"):
    context = TracerProvider().get_tracer("t").start_span("name").get_span_context()
    return ReadableSpan(name, context=context, attributes=attributes, events=events, status=status or Status())


def sent(name, value, mode, **rules):
    """What becomes of one attribute; None where nothing does."""
    rules = replace(ContentRules.all(mode), **rules)
    prepared = prepare(make_span({name: value if isinstance(value, str) else json.dumps(value)}), rules)
    return prepared.attributes.get(name)


def hashed(name, value):
    return sent(name, value, Content.HASHED)


QUESTION = "Which is warmer, Paris or Berlin?"
CONVERSATION = [
    {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
    {"role": "user", "name": "Ines", "parts": [{"type": "text", "content": QUESTION}]},
    {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "call_1", "name": "get_weather", "arguments": {"city": "Paris"}}],
        "finish_reason": "tool_call",
    },
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "21 degrees"}]},
]


def test_content_off_leaves_no_text_of_anybody():
    span = make_span(
        {
            "gen_ai.input.messages": json.dumps(CONVERSATION),
            "gen_ai.tool.call.arguments": "{}",
            "gen_ai.prompt.0.content": "hi",
            "gen_ai.prompt.name": "greeting",
            "clew.gate.reason": "because",
            "gen_ai.usage.input_tokens": 5,
        },
        [Event("exception", {"exception.message": "m", "exception.stacktrace": "s", "exception.type": "E"})],
        Status(StatusCode.ERROR, "E: m"),
    )
    prepared = prepare(span, Content.OFF)
    assert dict(prepared.attributes) == {"gen_ai.prompt.name": "greeting", "gen_ai.usage.input_tokens": 5}
    assert dict(prepared.events[0].attributes) == {"exception.type": "E"}
    assert prepared.status.status_code is StatusCode.ERROR
    assert prepared.status.description is None


def test_metadata_is_the_shape_of_messages():
    assert json.loads(sent("gen_ai.input.messages", CONVERSATION, Content.METADATA)) == [
        {"role": "system", "parts": [{"type": "text"}]},
        {"role": "user", "parts": [{"type": "text"}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "call_1", "name": "get_weather"}],
            "finish_reason": "tool_call",
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1"}]},
    ]
    assert sent("gen_ai.tool.call.arguments", {"city": "Paris"}, Content.METADATA) is None


def test_hashed_messages_have_marks_for_texts():
    assert json.loads(hashed("gen_ai.input.messages", CONVERSATION)) == [
        {"role": "system", "parts": [{"type": "text", "content": mark("Be brief.")}]},
        {"role": "user", "name": mark("Ines"), "parts": [{"type": "text", "content": mark(QUESTION)}]},
        {
            "role": "assistant",
            "parts": [
                {"type": "tool_call", "id": "call_1", "name": "get_weather", "arguments": mark('{"city":"Paris"}')}
            ],
            "finish_reason": "tool_call",
        },
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "call_1", "response": mark("21 degrees")}],
        },
    ]


def test_mark_tells_the_length_in_utf8_and_not_the_text():
    assert MARK.fullmatch(mark("Zürich"))[1] == "7"
    assert mark("") == ""
    assert mark("Zürich") == mark("Zürich") != mark("Zurich")


@pytest.mark.parametrize(
    "value", ['{"city":"Paris","days":2}', '{ "days": 2,\n "city": "Paris" }', json.dumps('{"days":2,"city":"Paris"}')]
)
@pytest.mark.parametrize("name", ["gen_ai.tool.call.arguments", "ai.toolCall.args", "tool_arguments"])
def test_equal_arguments_are_equal_however_they_are_spelt(name, value):
    value = json.loads(value) if value.startswith('"') else value
    assert hashed(name, value) == mark('{"city":"Paris","days":2}')


@pytest.mark.parametrize(
    "value",
    [
        "21 degrees",
        '"21 degrees"',
        '{"result": "21 degrees"}',
        '{"output":"21 degrees"}',
    ],
)
@pytest.mark.parametrize("name", ["gen_ai.tool.call.result", "output.value", "traceloop.entity.output"])
def test_equal_results_are_equal_whatever_they_are_wrapped_in(name, value):
    assert hashed(name, value) == mark("21 degrees")


# What people and tools say, in the shapes of several libraries.
CALL = {"city": "Paris"}
TEXT = '{"city": "Paris"}'


def _langchain(kind, **said):
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", kind], "kwargs": said}


SHAPES = {
    "openai": (
        "input.value",
        {
            "model": "gpt-4o",
            "temperature": 0,
            "messages": [
                {"role": "user", "content": QUESTION},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": TEXT}}
                    ],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"},
            ],
        },
    ),
    "anthropic": (
        "gen_ai.input.messages",
        [
            {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "call_1", "name": "get_weather", "input": CALL}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "21 degrees"}]},
        ],
    ),
    "gemini": (
        "gcp.vertex.agent.llm_request",
        {
            "model": "gemini",
            "contents": [
                {"role": "user", "parts": [{"text": QUESTION}]},
                {"role": "model", "parts": [{"functionCall": {"id": "call_1", "name": "get_weather", "args": CALL}}]},
                {
                    "role": "user",
                    "parts": [{"functionResponse": {"id": "call_1", "response": {"result": "21 degrees"}}}],
                },
            ],
        },
    ),
    "bedrock": (
        "gen_ai.input.messages",
        [
            {"role": "user", "content": [{"text": QUESTION}]},
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "call_1", "name": "get_weather", "input": CALL}}],
            },
            {"role": "user", "content": [{"toolResult": {"toolUseId": "call_1", "content": [{"text": "21 degrees"}]}}]},
        ],
    ),
    "langchain": (
        "traceloop.entity.input",
        {
            "inputs": {
                "messages": [
                    _langchain("HumanMessage", content=QUESTION, type="human"),
                    _langchain(
                        "AIMessage",
                        content="",
                        type="ai",
                        tool_calls=[{"name": "get_weather", "args": CALL, "id": "call_1", "type": "tool_call"}],
                    ),
                    _langchain("ToolMessage", content="21 degrees", type="tool", tool_call_id="call_1"),
                ]
            },
            "tags": [],
            "metadata": {"thread": "Ines"},
        },
    ),
    "responses": (
        "input.value",
        {
            "model": "o4",
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
                {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": TEXT},
                {"type": "function_call_output", "call_id": "call_1", "output": "21 degrees"},
            ],
        },
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_any_librarys_messages_keep_calls_and_lose_texts(shape):
    name, value = SHAPES[shape]
    text = hashed(name, value)
    json.loads(text)
    for kept in ("get_weather", "call_1", mark(QUESTION), mark('{"city":"Paris"}'), mark("21 degrees")):
        assert kept in text
    skeleton = sent(name, value, Content.METADATA)
    assert "get_weather" in skeleton
    for form in (text, skeleton):
        assert not re.search("Paris|warmer|degrees|Ines", form)


def test_fields_of_flattened_messages_are_told_apart_by_their_names():
    span = make_span(
        {
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": QUESTION,
            "llm.input_messages.0.message.name": "Ines",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.tool_calls.0.tool_call.id": "call_1",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "get_weather",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"city": "Paris"}',
            "gen_ai.prompt.1.role": "Ines said",
            "retrieval.documents.0.document.id": "doc-7",
            "retrieval.documents.0.document.score": 0.5,
            "retrieval.documents.0.document.content": "Paris is warm.",
            "embedding.embeddings.0.embedding.vector": (0.1, 0.2),
        }
    )
    kept = {name: value for name, value in span.attributes.items() if value in ("user", "assistant", "call_1", 0.5)}
    kept |= {"retrieval.documents.0.document.id": "doc-7"}
    kept["llm.output_messages.0.message.tool_calls.0.tool_call.function.name"] = "get_weather"
    assert dict(prepare(span, Content.METADATA).attributes) == kept
    assert dict(prepare(span, Content.HASHED).attributes) == kept | {
        "llm.input_messages.0.message.content": mark(QUESTION),
        "llm.input_messages.0.message.name": mark("Ines"),
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": mark('{"city":"Paris"}'),
        "gen_ai.prompt.1.role": mark("Ines said"),
        "retrieval.documents.0.document.content": mark("Paris is warm."),
    }


def test_data_that_looks_like_the_shape_of_messages_is_content():
    """Arguments and results are one value, whatever their fields are called."""
    person = {"role": "user", "name": "Ines", "id": "4711", "type": "text", "content": "x"}
    for name in ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"):
        assert MARK.fullmatch(hashed(name, person))
    state = {"name": "Ines", "id": "4711", "role": "boss", "type": "cancer", "usage": "daily", "Ines Duarte": 1}
    assert MARK.fullmatch(hashed("input.value", state))
    inside = hashed("input.value", {"messages": CONVERSATION, "patient": state, "Ines Duarte": "x"})
    assert not re.search("Ines|4711|boss|cancer|daily", inside)


def test_token_counts_stay_in_any_mode():
    output = {
        "id": "chatcmpl-1",
        "model": "gpt-4o",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": QUESTION}}],
        "usage": {"prompt_tokens": 907, "completion_tokens": 43, "prompt_tokens_details": {"cached_tokens": 5}},
    }
    for mode in (Content.METADATA, Content.HASHED):
        left = json.loads(sent("output.value", output, mode))
        assert left["usage"] == output["usage"]
        assert (left["id"], left["model"]) == ("chatcmpl-1", "gpt-4o")
        assert left["choices"][0]["finish_reason"] == "stop"


def test_classes_have_modes_of_their_own():
    span = make_span(
        {
            "gen_ai.input.messages": json.dumps(CONVERSATION),
            "gen_ai.system_instructions": '[{"type":"text","content":"Be brief."}]',
            "gen_ai.tool.call.result": "21 degrees",
            "clew.gate.reason": "because",
            "gen_ai.retrieval.query.text": "opening hours",
        },
        status=Status(StatusCode.ERROR, "it failed"),
    )
    full = ContentRules.all(Content.FULL)
    prepared = prepare(span, replace(full, tools=Content.HASHED, notes=Content.OFF, exceptions=Content.METADATA))
    said = json.loads(prepared.attributes["gen_ai.input.messages"])
    assert said[:2] == CONVERSATION[:2]
    assert said[2]["parts"][0]["arguments"] == mark('{"city":"Paris"}')  # in messages too
    assert said[3]["parts"][0]["response"] == prepared.attributes["gen_ai.tool.call.result"] == mark("21 degrees")
    assert "clew.gate.reason" not in prepared.attributes
    assert prepared.attributes["gen_ai.retrieval.query.text"] == "opening hours"
    assert prepared.status.description is None
    prepared = prepare(span, replace(full, system=Content.METADATA, documents=Content.HASHED))
    assert json.loads(prepared.attributes["gen_ai.input.messages"])[0]["parts"] == [{"type": "text"}]
    assert prepared.attributes["gen_ai.system_instructions"] == '[{"type":"text"}]'
    assert prepared.attributes["gen_ai.retrieval.query.text"] == mark("opening hours")
    assert prepared.attributes["gen_ai.tool.call.result"] == "21 degrees"


def test_messages_that_are_kept_beside_hashed_ones_are_redacted():
    told = [{"role": "user", "content": "mail ines@example.com"}, *CONVERSATION]
    left = sent("gen_ai.input.messages", told, Content.FULL, tools=Content.HASHED)
    assert "mail [REDACTED:email]" in left


@pytest.mark.parametrize(
    ("said", "kind"),
    [("ValueError: no Paris", "ValueError:"), ("(Interrupt(value='Paris'),)", "(Interrupt("), ("Paris(France): x", "")],
)
def test_what_an_exception_says_is_left_out_and_its_class_is_not(said, kind):
    span = make_span({}, status=Status(StatusCode.ERROR, said))
    assert prepare(span, Content.METADATA).status.description == (kind or None)
    assert prepare(span, Content.HASHED).status.description == f"{kind} {mark(said)}".strip()


def test_stack_trace_keeps_where_it_was():
    stack = (
        "Traceback (most recent call last):\n"
        '  File "/srv/agent.py", line 17, in run\n    answer("Which is warmer, Paris?")\n'
        "ValueError: no Paris\n"
    )
    event = Event(
        "exception", {"exception.type": "ValueError", "exception.message": "no Paris", "exception.stacktrace": stack}
    )
    frames = 'File "/srv/agent.py", line 17, in run'
    [event_left] = prepare(make_span({}, [event]), Content.METADATA).events
    assert dict(event_left.attributes) == {"exception.type": "ValueError", "exception.stacktrace": frames}
    [event_left] = prepare(make_span({}, [event]), Content.HASHED).events
    assert event_left.attributes["exception.message"] == mark("no Paris")
    assert event_left.attributes["exception.stacktrace"] == f"{frames}\n{mark(stack)}"


def test_content_in_the_name_of_the_span_goes_with_it():
    span = make_span({"crewai.task.description": QUESTION}, name=f"{QUESTION}.task")
    assert prepare(span, Content.HASHED).name == "[content].task"
    assert prepare(span, Content.FULL) is span


def test_attribute_of_an_unknown_library_is_content_by_its_last_word():
    for name in ("acme.step.input", "acme.llm.prompt", "x.tool.arguments", "acme.messages"):
        assert place(name) is not None
    for name in ("gen_ai.usage.input", "db.query.text", "http.response.body.size", "clew.step.kind", "acme.mode"):
        assert place(name) is None


def test_events_that_hold_messages_are_messages():
    events = [
        Event("gen_ai.user.message", {"content": QUESTION, "role": "user"}),
        Event(
            "gen_ai.choice", {"message": json.dumps([{"toolUse": {"toolUseId": "call_1", "name": "f", "input": {}}}])}
        ),
        Event("gen_ai.tool.message", {"content": "21 degrees", "id": "call_1"}),
    ]
    user, choice, tool = prepare(make_span({}, events), Content.HASHED).events
    assert dict(user.attributes) == {"content": mark(QUESTION), "role": "user"}
    assert json.loads(choice.attributes["message"])[0]["toolUse"]["name"] == "f"
    assert dict(tool.attributes) == {"content": mark("21 degrees"), "id": "call_1"}


MEMBERS = [
    *("role", "type", "content", "parts", "messages", "message", "tool_calls", "function", "arguments", "name", "id"),
    *("input", "output", "usage", "kwargs", "text", "data", "event.name", "functionCall", "toolResult", "result", "x"),
]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.just("SECRET WORDS"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(MEMBERS),
            inner | st.sampled_from(["user", "tool", "text", "tool_call", "function", "message", "SECRET WORDS"]),
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(
    json_values,
    st.sampled_from(
        [
            "gen_ai.input.messages",
            "input.value",
            "gen_ai.tool.definitions",
            "gen_ai.prompt.0.content",
            "llm.invocation_parameters",
        ]
    ),
)
def test_no_text_survives_in_any_shape(value, name):
    for mode in (Content.METADATA, Content.HASHED):
        left = sent(name, value, mode)
        assert "SECRET" not in str(left)
        assert left is None or not left.startswith(("{", "[{")) or json.loads(left) is not None


@given(json_values)
def test_hashing_twice_says_the_same(value):
    assert hashed("gen_ai.input.messages", value) == hashed("gen_ai.input.messages", json.dumps(value, indent=1))


def test_processes_of_one_user_have_one_key(tmp_path):
    """Many at once, the first of which make it."""
    code = "from clew._content.hashing import mark; print(mark('x'))"
    environment = {k: v for k, v in os.environ.items() if k != "CLEW_CONTENT_KEY"} | {"XDG_DATA_HOME": str(tmp_path)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) for _ in range(4)
    ]
    marks = {process.communicate()[0] for process in started}
    assert len(marks) == 1
    [file] = (tmp_path / "clew").iterdir()
    assert (file.name, file.stat().st_mode & 0o777, file.stat().st_size) == ("content.key", 0o600, 32)


def test_another_key_makes_other_hashes(monkeypatch):
    before = mark("x")
    monkeypatch.setenv("CLEW_CONTENT_KEY", "another")
    hashing._key.cache_clear()
    assert mark("x") != before


@pytest.mark.parametrize("spoil", ["damaged", "unwritable"])
def test_key_that_cannot_be_kept_is_said_and_hashes_go_on(monkeypatch, tmp_path, caplog, spoil):
    monkeypatch.delenv("CLEW_CONTENT_KEY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    if spoil == "damaged":
        (tmp_path / "clew").mkdir()
        (tmp_path / "clew" / "content.key").write_bytes(b"short")
    else:
        (tmp_path / "clew").write_text("a file, no folder")
    assert mark("x") == mark("x")
    assert "set CLEW_CONTENT_KEY" in caplog.text
