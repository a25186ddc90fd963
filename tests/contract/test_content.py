"""Content in span_content: every message byte for byte, once, and small on disk."""

from __future__ import annotations

import json

import clew_kernel
import pyarrow as pa
import pytest

from clew_processor.write.rows import OTLP_COLUMNS
from shared.conversations import interleaved
from shared.engine import fresh_store
from shared.genai import chat
from shared.otlp import request, span
from shared.pipeline import ARRIVAL, KEY, arrived, new_pipeline

#: Messages as an instrumentation might spell them; each must come back as it stands here.
SPELLINGS = [
    '{"role":"user","parts":[{"type":"text","content":"hello"}]}',
    '{ "role" : "user" ,\t"parts":[ {"content" : "hello", "type":"text"} ] }',
    '{"role":"user","parts":[{"type":"text","content":"sn\\u00f6 \\ud83d\\ude00 \\/ \\"quoted\\" [not] {a} list, "}]}',
    '{"role":"user","parts":[{"type":"text","content":"snö 😀 ﷽ \u200b e\u0301"}]}',
    '{"role":"assistant","parts":[{"type":"tool_call","id":"1","name":"f","arguments":{"z":1,"a":[1.0,1e3,null,true]}}]}',
    '{"role":"assistant","parts":[{"type":"tool_call","id":"1","name":"f","arguments":"{\\"z\\": 1}"}]}',
    '{"role":"tool","parts":[{"type":"tool_call_response","id":"1","response":"line\\nline\\\\\\u0000end"}]}',
    '{"role":"user","parts":[],"name":"","parts":[]}',
    '"just text"',
    "12345678901234567890.5",
    "null",
    "[]",
    '{"role":"user","parts":[{"type":"text","content":"' + "long " * 20_000 + '"}]}',
]


def texts(store) -> dict[tuple[str, int], bytes]:
    """Content by (tenant, hash), as bytes."""
    rows = store.client.query(
        "SELECT tenant_id, hash, content FROM span_content", column_formats={"content": "bytes"}
    ).result_rows
    return {(tenant, hashed): content for tenant, hashed, content in rows}


def test_every_message_of_a_growing_conversation_reads_back_byte_for_byte():
    store = fresh_store()
    pipeline = new_pipeline(store)
    gaps = [" ", "\n\t", "", "  \r\n"]
    for step in range(1, len(SPELLINGS) + 1):
        gap = gaps[step % len(gaps)]
        history = "[" + gap + f"{gap},{gap}".join(SPELLINGS[:step]) + gap + "]"
        attributes = {"gen_ai.input.messages": history, "gen_ai.output.messages": f"[{SPELLINGS[step - 1]}]"}
        pipeline.process([arrived(request(chat(step, attributes=attributes)))])
    content = texts(store)
    spans = store.client.query("SELECT SpanId, InputMessages, OutputMessages FROM otel_traces").result_rows
    assert len(spans) == len(SPELLINGS)
    for span_id, sent, answered in spans:
        step = int(span_id, 16)
        assert [content["default", hashed] for hashed in sent] == [text.encode() for text in SPELLINGS[:step]]
        assert [content["default", hashed] for hashed in answered] == [SPELLINGS[step - 1].encode()]
    assert len(content) == len(SPELLINGS)


KINDS = {
    "arguments": "gen_ai.tool.call.arguments",
    "result": "gen_ai.tool.call.result",
    "system": "gen_ai.system_instructions",
    "tools": "gen_ai.tool.definitions",
}
TEXTS = ["plain words", '{"a": 1,  "b": [2, 3]}', "[1, 2", "\u0000", "nul \u0000 inside", "é" * 1000]


def test_arguments_results_instructions_and_tools_read_back_as_they_came():
    store = fresh_store()
    pipeline = new_pipeline(store)
    for kind, key in KINDS.items():
        for number, text in enumerate([*TEXTS, "", " "]):
            attributes = {"gen_ai.operation.name": "execute_tool", key: text}
            pipeline.process([arrived(request(span(attributes=attributes)), tenant=f"{kind} {number}")])
    rows = store.client.query("SELECT tenant_id, kind, content FROM span_content").result_rows
    assert sorted(rows) == sorted((f"{kind} {i}", kind, text) for kind in KINDS for i, text in enumerate(TEXTS))


