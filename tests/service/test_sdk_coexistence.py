"""clew beside another set-up in the same process: theirs gets what it got, clew gets its own, once each."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from corpus.server import ModelServer
from shared.trace_sink import attributes, http_door, trace_sink

CLEW = "import clew.auto, clew\n"
NO_CLEW = """
class clew:
    flush = staticmethod(lambda *_: True)
    agent = tool = staticmethod(lambda function: function)
"""
"""What the programmes below use of clew, doing nothing."""

OWN = """
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

class NoHealthChecks(Sampler):
    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, links=None):
        dropped = "health" in name
        return SamplingResult(Decision.DROP if dropped else Decision.RECORD_AND_SAMPLE, dict(attributes or {}))
    def get_description(self):
        return "no health checks"

class Tenant(SpanProcessor):
    def on_start(self, span, parent_context=None):
        span.set_attribute("tenant", "acme")

class OwnHeader(TextMapPropagator):
    def extract(self, carrier, context=None, getter=None):
        return context
    def inject(self, carrier, context=None, setter=None):
        carrier["x-own"] = format(trace.get_current_span(context).get_span_context().span_id, "x")
    @property
    def fields(self):
        return {"x-own"}

provider = TracerProvider(sampler=NoHealthChecks(), resource=Resource.create({"service.name": "shop"}))
provider.add_span_processor(Tenant())
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=THEIRS)))
trace.set_tracer_provider(provider)
propagate.set_global_textmap(OwnHeader())
"""

LOGFIRE = """
import logfire
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor
logfire.configure(
    send_to_logfire=False, console=False, inspect_arguments=False, service_name="shop", distributed_tracing=True,
    additional_span_processors=[BatchSpanProcessor(OTLPSpanExporter(endpoint=THEIRS))],
)
"""

SHOP = """
from opentelemetry import propagate, trace
shop = trace.get_tracer("shop")

@clew.tool
def look_up():
    with shop.start_as_current_span("SELECT", attributes={"db.system": "sqlite"}):
        return 1

@clew.agent
def desk():
    with shop.start_as_current_span("prompt template"):
        pass
    look_up()
    headers = {}
    propagate.inject(headers)
    print(sorted(headers))

with shop.start_as_current_span("GET /health"):
    pass
with shop.start_as_current_span("GET /cart", kind=trace.SpanKind.SERVER):
    with shop.start_as_current_span("SELECT cart"):
        pass
with shop.start_as_current_span("POST /chat", kind=trace.SpanKind.SERVER) as request:
    with shop.start_as_current_span("SELECT session"):
        pass
    desk()
    request.set_attribute("http.status", 200)
