"""What a dialect's table says of values and counts, and what is told of providers and frameworks without being said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from clew_processor.decode.decoder import DecodedBatch
from clew_processor.decode.plan import compiled
from clew_processor.dialects import canon, common, dialect, dialects, ordered
from clew_processor.normalise.normaliser import Normaliser
from shared.genai import chat
from shared.kernel import MAX_TIME, MIN_TIME, decoder
from shared.otlp import T0, key_values, request, span
from shared.pipeline import ARRIVAL, TENANT, normalise

if TYPE_CHECKING:
    from clew_processor.normalise.spans import Spans

MIXED = [{"cache": "inclusive", "provider": "openai"}, {"cache": "apart"}]
COUNTS = ("input", "output", "uncached", "plain", "extra", "read", "write", "write_5m", "write_1h", "reasoning")
COLUMNS = {
    "input": "input_tokens", "output": "output_tokens", "uncached": "uncached_input_tokens",
    "plain": "plain_output_tokens", "extra": "extra_input_tokens", "read": "cache_read_tokens",
    "write": "cache_write_tokens", "write_5m": "cache_write_5m_tokens", "write_1h": "cache_write_1h_tokens",
    "reasoning": "reasoning_tokens",
}  # fmt: skip


def spoken(table: dict[str, Any], *found: dict[str, object]) -> Spans:
    """Spans of a dialect of our own, beside all the others."""
    head = {"name": "mine", "order": 5, "source": "a test", "detect": [{"attribute": "mine"}], "op": [{"is": "chat"}]}
    tables = ordered([*dialects(), dialect("mine", yaml.safe_dump(head | table))])
    kernel = decoder(**compiled(tables, canon(), common()))
    body = request(*(span(attributes={"mine": 1} | each, span_id=n) for n, each in enumerate(found, 1)))
    decoded = kernel.decode(
        [body.SerializeToString()], [bytes(16)], now_ns=T0, min_time_ns=MIN_TIME, max_time_ns=MAX_TIME
    )
    batch = DecodedBatch(
        arrival_ns=ARRIVAL,
        tenants=[TENANT],
        spans=pa.record_batch(decoded.spans),
        contents=pa.record_batch(decoded.contents),
        verdicts=decoded.verdicts,
    )
    return Normaliser(tables).normalise(batch)


@pytest.mark.parametrize(
    ("said", "provider"),
    [
        ("OpenAI", "openai"),
        ("openai.chat", "openai"),
        ("azure-openai.responses", "azure.ai.openai"),
        ("google.vertex.chat", "gcp.vertex_ai"),
        ("google.generative-ai", "gcp.gemini"),
        ("google", "gcp.gen_ai"),
        ("AWS", "aws.bedrock"),
        ("mistral.chat", "mistral_ai"),
        ("xAI", "x_ai"),
        ("moonshotai.chat", "moonshot_ai"),
        ("gcp.gemini", "gcp.gemini"),
        ("our own", "our own"),
    ],
)
def test_a_provider_is_known_by_all_its_names(said, provider):
    assert normalise(request(chat(1, provider=said))).provider.tolist() == [provider]


@pytest.mark.parametrize(
    ("said", "attributes", "framework", "provider"),
    [
        ("langchain", {}, "langchain", "openai"),
        ("LangGraph", {"server.address": "api.anthropic.com"}, "langgraph", "anthropic"),
        ("gcp.vertex.agent", {"gen_ai.request.model": "gemini-2.5-flash"}, "google-adk", "gcp.gemini"),
        ("unknown", {"gen_ai.request.model": "claude-sonnet-4-5"}, "", "anthropic"),
        ("_OTHER", {"gen_ai.request.model": "our-model"}, "", ""),
        ("", {"gen_ai.request.model": "azure/gpt-4o"}, "", "azure.ai.openai"),
        ("", {"server.address": "mine.openai.azure.com"}, "", "azure.ai.openai"),
        ("", {"server.address": "bedrock-runtime.us-east-1.amazonaws.com"}, "", "aws.bedrock"),
        ("", {"server.address": "evil-api.openai.com.example", "gen_ai.request.model": "x"}, "", ""),
    ],
)
def test_a_framework_is_no_provider_and_who_answered_is_told_otherwise(said, attributes, framework, provider):
    spans = normalise(request(chat(1, provider=said, attributes=attributes)))
    assert (spans.framework.tolist(), spans.provider.tolist()) == ([framework], [provider])


def test_only_model_calls_get_a_provider_that_nobody_said():
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "gpt-4o"}
    assert normalise(request(span(attributes=attributes))).provider.tolist() == [""]


def test_a_framework_is_told_by_its_scope():
    spans = normalise(request(chat(1), scope="opentelemetry.instrumentation.genai.langchain"))
    assert spans.framework.tolist() == ["langchain"]


def test_values_are_those_of_the_dialect_then_those_of_all_then_as_they_came():
    table = {
        "columns": {"finish_reason": ["f"], "gate_outcome": ["g"], "framework": ["h"]},
        "values": {"finish_reason": {"tool_use": "mine", "Nothing": ""}, "gate_outcome": {"true": "deny"}},
    }
    spans = spoken(
        table, {"f": "tool_use", "g": True}, {"f": "TOOL_CALLS", "g": False}, {"f": "nothing"}, {"f": "else", "h": "fw"}
    )
    assert spans.finish_reason.tolist() == ["mine", "tool_call", "", "else"]
    assert spans.gate_outcome.tolist() == ["deny", "false", "", ""]
    assert spans.framework.tolist() == ["", "", "", "fw"]
    other = chat(9, attributes={"gen_ai.response.finish_reasons": ["tool_use"]})
    assert normalise(request(other)).finish_reason.tolist() == ["tool_call"]


@pytest.mark.parametrize(
    "said", ["tool_calls", "tool_calls,stop", '["tool_calls"]', '["tool_calls", "stop"]', '"tool_calls"']
)
def test_the_first_of_several_finish_reasons_counts_however_they_are_listed(said):
    spans = normalise(request(chat(1, attributes={"gen_ai.response.finish_reasons": said})))
    assert spans.finish_reason.tolist() == ["tool_call"]


def test_a_dialects_own_status_counts_before_the_spans():
    table = {"columns": {"status": ["s"]}, "values": {"status": {"false": "error", "true": ""}}}
    spans = spoken(table, {"s": False}, {"s": True}, {})
    assert spans.status.tolist() == ["error", "unset", "unset"]


@pytest.mark.parametrize(
    ("rules", "provider", "told", "input_tokens", "output_tokens"),
    [
        ([], "anthropic", {"input": 100, "read": 40, "write": 10}, 100, 0),
        ([{"cache": "apart"}], "openai", {"input": 100, "read": 40, "write": 10}, 150, 0),
        ([{"cache": "apart", "provider": "anthropic"}], "Anthropic", {"input": 100, "read": 40}, 140, 0),
        ([{"cache": "apart", "provider": "anthropic"}], "openai", {"input": 100, "read": 40}, 100, 0),
        (MIXED, "openai", {"input": 100, "read": 40}, 100, 0),
        (MIXED, "cohere", {"input": 100, "read": 40}, 140, 0),
        ([{"reasoning": "apart"}], "", {"output": 10, "reasoning": 4}, 0, 14),
        ([], "", {"uncached": 60, "read": 40}, 100, 0),
        ([], "", {"input": 100, "uncached": 60, "read": 40}, 100, 0),
        ([{"cache": "apart"}], "", {"input": 100, "uncached": 60, "read": 40}, 100, 0),
        ([], "", {"uncached": 0, "read": 40}, 40, 0),
        ([], "", {"input": 100, "extra": 5}, 105, 0),
        ([], "", {"plain": 10, "reasoning": 4}, 0, 14),
        ([], "", {"output": 14, "plain": 10, "reasoning": 4}, 0, 14),
        ([], "", {"output": 10, "plain": 10, "reasoning": 4}, 0, 14),
        ([{"cache": "apart"}], "", {"input": 10, "write_5m": 3, "write_1h": 4}, 17, 0),
    ],
)  # fmt: skip
def test_counts_become_inclusive_by_the_dialects_rules(rules, provider, told, input_tokens, output_tokens):
    columns = {COLUMNS[name]: [name] for name in COUNTS} | {"provider": ["who"]}
    spans = spoken({"columns": columns, "tokens": rules}, {"who": provider} | told)
    assert (spans.input_tokens.tolist(), spans.output_tokens.tolist()) == ([input_tokens], [output_tokens])
    assert spans.has_usage.tolist() == [True]


def test_writes_by_how_long_they_live_are_writes():
    columns = {COLUMNS[name]: [name] for name in ("write", "write_5m", "write_1h")}
    spans = spoken({"columns": columns}, {"write_5m": 3, "write_1h": 4}, {"write": 9, "write_1h": 4}, {"write": 2})
    assert spans.cache_write_tokens.tolist() == [7, 9, 2]
    assert spans.cache_write_1h_tokens.tolist() == [4, 4, 0]


def raised(kind: str) -> list[Span.Event]:
    return [Span.Event(name="exception", attributes=key_values({"exception.type": kind}))]


@pytest.mark.parametrize(
    ("kind", "code", "status", "error_type"),
    [
        ("ValueError", Status.STATUS_CODE_UNSET, "error", "ValueError"),
        ("ValueError", Status.STATUS_CODE_ERROR, "error", "ValueError"),
        ("ValueError", Status.STATUS_CODE_OK, "ok", ""),
        ("langgraph.errors.GraphInterrupt", Status.STATUS_CODE_ERROR, "interrupted", "langgraph.errors.GraphInterrupt"),
    ],
)
def test_an_exception_that_was_not_handled_is_the_error(kind, code, status, error_type):
    attributes = {"gen_ai.operation.name": "chat"}
    spans = normalise(request(span(attributes=attributes, status=code, events=raised(kind))))
    assert (spans.status.tolist(), spans.error_type.tolist()) == ([status], [error_type])


def test_the_columns_that_few_dialects_have_are_empty_elsewhere():
    spans = normalise(request(chat(1)))
    for name in (
        "service_tier",
        "server_address",
        "tool_type",
        "mcp_method",
        "log_event",
        "usage_of_other",
        "signature",
    ):
        assert getattr(spans, name).tolist() == [""], name
    for name in ("request_stream", "usage_estimated", "cache_write_1h_tokens", "input_audio_tokens"):
        assert getattr(spans, name).tolist() == [0], name


def test_a_span_that_looks_like_genai_but_is_of_no_dialect_has_its_signature():
    found = {"gen_ai.made.up": 1, "traceloop.x.7": 2}
    spans = normalise(request(span(attributes=found), scope="our.lib"))
    assert (spans.known.tolist(), spans.dialect.tolist()) == ([False], [""])
    assert spans.signature.tolist() == ["our.lib: gen_ai.made.up traceloop.x.N"]