def test_structured_attributes_become_their_json():
    store = fresh_store()
    parts = [{"role": "user", "parts": [{"type": "text", "content": "snö"}]}]
    new_pipeline(store).process([arrived(request(chat(1, attributes={"gen_ai.input.messages": parts})))])
    ((content,),) = store.client.query("SELECT content FROM span_content").result_rows
    assert json.loads(content) == parts[0]


def test_a_message_resent_by_many_spans_is_one_row():
    store = fresh_store()
    pipeline = new_pipeline(store)
    for i in range(1, 30):
        attributes = {"gen_ai.input.messages": f"[{SPELLINGS[0]},{SPELLINGS[2]}]"}
        at = ARRIVAL + i * 3600 * 10**9  # over more than a day: written again, and still one row
        pipeline.process([arrived(request(chat(i, attributes=attributes)), at=at)])
    assert store.client.command("SELECT count() FROM span_contents") == 4
    assert store.client.command("SELECT count() FROM span_content") == 2
    assert store.client.query("SELECT uniqExact(InputMessages), count() FROM otel_traces").result_rows == [(1, 29)]


def test_the_same_message_of_another_tenant_has_another_hash():
    store = fresh_store()
    pipeline = new_pipeline(store)
    body = request(chat(1, attributes={"gen_ai.input.messages": f"[{SPELLINGS[0]}]"}))
    pipeline.process([arrived(body, tenant="one"), arrived(body, tenant="other")])
    hashes = store.client.query(
        "SELECT uniqExact(hash), uniqExact(canonical_hash), count() FROM span_content"
    ).result_rows
    assert hashes == [(2, 2, 2)]


COLLECTOR = """
    CREATE TABLE otel_traces (
        Timestamp DateTime64(9) CODEC(Delta, ZSTD(1)), TraceId String CODEC(ZSTD(1)), SpanId String CODEC(ZSTD(1)),
        ParentSpanId String CODEC(ZSTD(1)), TraceState String CODEC(ZSTD(1)),
        SpanName LowCardinality(String) CODEC(ZSTD(1)), SpanKind LowCardinality(String) CODEC(ZSTD(1)),
        ServiceName LowCardinality(String) CODEC(ZSTD(1)),
        ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
        ScopeName String CODEC(ZSTD(1)), ScopeVersion String CODEC(ZSTD(1)),
        SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
        Duration UInt64 CODEC(ZSTD(1)), StatusCode LowCardinality(String) CODEC(ZSTD(1)),
        StatusMessage String CODEC(ZSTD(1)),
        Events Nested (Timestamp DateTime64(9), Name LowCardinality(String),
                       Attributes Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
        Links Nested (TraceId String, SpanId String, TraceState String,
                      Attributes Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
        INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
        INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
        INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
        INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
        INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
        INDEX idx_duration Duration TYPE minmax GRANULARITY 1
    ) ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
    SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1
"""
"""The Collector exporter's table, written in our words; its TTL and companion table left out, to its favour."""


def bytes_on_disk(store) -> int:
    """Of all tables of the database, merged."""
    names = store.client.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    ).result_columns[0]
    for name in names:
        store.client.command(f"OPTIMIZE TABLE {name} FINAL")
    return store.client.command(
        "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()"
    )


@pytest.mark.slow
def test_a_hundred_interleaved_conversations_take_an_eighth_of_the_collectors_disk():
    ours, theirs = fresh_store(), fresh_store(tables=False)
    theirs.client.command(COLLECTOR)
    pipeline = new_pipeline(ours)
    plain = clew_kernel.Decoder("{}")  # leaves every attribute where it is
    spans = 0
    for step, body in enumerate(interleaved(100, 30)):
        data = body.SerializeToString()
        pipeline.process([arrived(data)])
        batch = pa.record_batch(plain.decode([data], [KEY], now_ns=ARRIVAL, min_time_ns=0, max_time_ns=2**62).spans)
        rows = pa.table({name: batch.column(name) for name in OTLP_COLUMNS})
        theirs.put("otel_traces", rows, token=str(step))
        spans += rows.num_rows
    assert spans == 100 * 30 * 2
    for store in (ours, theirs):
        assert store.client.command("SELECT count() FROM otel_traces") == spans
    assert (
        theirs.client.command("SELECT countIf(mapContains(SpanAttributes, 'gen_ai.input.messages')) FROM otel_traces")
        == 3000
    )
    assert bytes_on_disk(ours) * 8 <= bytes_on_disk(theirs)
