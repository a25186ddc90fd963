"""Decoded batches in the real engine: the Collector's schema takes them, and hashes stay the numbers they are.

The engine holds one folder per process, so it runs in a process of its own here.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import clew_kernel
import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from shared.kernel import KEY, MAX_TIME, MIN_TIME, column, content, decode, decoder, spans
from shared.otlp import T0, key_values, request, span
from shared.otlp_reference import expect
from shared.payloads import PAYLOADS, bodies

if TYPE_CHECKING:
    from pathlib import Path

#: Columns of the Collector's exporter, in its types.
OTEL_TRACES = """
CREATE TABLE otel_traces (
    Timestamp DateTime64(9) CODEC(Delta, ZSTD(1)), TraceId String, SpanId String, ParentSpanId String,
    TraceState String,
    SpanName LowCardinality(String), SpanKind LowCardinality(String), ServiceName LowCardinality(String),
    ResourceAttributes Map(LowCardinality(String), String), ScopeName String, ScopeVersion String,
    SpanAttributes Map(LowCardinality(String), String), Duration UInt64, StatusCode LowCardinality(String),
    StatusMessage String,
    Events Nested(Timestamp DateTime64(9), Name LowCardinality(String), Attributes Map(LowCardinality(String), String)),
    Links Nested(TraceId String, SpanId String, TraceState String, Attributes Map(LowCardinality(String), String)),
    model LowCardinality(Nullable(String)), tokens Nullable(UInt64), user_hash Nullable(UInt64),
    messages Array(UInt128), system UInt128,
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
"""
CONTENTS = """
CREATE TABLE contents (
    hash UInt128, canonical_hash UInt128, kind LowCardinality(String), content String, bytes UInt64
) ENGINE = MergeTree ORDER BY hash
"""
ENGINE = """
import pickle, sys
import clickhouse_connect
import pyarrow as pa

statements, tables, queries = pickle.load(sys.stdin.buffer)
client = clickhouse_connect.get_client(dsn=f"chdb://{sys.argv[1]}")
for statement in statements:
    client.command(statement)
for name, stream in tables:
    client.insert_arrow(name, pa.ipc.open_stream(stream).read_all())
answers = {name: client.query_arrow(query).to_pylist() for name, query in queries.items()}
pickle.dump(answers, sys.stdout.buffer)
"""


def run_engine(
    directory: Path, statements: list[str], tables: list[tuple[str, pa.RecordBatch]], queries: dict[str, str]
) -> dict[str, list[dict[str, Any]]]:
    streams = []
    for name, batch in tables:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        streams.append((name, sink.getvalue().to_pybytes()))
    done = subprocess.run(
        [sys.executable, "-c", ENGINE, str(directory)],
        input=pickle.dumps((statements, streams, queries)),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return pickle.loads(done.stdout)


PLAN = {
    "columns": [
        column("model", "dict", "gen_ai.request.model"),
        column("tokens", "u64", "gen_ai.usage.input_tokens"),
        column("user_hash", "hash64", "enduser.id"),
    ],
    "contents": [
        {**content("messages"), "keys": ["gen_ai.input.messages"]},
        {**content("system", "system", form="whole"), "keys": ["gen_ai.system_instructions"]},
    ],
}


def sample_requests() -> list[ExportTraceServiceRequest]:
    odd = span(
        "odd",
        {"n": 1, "f": 1e21, "b": b"\x00\xff", "l": [1, {"z": None, "a": "<\u2028"}], "e": None, "enduser.id": "bob"},
        trace_id=7,
        parent_id=9,
        trace_state="a=b",
        kind=5,
        status=2,
        message="it \N{SNOWMAN} failed",
        events=[
            Span.Event(name="one", time_unix_nano=T0 + 5, attributes=key_values({"k": 1, "l": [True]})),
            Span.Event(name="two", time_unix_nano=T0),
        ],
        links=[
            Span.Link(trace_id=b"t" * 16, span_id=b"s" * 8, trace_state="x=y", attributes=key_values({"a": "b"})),
        ],
    )
    captured = [
        ExportTraceServiceRequest.FromString(body)
        for name in ("otel__openai-chat__genai__S4.otlp", "otel__anthropic__genai__S1.otlp")
        for body in bodies(PAYLOADS / name)
    ]
    return [request(odd, span(), resource={"service.name": "s", "list": ["x"]}), *captured]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    decoded = decode(decoder(**PLAN), *sample_requests())
    rows = spans(decoded)
    rows = rows.select([name for name in rows.schema.names if name not in ("request", "parent_row")])
    found = pa.record_batch(decoded.contents)
    found = found.select([name for name in found.schema.names if name != "request"])
    return run_engine(
        tmp_path_factory.mktemp("chdb") / "store",
        [OTEL_TRACES, CONTENTS],
        [("otel_traces", rows), ("contents", found)],
        {
            "spans": "SELECT * FROM otel_traces ORDER BY TraceId, SpanId",
            "contents": "SELECT toString(hash) AS hash, hex(content) AS content, bytes FROM contents",
            "named": "SELECT count() AS n FROM (SELECT arrayJoin(messages) AS h FROM otel_traces) "
            "WHERE h IN (SELECT hash FROM contents)",
            "users": "SELECT user_hash FROM otel_traces WHERE user_hash IS NOT NULL",
        },
    )


def test_the_collectors_schema_reads_back_what_the_reference_says(stored: dict[str, list[dict[str, Any]]]):
    wanted = expect(
        sample_requests(),
        [KEY] * len(sample_requests()),
        min_time_ns=MIN_TIME,
        max_time_ns=MAX_TIME,
        max_depth=64,
        content_keys=["gen_ai.input.messages", "gen_ai.system_instructions"],
    ).rows
    wanted.sort(key=lambda row: (row["TraceId"], row["SpanId"]))
    assert len(stored["spans"]) == len(wanted) > 5
    for row, expected in zip(stored["spans"], wanted, strict=True):
        for name, value in expected.items():
            if name not in ("request", "parent_row"):
                assert plain(row[name], like=value) == value, name


def plain(value: Any, like: Any) -> Any:
    """Times as nanoseconds, maps as dicts, low-cardinality bytes as text."""
    if isinstance(like, dict):
        return {plain(k, like=""): plain(v, like="") for k, v in value}
    if isinstance(like, list):
        return [plain(v, like=like[0] if like else None) for v in value]
    if isinstance(value, bytes):
        return value.decode()
    return value.value if hasattr(value, "value") else value  # pandas.Timestamp


def test_stored_contents_have_the_hash_of_their_bytes(stored: dict[str, list[dict[str, Any]]]):
    assert len(stored["contents"]) > 5
    for row in stored["contents"]:
        text = bytes.fromhex(plain(row["content"], like=""))
        assert int(plain(row["hash"], like="")) == int.from_bytes(clew_kernel.content_hash(KEY, text), "little")
        assert row["bytes"] == len(text)


def test_hashes_on_spans_name_stored_contents(stored: dict[str, list[dict[str, Any]]]):
    assert stored["named"][0]["n"] > 5


def test_hash64_is_stored_as_the_number_it_is(stored: dict[str, list[dict[str, Any]]]):
    decoded = spans(decode(decoder(**PLAN), *sample_requests())).column("user_hash").drop_null().to_pylist()
    assert [row["user_hash"] for row in stored["users"]] == decoded != []


def test_content_hash_stays_what_it_was():
    """Stored names are compared with new ones, so these are HighwayHash-128 under the stretched key for ever."""
    assert clew_kernel.content_hash(KEY, b"").hex() == "830637b8e4d8ddc205e6999d4b3b852e"
    assert clew_kernel.content_hash(KEY, bytes(range(15))).hex() == "c14402737aeedd0ddb6f5d4adce817f8"
