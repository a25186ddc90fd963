"""The same SQL files and the same inserts on a ClickHouse server as in the embedded engine.

The server is the engine behind HTTP (`shared.writable_clickhouse`): what is held here is that everything the processor
says to a server goes through the stock client and comes back the same.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from clew_processor.errors import StartError
from clew_processor.write.schema import Retention, apply_schema, migrations
from shared.otlp import key_values, message, messages_json, request, span
from shared.processor import Processor, processor
from shared.writable_clickhouse import WritableClickHouse, writable_clickhouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

NOW = time.time_ns() // 60_000_000_000 * 60_000_000_000
RETENTION = Retention(spans_days=30, runs_days=400, content_days=30, logs_days=30)
OF_ARRIVAL = "^(IngestedAt|applied_at|day|last_seen_at|seen_at|updated_at|version)$"
"""Columns that say when something arrived, or was applied."""
READ = {
    "otel_traces", "otel_traces_full", "otel_traces_trace_id_ts", "span_content", "span_corrections",
    "runs", "loops", "gates", "open_spans", "usage_1m", "ledger_1m", "schema_migrations",
}  # fmt: skip


def payload() -> list[ExportTraceServiceRequest]:
    """Requests that leave a row in every table: a run with a loop, a gate, an error, content, a double, an open one."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Zoë", "gen_ai.conversation.id": "c-1"}
    call = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.id": "r-1", "gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 34,
        "gen_ai.input.messages": messages_json(message("user", "où est le café ☕?"), message("user", "now\n'quoted'")),
        "gen_ai.output.messages": messages_json(message("assistant", "là")),
    }  # fmt: skip
    tool = {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "gen_ai.tool.call.id": "t",
        "gen_ai.tool.call.arguments": '{"q": "café"}', "gen_ai.tool.call.result": "nothing",
    }  # fmt: skip
    gate = {"clew.gate.name": "refund", "clew.gate.kind": "policy", "clew.gate.outcome": "deny", "clew.gate.wait_ms": 5}
    event = Span.Event(time_unix_nano=NOW + 3, name="it happened", attributes=key_values({"a": [1, "b", 2.5]}))
    link = Span.Link(trace_id=bytes(range(16)), span_id=bytes(range(8)), trace_state="x=y")

    def child(number: int, name: str, attributes: dict[str, object], **more: object) -> Span:
        return span(name, attributes, trace_id=trace, span_id=number, parent_id=1, start=NOW + number, **more)

    first = [
        child(2, "chat", call, events=[event], links=[link], kind=Span.SPAN_KIND_CLIENT),
        *(child(number, "tool", tool | {"gen_ai.tool.call.id": f"t{number}"}) for number in (3, 4, 5)),
        child(6, "tool", tool | {"error.type": "timeout"}, status=Status.STATUS_CODE_ERROR, message="too slow"),
        child(7, "gate", gate),
        span("bad", trace_id=0, start=NOW),
    ]
    later = [
        span("agent", agent, trace_id=trace, span_id=1, start=NOW, end=NOW + 10**9, trace_state="ot=th:0"),
        # The same call once more, told by somebody who knows more of it: the first becomes a double.
        child(8, "chat", call | {"gen_ai.usage.cache_read.input_tokens": 600}),
        child(9, "tool", tool | {"clew.pending": True}),
    ]
    resource = {"service.name": "shop", "list": ["a", {"b": True}], "number": 7}
    return [request(*first, resource=resource), request(*later, resource=resource)]


class Both(NamedTuple):
    server: WritableClickHouse
    embedded: Processor
    on_server: Processor


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A processor on each kind of store; both were sent the same."""
    folder = tmp_path_factory.mktemp("stores")
    options = {"settings": {"batch": {"max_wait_ms": 0}}, "env": {"CLEW_CONTENT_KEY": "the same for both"}}
    with (
        writable_clickhouse(folder / "clickhouse") as server,
        processor(folder / "embedded", **options) as embedded,
        processor(folder / "server", "--store", server.dsn(), **options) as on_server,
    ):
        for running in (embedded, on_server):
            for each in payload():
                running.export(each)
                running.settled()  # each is a batch of its own, so that their rows are the same
        yield Both(server, embedded, on_server)


def test_every_table_is_made_the_same(both: Both) -> None:
    made = (
        "SELECT name, replaceRegexpAll(create_table_query, 'UUID \\'[^\\']*\\'', '') FROM system.tables "
        "WHERE database = 'clew' ORDER BY name"
    )
    with both.server.client() as client:
        tables = [tuple(row) for row in client.query(made).result_rows]
    assert tables == both.embedded.rows(made)
    assert {name for name, _ in tables} > READ


@pytest.mark.parametrize("table", sorted(READ))
def test_rows_read_back_the_same(both: Both, table: str) -> None:
    columns = "* EXCEPT(minute)" if table == "ledger_1m" else f"* EXCEPT('{OF_ARRIVAL}')"
    read = f"SELECT {columns} FROM {table} ORDER BY ALL"
    with both.server.client() as client:
        rows = [tuple(row) for row in client.query(read).result_rows]
    assert rows
    assert rows == both.embedded.rows(read)
    assert rows == both.on_server.rows(read)  # its query endpoint passes on


def versions(client: Client) -> list[tuple[object, ...]]:
    return [tuple(row) for row in client.query("SELECT * FROM schema_migrations ORDER BY ALL").result_rows]


def test_a_second_start_applies_nothing(both: Both) -> None:
    with both.server.client() as client:
        before = versions(client)
        assert apply_schema(client, "clew", RETENTION) == []
        assert versions(client) == before
    assert [version for version, *_ in before] == [migration.version for migration in migrations()]


@pytest.fixture
def fresh(both: Both) -> Iterator[Client]:
    """A client on a database of the test's own."""
    name = f"fresh_{uuid.uuid4().hex}"
    with both.server.client("default") as client:
        client.command(f"CREATE DATABASE {name}")
    with both.server.client(name) as client:
        yield client
    both.server.heal()


@pytest.mark.parametrize("statement", ["CREATE TABLE IF NOT EXISTS gates", "^INSERT INTO .*schema_migrations"])
def test_an_interrupted_migration_goes_on_where_it_was(both: Both, fresh: Client, statement: str) -> None:
    both.server.trouble(statement, message="disk full")
    with pytest.raises(StartError, match="disk full"):
        apply_schema(fresh, str(fresh.database), RETENTION)
    both.server.heal()
    assert fresh.command("EXISTS TABLE schema_migrations") == 1
    apply_schema(fresh, str(fresh.database), RETENTION)
    assert [version for version, *_ in versions(fresh)] == [migration.version for migration in migrations()]


def test_a_newer_schema_is_refused_by_its_version(fresh: Client) -> None:
    apply_schema(fresh, str(fresh.database), RETENTION)
    fresh.insert("schema_migrations", [[9999, "later", "x"]], column_names=["version", "name", "checksum"])
    with pytest.raises(StartError, match="schema version 9999, newer than this processor knows"):
        apply_schema(fresh, str(fresh.database), RETENTION)


def test_a_file_that_changed_after_it_was_applied_is_refused_by_name(fresh: Client) -> None:
    apply_schema(fresh, str(fresh.database), RETENTION)
    fresh.insert("schema_migrations", [[2, "otel_traces", "x"]], column_names=["version", "name", "checksum"])
    with pytest.raises(StartError, match=r"0002_otel_traces\.sql"):
        apply_schema(fresh, str(fresh.database), RETENTION)
