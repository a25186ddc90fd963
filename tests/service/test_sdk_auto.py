"""One import: the real clients with their official instrumentations, in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from shared.trace_sink import TraceSink, attributes, trace_sink

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWERS = {
    "/v1/chat/completions": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "write to a@example.com"}}
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16},
    },
    "/v1/messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 7, "output_tokens": 3},
    },
}

OPENAI = """
from openai import OpenAI
def ask(server):
    client = OpenAI(base_url=server + "/v1", api_key="k")
    return client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "private words"}])
"""
ANTHROPIC = """
from anthropic import Anthropic
def ask(server):
    client = Anthropic(base_url=server, api_key="k")
    messages = [{"role": "user", "content": "private words"}]
    return client.messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=messages)
"""
LANGCHAIN = """
from langgraph.graph import START, MessagesState, StateGraph
from langchain_openai import ChatOpenAI
def ask(server):
    model = ChatOpenAI(model="gpt-4o-mini", base_url=server + "/v1", api_key="k")
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_edge(START, "model")
    return graph.compile(name="desk").invoke({"messages": [("user", "private words")]})
"""
RUN = """
import clew, sys
@clew.agent(name="agent")
def agent():
    with clew.step("act"):
        ask(sys.argv[1])
agent()
"""


class _Models(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(ANSWERS[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def models() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Models)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def sink() -> Iterator[TraceSink]:
    with trace_sink() as sink:
        yield sink


def run(code, sink, *args, **more):
    foreign = ("CLEW_", "OTEL_", "OPENAI_", "ANTHROPIC_", "LANGCHAIN_", "LANGSMITH_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    local = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint}
    done = subprocess.run(
        [sys.executable, "-c", code, *args], env=kept | local | more, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def by_id(spans):
    return {span.span_id: span for span in spans}


@pytest.mark.parametrize(
    ("library", "call", "scope", "tokens"),
    [
        (OPENAI, "chat gpt-4o-mini", "opentelemetry.instrumentation.genai.openai", (11, 5)),
        (ANTHROPIC, "chat claude-sonnet-4-6", "opentelemetry.instrumentation.genai.anthropic", (7, 3)),
        (LANGCHAIN, "chat gpt-4o-mini", "opentelemetry.instrumentation.genai.langchain", (11, 5)),
    ],
    ids=["openai", "anthropic", "langchain"],
)
@pytest.mark.parametrize("import_first", [True, False], ids=["clew first", "clew last"])
def test_model_call_is_recorded_inside_the_agent(sink, models, library, call, scope, tokens, import_first):
    imports = ["import clew.auto\n", library]
    run("".join(imports if import_first else reversed(imports)) + RUN, sink, models)
    calls = [
        span
        for request in sink.requests
        for resource in request.resource_spans
        for scope_spans in resource.scope_spans
        for span in scope_spans.spans
        if scope_spans.scope.name == scope and span.name == call
    ]
    [span] = calls
    recorded = attributes(span)
    assert (recorded["gen_ai.usage.input_tokens"], recorded["gen_ai.usage.output_tokens"]) == tokens
    assert "private words" in str(recorded["gen_ai.input.messages"])
    spans = by_id(sink.spans)
    assert len({span.trace_id for span in sink.spans}) == 1
    above = []
    while span.parent_span_id:
        span = spans[span.parent_span_id]
        above.append(span.name)
    assert above[-2:] == ["step act", "invoke_agent agent"]


def test_answers_are_redacted_before_they_leave(sink, models):
    run("import clew.auto\n" + OPENAI + RUN, sink, models)
    messages = json.loads(attributes(sink.named("chat gpt-4o-mini"))["gen_ai.output.messages"])
    assert messages[0]["parts"][0]["content"] == "write to [REDACTED:email]"


@pytest.mark.parametrize(
    "setting", [{"CLEW_CONTENT": "off"}, {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "NO_CONTENT"}]
)
def test_content_off_holds_for_the_instrumentations_too(sink, models, setting):
    run("import clew.auto\n" + OPENAI + RUN, sink, models, **setting)
    assert b"private words" not in b"".join(request.SerializeToString() for request in sink.requests)
    assert attributes(sink.named("chat gpt-4o-mini"))["gen_ai.usage.input_tokens"] == 11


def test_content_metadata_keeps_the_skeleton(sink, models):
    run("import clew.auto\n" + OPENAI + RUN, sink, models, CLEW_CONTENT="metadata")
    messages = json.loads(attributes(sink.named("chat gpt-4o-mini"))["gen_ai.input.messages"])
    assert messages == [{"role": "user", "parts": [{"type": "text"}]}]


def test_users_own_switches_are_kept(sink):
    code = """