"""
"""A shop with OpenTelemetry spans of its own; one of its requests runs an agent."""


def run(*parts, clew, theirs="", says="", **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLEW_", "OTEL_", "SENTRY"))}
    environment = kept | {"CLEW_ENDPOINT": clew, "PYTHONWARNINGS": "ignore", "CLEW_SERVICE": "clews own"} | more
    code = f"THEIRS = {theirs!r}\n" + "".join(parts)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == says
    return done.stdout


def scopes(sink):
    """Span id -> its scope's name."""
    return {
        span.span_id: scope.scope.name
        for request in sink.requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


def paths(sink, without=()):
    """How often each path of names from the root to a span came, those of the scopes `without` left out."""
    of_scope = scopes(sink)
    by_id = {span.span_id: span for span in sink.spans}

    def path(span):
        above = path(by_id[span.parent_span_id]) if span.parent_span_id else ()
        return above if of_scope[span.span_id].startswith(without) and without else (*above, span.name)

    return Counter(path(span) for span in sink.spans if not (without and of_scope[span.span_id].startswith(without)))


def details(sink):
    """What their spans say, apart from ids and times."""
    return Counter(
        (span.name, span.kind, json.dumps(attributes(span), sort_keys=True, default=repr), span.status.code)
        for span in sink.spans
        if not scopes(sink)[span.span_id].startswith("clew")
    )


@pytest.fixture
def sink():
    with trace_sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def alone():
    """Set-up -> what its exporter gets of the shop without clew, and what the shop prints."""
    found = {}

    def alone(set_up):
        if set_up not in found:
            with trace_sink() as theirs:
                said = run(set_up, NO_CLEW, SHOP, clew="http://127.0.0.1:1", theirs=theirs.endpoint)
            found[set_up] = (theirs, said)
        return found[set_up]

    return alone


SET_UPS = {"own": OWN, "logfire": LOGFIRE}
DESK = ("POST /chat", "invoke_agent desk")


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("set_up", SET_UPS)
def test_their_exporter_gets_what_it_got_and_clew_what_agents_do(sink, alone, set_up, order):
    without, said = alone(SET_UPS[set_up])
    parts = (SET_UPS[set_up], CLEW) if order == "before" else (CLEW, SET_UPS[set_up])
    with trace_sink() as theirs:
        assert run(*parts, SHOP, clew=sink.endpoint, theirs=theirs.endpoint) == said
    assert paths(theirs, without=("clew",)) == paths(without)
    assert details(theirs) == details(without)
    assert theirs.resource["service.name"] == without.resource["service.name"] == "shop"
    assert paths(sink) == Counter(
        [
            DESK[:1],
            DESK,
            (*DESK, "prompt template"),
            (*DESK, "execute_tool look_up"),
            (*DESK, "execute_tool look_up", "SELECT"),
        ]
    )
    assert {span.trace_id for span in sink.spans} <= {span.trace_id for span in theirs.spans}


def test_tracers_handed_out_before_their_set_up_are_theirs_from_then_on(sink):
    early = """
from opentelemetry import trace
early = trace.get_tracer("early")
@clew.tool
def tool(): pass
with early.start_as_current_span("first"): tool()
"""
    late = "\nwith early.start_as_current_span('second'): tool()\n"
    with trace_sink() as theirs:
        run(CLEW, early, OWN, late, clew=sink.endpoint, theirs=theirs.endpoint)
    assert paths(theirs) == Counter([("second",), ("second", "execute_tool tool")])
    assert paths(sink) == Counter(
        [("first",), ("first", "execute_tool tool"), ("second",), ("second", "execute_tool tool")]
    )


def test_everything_of_a_provider_can_be_asked_for(sink):
    with trace_sink() as theirs:
        run(OWN, CLEW, SHOP, clew=sink.endpoint, theirs=theirs.endpoint, CLEW_SPANS="all")
    assert paths(sink) == paths(theirs)
    assert ("GET /cart", "SELECT cart") in paths(sink)


def test_only_agents_can_be_asked_for_with_clews_own_provider(sink):
    run(CLEW, SHOP, clew=sink.endpoint, CLEW_SPANS="agents")
    assert ("GET /cart",) not in paths(sink)
    assert DESK in paths(sink)


def test_a_third_provider_is_refused_as_ever(sink):
    with trace_sink() as theirs:
        code = OWN + "import logging, io; log = io.StringIO(); logging.basicConfig(stream=log, force=True)\n"
        code += "trace.set_tracer_provider(TracerProvider()); print(log.getvalue())\n"
        said = run(CLEW, code, SHOP, clew=sink.endpoint, theirs=theirs.endpoint)
    assert "Overriding of current TracerProvider is not allowed" in said
    assert DESK in paths(theirs)


def test_their_provider_may_be_shut_down_before_the_agent_ends(sink):
    code = "def work():\n    with trace.get_tracer('clew').start_as_current_span('late'): pass\n"
    code += "with trace.get_tracer('clew').start_as_current_span('open'):\n    provider.shutdown(); work()\n"
    with trace_sink() as theirs:
        run(OWN, CLEW, code, clew=sink.endpoint, theirs=theirs.endpoint)
    assert sorted(span.name for span in sink.spans) == ["late", "open"]


OPENAI = """
import openai
client = openai.OpenAI(base_url=MODEL + "/v1", api_key="sk-test", max_retries=0)
def chat():
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hello"}])
"""


@pytest.mark.parametrize("order", ["before", "after"])
def test_instrumentation_the_programme_turned_on_is_not_turned_on_again(sink, order):
    theirs_on = (
        "from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor\nOpenAIInstrumentor().instrument()\n"
    )
    with ModelServer("S1") as model, trace_sink() as theirs:
        parts = (OWN, theirs_on, CLEW) if order == "before" else (CLEW, OWN, theirs_on)
        says = (
            "" if order == "before" else "Attempting to instrument while already instrumented\n"
        )  # OpenTelemetry says
        code = (f"MODEL = {model.url!r}\n", *parts, OPENAI, "chat()")
        run(*code, clew=sink.endpoint, theirs=theirs.endpoint, says=says)
    assert [span.name for span in theirs.spans] == ["chat gpt-4o-mini"]
    assert [span.name for span in sink.spans] == ["chat gpt-4o-mini"]


class Sentry:
    """Stands where Sentry's servers stand; keeps the items of the envelopes, and OTLP requests."""

    def __init__(self):
        self.items = []

    @property
    def transactions(self):
        """(name, its spans as (op, description)), one for each transaction."""
        return Counter(
            (
                item["transaction"],
                tuple(
                    sorted((span.get("op"), re.sub(r":\d+", "", span["description"] or "")) for span in item["spans"])
                ),
            )
            for kind, item in self.items
            if kind == "transaction"
        )

    @property
    def errors(self):
        return Counter(item["exception"]["values"][-1]["value"] for kind, item in self.items if kind == "event")


@contextmanager
def sentry_server():
    sentry = Sentry()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            rest = body.partition(b"\n")[2]
            while rest.strip():
                header, _, rest = rest.partition(b"\n")
                header = json.loads(header)
                length = header.get("length")
                payload, rest = (rest[:length], rest[length + 1 :]) if length is not None else rest.split(b"\n", 1)
                sentry.items.append((header["type"], json.loads(payload)))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    sentry.dsn = f"http://key@127.0.0.1:{server.server_port}/1"
    try:
        yield sentry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


SENTRY = """
import sentry_sdk
from sentry_sdk.integrations.openai import OpenAIIntegration
# Left to itself it imports every library it knows.
sentry_sdk.init(
    dsn=THEIRS, traces_sample_rate=1.0, auto_enabling_integrations=False, integrations=[OpenAIIntegration()],
)
"""
SENTRY_SHOP = """
@clew.tool
def look_up():
    with sentry_sdk.start_span(op="db", name="SELECT"):
        chat()
@clew.agent
def desk():
    look_up()
with sentry_sdk.start_transaction(op="http.server", name="POST /chat"):
    desk()
with sentry_sdk.start_transaction(op="http.server", name="POST /fails"):
    @clew.agent
    def failing():
        raise RuntimeError("no such order")
    try:
        failing()
    except RuntimeError as error:
        sentry_sdk.capture_exception(error)
sentry_sdk.flush(10)
"""


@pytest.mark.parametrize("order", ["before", "after"])
def test_sentry_gets_what_it_got(sink, order):
    with ModelServer("S1") as model, sentry_server() as without:
        set_up = (f"MODEL = {model.url!r}\n", SENTRY, NO_CLEW)
        run(*set_up, OPENAI, SENTRY_SHOP, clew=sink.endpoint, theirs=without.dsn)
    with ModelServer("S1") as model, sentry_server() as theirs:
        set_up = (f"MODEL = {model.url!r}\n", *((SENTRY, CLEW) if order == "before" else (CLEW, SENTRY)))
        run(*set_up, OPENAI, SENTRY_SHOP, clew=sink.endpoint, theirs=theirs.dsn)
    assert theirs.transactions == without.transactions
    assert theirs.transactions.total() == 2
    assert theirs.errors == without.errors == Counter(["no such order"])
    assert paths(sink) == Counter(
        [
            ("invoke_agent desk",),
            ("invoke_agent desk", "execute_tool look_up"),
            ("invoke_agent desk", "execute_tool look_up", "chat gpt-4o-mini"),
            ("invoke_agent failing",),
        ]
    )


SENTRY_OTEL = """
import sentry_sdk
from sentry_sdk.integrations.opentelemetry import SentryPropagator, SentrySpanProcessor
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
sentry_sdk.init(dsn=THEIRS, traces_sample_rate=1.0, instrumenter="otel", auto_enabling_integrations=False)
provider = TracerProvider()
provider.add_span_processor(SentrySpanProcessor())
trace.set_tracer_provider(provider)
propagate.set_global_textmap(SentryPropagator())
"""


@pytest.mark.parametrize("order", ["before", "after"])
def test_sentrys_span_processor_gets_what_it_got(sink, alone, order):
    with sentry_server() as without:
        said = run(SENTRY_OTEL, NO_CLEW, SHOP, "sentry_sdk.flush(10)", clew=sink.endpoint, theirs=without.dsn)
    parts = (SENTRY_OTEL, CLEW) if order == "before" else (CLEW, SENTRY_OTEL)
    with sentry_server() as theirs:
        assert run(*parts, SHOP, "sentry_sdk.flush(10)", clew=sink.endpoint, theirs=theirs.dsn) == said

    def spans(sentry):
        return Counter(
            (name, span)
            for name, children in sentry.transactions.elements()
            for span in children
            if "desk" not in span[1]
        )

    more = spans(theirs) - spans(without)
    assert spans(without) - spans(theirs) == Counter()
    assert {description for _, (_, description) in more} <= {"execute_tool look_up"}
    assert {name for name, _ in theirs.transactions} == {name for name, _ in without.transactions}
    assert DESK in paths(sink)
    assert ("GET /cart",) not in paths(sink)


SENTRY_OTLP = """
import sentry_sdk
from sentry_sdk.integrations.otlp import OTLPIntegration
sentry_sdk.init(
    dsn="http://key@127.0.0.1:1/1", integrations=[OTLPIntegration(collector_url=THEIRS + "/v1/traces")],
    auto_enabling_integrations=False,
)
"""


@pytest.mark.parametrize("order", ["before", "after"])
def test_sentrys_otlp_integration_gets_what_it_got(sink, order):
    with trace_sink() as without, http_door(without) as door:
        said = run(SENTRY_OTLP, NO_CLEW, SHOP, clew=sink.endpoint, theirs=door)
    parts = (SENTRY_OTLP, CLEW) if order == "before" else (CLEW, SENTRY_OTLP)
    with trace_sink() as theirs, http_door(theirs) as door:
        assert run(*parts, SHOP, clew=sink.endpoint, theirs=door) == said
    assert paths(theirs, without=("clew",)) == paths(without)
    assert details(theirs) == details(without)
    assert DESK in paths(sink)
