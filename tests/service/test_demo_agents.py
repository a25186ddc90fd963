"""The demo's agents, run as a program of their own, as an OTLP collector sees them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from clew.demo.environment import clean_environment
from clew.demo.expected import expected_run
from clew.demo.model_server import ModelServer
from clew.demo.scenarios import SCENARIOS
from clew.demo.script import Reply, Tokens


@dataclass
class Span:
    """What the tests look at of one received span."""

    scope: str
    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    failed: bool
    start: int
    attributes: dict
    resource: dict


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every span it is sent."""

    spans: list[Span] = field(default_factory=list)

    def Export(self, request, context):  # noqa: N802 - the name is gRPC's
        for resource_spans in request.resource_spans:
            resource = attributes_of(resource_spans.resource.attributes)
            for scope_spans in resource_spans.scope_spans:
                self.spans += [
                    Span(
                        scope_spans.scope.name,
                        span.name,
                        span.trace_id,
                        span.span_id,
                        span.parent_span_id,
                        span.status.code == 2,
                        span.start_time_unix_nano,
                        attributes_of(span.attributes),
                        resource,
                    )
                    for span in scope_spans.spans
                ]
        return trace_service_pb2.ExportTraceServiceResponse()


def attributes_of(pairs) -> dict:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@dataclass
class Played:
    """One play of all scenarios: what was served, what was received, what the program said."""

    served: list
    spans: list[Span]
    endings: list[dict]

    def run(self, agent: str) -> list[Span]:
        """All spans of the agent's trace, by start."""
        (root,) = [span for span in self.spans if not span.parent_id and span.attributes["gen_ai.agent.name"] == agent]
        return sorted((s for s in self.spans if s.trace_id == root.trace_id), key=lambda s: s.start)

    def tree(self, agent: str) -> list:
        """The agent's spans as nested lists: `[operation, child, child, ...]`, children by start."""
        spans = self.run(agent)

        def subtree(parent: bytes) -> list:
            return [[operation(s), *subtree(s.span_id)] for s in spans if s.parent_id == parent]

        (tree,) = subtree(b"")
        return tree


def operation(span: Span) -> str:
    """What the span is: a model call, a tool by name, a gate by outcome, a step, an agent."""
    attributes = span.attributes
    if "clew.gate.outcome" in attributes:
        word = f"gate {attributes['clew.gate.outcome']}"
    elif "clew.step.kind" in attributes:
        word = "step"
    elif attributes.get("gen_ai.operation.name") == "execute_tool":
        word = attributes["gen_ai.tool.name"]
    else:
        word = attributes.get("gen_ai.operation.name", span.name)
    return word + (" failed" if span.failed else "")


@pytest.fixture(scope="module")
def played() -> Played:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with ModelServer({scenario.agent: scenario.script for scenario in SCENARIOS}, pace=0) as models:
        program = subprocess.run(
            [sys.executable, "-m", "clew.demo.agents", models.url],
            env=clean_environment(
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", OTEL_SERVICE_NAME="demo-test"
            ),
            capture_output=True,
            text=True,
            timeout=120,
        )
    server.stop(1).wait()
    assert program.returncode == 0, program.stderr
    endings = [json.loads(line) for line in program.stdout.splitlines()]
    return Played(models.served, collector.spans, endings)


def test_every_agent_comes_to_its_scripted_end(played):
    assert {ending["agent"] for ending in played.endings} == {scenario.agent for scenario in SCENARIOS}
    assert [ending for ending in played.endings if "error" in ending] == []
    for scenario in SCENARIOS:
        expected_run(scenario, played.served)  # refuses a script that was not played from start to end


def test_every_run_is_one_trace(played):
    assert len({span.trace_id for span in played.spans}) == len(SCENARIOS)
    assert {span.resource["service.name"] for span in played.spans} == {"demo-test"}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.agent)
def test_agent_says_how_it_ended(played, scenario):
    root = next(span for span in played.run(scenario.agent) if not span.parent_id)
    assert root.attributes["clew.outcome.status"] == scenario.outcome


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.agent)
def test_usage_of_every_call_is_what_was_served(played, scenario):
    served = {
        line.response_id: line.answer.tokens
        for line in played.served
        if line.run == scenario.agent and isinstance(line.answer, Reply)
    }
    recorded = {}
    for span in played.run(scenario.agent):
        attributes = span.attributes
        # The Anthropic client's own spans tell the uncached input only; the instrumentation's are complete.
        if "gen_ai.response.id" not in attributes or span.scope.startswith("com.anthropic"):
            continue
        assert attributes["gen_ai.response.id"] not in recorded
        recorded[attributes["gen_ai.response.id"]] = Tokens(
            attributes["gen_ai.usage.input_tokens"],
            attributes["gen_ai.usage.output_tokens"],
            attributes.get("gen_ai.usage.cache_read.input_tokens", 0),
            attributes.get("gen_ai.usage.cache_write.input_tokens", 0),
            attributes.get("gen_ai.usage.reasoning.output_tokens", 0),
        )
    assert recorded == served


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.agent)
def test_tools_and_gates_are_what_the_scenario_says(played, scenario):
    spans = played.run(scenario.agent)
    operations = Counter(span.attributes.get("gen_ai.operation.name") for span in spans)
    gates = Counter(span.attributes.get("clew.gate.outcome") for span in spans)
    assert operations["execute_tool"] == scenario.tool_runs
    assert gates["deny"] == scenario.gates_denied
    assert gates["deny"] + gates["allow"] == scenario.gates


def test_the_looping_run_makes_one_call_in_several_spellings(played):
    assert played.tree("shipment-tracker") == [
        "invoke_agent",
        ["step", ["chat"], ["find_order"]],
        *[["step", ["chat"], ["track_shipment"]]] * 6,
    ]


def test_the_failing_run_shows_both_failed_attempts_and_the_broken_server(played):
    assert played.tree("invoice-bot") == [
        "invoke_agent",
        ["step", ["chat"], ["fetch_invoices failed"], ["fetch_invoices failed"]],
        ["step", ["chat"], ["fetch_invoices"]],
        ["step", ["chat failed"], ["chat"]],
    ]


def test_the_denied_refund_is_never_paid(played):
    spans = played.run("refund-desk")
    tools = [operation(s) for s in spans if s.attributes.get("gen_ai.operation.name") == "execute_tool"]
    assert tools == ["look_up_payment", "look_up_payment", "issue_refund"]
    (denied,) = [span for span in spans if span.attributes.get("clew.gate.outcome") == "deny"]
    assert denied.attributes["clew.gate.kind"] == "policy"
    assert denied.attributes["clew.gate.reason"] == "refunds above 200 euros are decided by a person"


def test_the_budget_stops_the_run_before_a_fifth_call(played):
    tree = played.tree("market-researcher")
    assert tree == ["invoke_agent", *[["gate allow"], ["step", ["chat"], ["search_web"]]] * 4, ["gate deny"]]


def test_the_graph_runs_inside_its_agent(played):
    assert played.tree("support-desk") == [
        "invoke_agent",
        ["invoke_workflow", ["chat"], ["look_up_order"], ["chat"], ["search_help_pages"], ["chat"]],
    ]


def test_content_is_recorded(played):
    first = next(s for s in played.run("travel-planner") if s.attributes.get("gen_ai.operation.name") == "chat")
    assert "Three days in Lisbon" in first.attributes["gen_ai.input.messages"]