import os, clew.auto
print(os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"], os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"])
"""
    names = ("OTEL_SEMCONV_STABILITY_OPT_IN", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")
    assert run(code, sink).split() == ["gen_ai_latest_experimental", "SPAN_ONLY"]
    assert run(code, sink, **dict(zip(names, ("http", "EVENT_ONLY"), strict=True))).split() == ["http", "EVENT_ONLY"]


def test_provider_that_is_there_is_kept_and_gets_a_second_destination(sink, models):
    code = """
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
own = InMemorySpanExporter()
provider = TracerProvider(resource=Resource({"service.name": "their own"}))
provider.add_span_processor(SimpleSpanProcessor(own))
trace.set_tracer_provider(provider)
import clew.auto
"""
    check = """
assert trace.get_tracer_provider() is provider
print(sorted(span.name for span in own.get_finished_spans()))
"""
    out = run(code + OPENAI + RUN + check, sink, models)
    names = ["chat gpt-4o-mini", "invoke_agent agent", "step act"]
    assert out == f"{names}\n"
    assert sorted(span.name for span in sink.spans) == names
    assert sink.resource["service.name"] == "their own"


def test_unused_libraries_are_not_imported(sink):
    code = """
import sys, clew.auto, clew
with clew.step("act"): pass
clew.flush()
libraries = {"openai", "anthropic", "langchain_core", "langgraph"}
print(sorted(libraries & set(sys.modules)))
import openai
print(sorted(libraries & set(sys.modules)))
"""
    assert run(code, sink) == "[]\n['openai']\n"


def test_langgraph_is_wholly_instrumented_whatever_is_imported_first(sink):
    """It imports langchain_core half-way through its own import: a hook on that alone would come too early."""
    check = "from langgraph.pregel import Pregel; print(hasattr(Pregel.stream, '__wrapped__'))"
    for first in ("from langgraph.graph import StateGraph", "import langchain_core", "import langchain_openai"):
        assert run(f"import clew.auto\n{first}\n{check}", sink) == "True\n"


def test_instrumentations_say_what_is_there_and_on(sink):
    code = """
import clew, json
from dataclasses import asdict
before = [asdict(found) for found in clew.instrumentations()]
clew.init()
import openai
print(json.dumps([before, [asdict(found) for found in clew.instrumentations()]]))
"""
    before, after = json.loads(run(code, sink, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="anthropic"))
    prefix = "opentelemetry-instrumentation-genai-"
    found = {entry["library"]: entry for entry in after}
    assert set(found) >= {"anthropic", "langchain", "openai"}
    assert {entry["enabled"] for entry in before} == {False}
    assert found["openai"]["package"] == prefix + "openai"
    assert found["openai"]["version"]
    assert (found["openai"]["installed"], found["openai"]["enabled"]) == (True, True)
    assert (found["langchain"]["installed"], found["langchain"]["enabled"]) == (True, True)
    assert (found["anthropic"]["installed"], found["anthropic"]["enabled"]) == (True, False)


def test_instrumentation_the_programme_turned_on_itself_is_left_alone(sink, models):
    code = """
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
OpenAIInstrumentor().instrument()
import clew.auto
"""
    run(code + OPENAI + RUN, sink, models)
    assert sink.named("chat gpt-4o-mini")


def test_instrumentation_that_breaks_is_said_and_the_programme_goes_on(sink, models, tmp_path):
    (tmp_path / "brokeninstr.py").write_text("raise RuntimeError('broken package')\n")
    info = tmp_path / "opentelemetry_instrumentation_genai_json-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: opentelemetry-instrumentation-genai-json\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[opentelemetry_instrumentor]\nwave = brokeninstr:Instrumentor\n")
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import logging; logging.basicConfig(stream=sys.stdout, format="%(message)s")
import clew.auto, clew
import wave
[state] = [found for found in clew.instrumentations() if found.library == "wave"]
print(state.enabled)
"""
    out = run(code, sink)
    assert "turning on opentelemetry-instrumentation-genai-json" in out
    assert "broken package" in out
    assert out.endswith("False\n")
