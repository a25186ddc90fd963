"""A GenAI span knows its agent when it starts, whatever lies between them."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from clew._propagate.lineage import inherit


class Inheriting(SpanProcessor):
    def on_start(self, span, parent_context=None):
        inherit(span, parent_context)


@pytest.fixture
def tracer():
    provider = TracerProvider()
    provider.add_span_processor(Inheriting())
    return provider.get_tracer("test")


def test_model_call_inherits_agent_and_conversation_through_plain_spans(tracer):
    agent = {"gen_ai.agent.name": "planner", "gen_ai.agent.version": "3", "gen_ai.conversation.id": "c1"}
    with (
        tracer.start_as_current_span("invoke_agent planner", attributes=agent),
        tracer.start_as_current_span("POST") as plain,
        tracer.start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat"}) as chat,
    ):
        pass
    assert dict(chat.attributes) == {"gen_ai.operation.name": "chat", **agent}
    assert not plain.attributes


def test_inner_agent_is_its_own_and_keeps_the_conversation(tracer):
    outer = {"gen_ai.agent.name": "a", "gen_ai.agent.version": "1", "gen_ai.conversation.id": "c1"}
    with (
        tracer.start_as_current_span("outer", attributes=outer),
        tracer.start_as_current_span("inner", attributes={"gen_ai.agent.name": "b"}),
        tracer.start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat"}) as chat,
    ):
        pass
    assert chat.attributes["gen_ai.agent.name"] == "b"
    assert "gen_ai.agent.version" not in chat.attributes
    assert chat.attributes["gen_ai.conversation.id"] == "c1"


def test_a_span_outside_any_agent_is_left_alone(tracer):
    with tracer.start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat"}) as chat:
        pass
    assert dict(chat.attributes) == {"gen_ai.operation.name": "chat"}


def test_agent_that_says_its_name_late_is_the_agent_of_calls_that_say_what_they_are_late(tracer):
    framework = TracerProvider()
    framework.add_span_processor(Inheriting())
    library = framework.get_tracer("agent_framework")
    with library.start_as_current_span("invoke_agent planner") as agent:
        agent.set_attribute("gen_ai.agent.name", "planner")
        with (
            library.start_as_current_span("chat") as chat,
            tracer.start_as_current_span("POST") as plain,
        ):
            chat.set_attribute("gen_ai.operation.name", "chat")
    assert chat.attributes["gen_ai.agent.name"] == "planner"
    assert not plain.attributes
