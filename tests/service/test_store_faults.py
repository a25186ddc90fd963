"""A server in every kind of trouble: what the writer was given arrives once, when it can."""

from __future__ import annotations

import itertools
import random
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pytest
import urllib3

from clew_processor.errors import ConfigError, StartError
from clew_processor.write.schema import apply_schema
from clew_processor.write.store import Store
from clew_processor.write.trouble import Kind, StoreFault
from shared.engine import KEPT
from shared.writable_clickhouse import (
    BAD_GATEWAY,
    HANG,
    HANG_IN_ANSWER,
    LOSE_ANSWER,
    REFUSE,
    RESET,
    WritableClickHouse,
    writable_clickhouse,
)
from shared.writers import ARRIVAL_NS, Time, gates, spans, writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

ANSWER_S = 1
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WritableClickHouse]:
    with writable_clickhouse(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture(scope="module")
def store(server: WritableClickHouse) -> Store:
    return Store.later(server.dsn(), answer_timeout_s=ANSWER_S, prepare=tables)


def tables(client: Client, database: str) -> None:
    apply_schema(client, database, KEPT)


@pytest.fixture(autouse=True)
def healed(server: WritableClickHouse) -> Iterator[None]:
    yield
    server.heal()


def batch() -> tuple[str, dict[str, pa.Table]]:
    """A batch of its own, in two tables, over two days."""
    number = next(_numbers)
    names = [f"{number}-{i}" for i in range(6)]
    both = pa.concat_tables([spans(*names[:3]), spans(*names[3:], day=20_001)]).unify_dictionaries()
    return str(number), {"otel_traces": both.combine_chunks(), "gates": gates(*names)}


def counts(server: WritableClickHouse, batch_id: str) -> list[tuple[int, int]]:
    """(rows, distinct rows) of a batch in each table, and in the view's target."""
    with server.client() as client:
        return [
            tuple(client.query(sql, {"prefix": f"{batch_id}-"}).first_row)
            for sql in (
                "SELECT count(), uniqExact(SpanName) FROM otel_traces WHERE startsWith(SpanName, {prefix:String})",
                "SELECT count(), uniqExact(gate_name) FROM gates WHERE startsWith(gate_name, {prefix:String})",
                IN_VIEW,
            )
        ]


IN_VIEW = """
    SELECT count(), uniqExact(TraceId) FROM otel_traces_trace_id_ts
    WHERE TraceId IN (SELECT TraceId FROM otel_traces WHERE startsWith(SpanName, {prefix:String}))
"""
ONCE = [(6, 6)] * 3
CODES = {
    "too many parts": (252, "TOO_MANY_PARTS"),
    "memory": (241, "MEMORY_LIMIT_EXCEEDED"),
    "readonly": (164, "READONLY"),
    "read-only table": (242, "TABLE_IS_READ_ONLY"),
    "disk full": (243, "NOT_ENOUGH_SPACE"),
    "timeout": (159, "TIMEOUT_EXCEEDED"),
    "too many queries": (202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
    "password": (516, "AUTHENTICATION_FAILED"),
    "no such table": (60, "UNKNOWN_TABLE"),
    "keeper": (999, "KEEPER_EXCEPTION"),
}


@pytest.mark.parametrize("error", CODES.values(), ids=CODES)
def test_an_error_of_the_server_is_waited_for(server: WritableClickHouse, store: Store, error: tuple[int, str]) -> None:
    batch_id, rows = batch()
    server.trouble("INSERT INTO", REFUSE, error=error, times=50)
    assert writer(store).write(batch_id, rows, arrival_ns=ARRIVAL_NS) == {}
    assert server.troubled() == 50
    assert counts(server, batch_id) == ONCE


@pytest.mark.parametrize("how", [RESET, BAD_GATEWAY, LOSE_ANSWER])
def test_an_answer_that_does_not_come_is_no_refusal(server: WritableClickHouse, store: Store, how: str) -> None:
    batch_id, rows = batch()
    server.trouble("INSERT INTO", how, times=20)
    assert writer(store).write(batch_id, rows, arrival_ns=ARRIVAL_NS) == {}
    assert server.troubled() == 20
    assert counts(server, batch_id) == ONCE


@pytest.mark.parametrize("how", [HANG, HANG_IN_ANSWER])
def test_a_server_that_falls_silent_is_tried_again_and_what_it_does_late_adds_nothing(
    server: WritableClickHouse, store: Store, how: str
) -> None:
    batch_id, rows = batch()
    server.trouble("INSERT INTO", how, times=2)
    writer(store).write(batch_id, rows, arrival_ns=ARRIVAL_NS)
    assert counts(server, batch_id) == ONCE
    server.heal()  # what hung goes on now
    after = batch()
    writer(store).write(*after, arrival_ns=ARRIVAL_NS)
    assert counts(server, after[0]) == ONCE
    assert counts(server, batch_id) == ONCE


def test_a_table_that_is_missing_is_waited_for(server: WritableClickHouse, store: Store) -> None:
    batch_id, rows = batch()
    time = Time()

    def pause(seconds: float) -> None:
        time.pauses.append(seconds)
        if len(time.pauses) == 20:
            with server.client() as client:
                client.command("RENAME TABLE away TO gates")

    with server.client() as client:
        client.command("RENAME TABLE gates TO away")
    writing = writer(store)
    writing._pause = pause
    assert writing.write(batch_id, rows, arrival_ns=ARRIVAL_NS) == {}
    assert len(time.pauses) == 20
    assert counts(server, batch_id) == ONCE


def test_too_many_parts_of_the_engine_itself_are_waited_for(server: WritableClickHouse, store: Store) -> None:
    batch_id, rows = batch()
    time = Time()

    def pause(seconds: float) -> None:
        time.pauses.append(seconds)
        if len(time.pauses) == 20:
            with server.client() as client:
                client.command("ALTER TABLE gates RESET SETTING parts_to_throw_insert")

    writing = writer(store)
    writing.write(*batch(), arrival_ns=ARRIVAL_NS)
    with server.client() as client:
        client.command("ALTER TABLE gates MODIFY SETTING parts_to_throw_insert = 1")
    writing._pause = pause
    assert writing.write(batch_id, rows, arrival_ns=ARRIVAL_NS) == {}
    assert len(time.pauses) == 20
    assert counts(server, batch_id) == ONCE


def test_any_mixture_of_troubles_leaves_every_row_once(server: WritableClickHouse, store: Store) -> None:
    chance = random.Random(4)
    writing = writer(store)
    written = []
    for _ in range(25):
        batch_id, rows = batch()
        how = chance.choice([RESET, BAD_GATEWAY, LOSE_ANSWER, LOSE_ANSWER, REFUSE])
        server.trouble(chance.choice(["otel_traces", "gates"]), how, times=chance.randrange(4))
        for _ in range(chance.randrange(1, 4)):  # more than once is a replay
            writing.write(batch_id, rows, arrival_ns=ARRIVAL_NS)
        written.append(batch_id)
    server.heal()
    assert [counts(server, batch_id) for batch_id in written] == [ONCE] * 25


def test_a_poison_row_is_found_while_answers_get_lost(server: WritableClickHouse, store: Store) -> None:
    batch_id, rows = batch()
    with server.client() as client:
        client.command(f"ALTER TABLE otel_traces ADD CONSTRAINT no_two CHECK SpanName != '{batch_id}-2'")
    server.trouble("otel_traces", LOSE_ANSWER, times=4)
    dead = writer(store).write(batch_id, rows, arrival_ns=ARRIVAL_NS)
    assert dead == {"otel_traces": {"default": 1}}
    assert counts(server, batch_id) == [(5, 5), (6, 6), (5, 5)]
    with server.client() as client:
        client.command("ALTER TABLE otel_traces DROP CONSTRAINT no_two")
        assert client.command("SELECT count() FROM dead_letter") == 1


def test_a_store_that_is_not_up_yet_is_waited_for(tmp_path: Path) -> None:
    with writable_clickhouse(tmp_path / "first") as first:
        port = first.port
    store = Store.later(first.dsn(), answer_timeout_s=ANSWER_S, prepare=tables)
    with pytest.raises(StoreFault) as caught:
        store.put("gates", gates("a"), token="t")
    assert caught.value.kind is Kind.TROUBLE
    assert "Connection refused" in str(caught.value)

    batch_id, rows = batch()
    tried = threading.Event()
    writing = writer(store)
    writing._pause = lambda _: tried.set() or threading.Event().wait(0.05)
    thread = threading.Thread(target=lambda: writing.write(batch_id, rows, arrival_ns=ARRIVAL_NS))
    thread.start()
    tried.wait()
    with writable_clickhouse(tmp_path / "second", port=port) as server:
        thread.join()
        assert counts(server, batch_id) == ONCE
        store.close()


def test_tables_that_cannot_be_made_yet_are_waited_for(server: WritableClickHouse) -> None:
    made: list[str] = []

    def prepare(client: Client, database: str) -> None:
        made.append(database)
        if len(made) < 4:
            raise StartError("store: cannot bring database up to date: disk full")
        apply_schema(client, database, KEPT)

    store = Store.later(server.dsn("another"), answer_timeout_s=ANSWER_S, prepare=prepare)
    writer(store).write("b", {"gates": gates("a")}, arrival_ns=ARRIVAL_NS)
    assert made == ["another"] * 4
    assert store.client.command("SELECT count() FROM gates") == 1
    store.close()


def test_an_address_that_is_none_is_told_at_once() -> None:
    with pytest.raises(ConfigError, match="unknown scheme"):
        Store.later("mysql://host/db", answer_timeout_s=ANSWER_S)


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    with writable_clickhouse(tmp_path) as gone:
        dsn = gone.dsn()
    with pytest.raises(StartError, match=r"cannot open clickhouse://127.0.0.1:\d+/clew: Connection refused"):
        _ = Store.later(dsn, answer_timeout_s=ANSWER_S).client


def test_every_insert_says_how_it_wants_to_be_taken(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the defaults of a server or a profile are."""
    sent: list[dict[str, Any]] = []
    urlopen = urllib3.HTTPConnectionPool.urlopen

    def noting(pool: Any, method: str, url: str, *args: Any, **more: Any) -> Any:
        sent.append(dict(parse_qsl(urlsplit(url).query)))
        return urlopen(pool, method, url, *args, **more)

    monkeypatch.setattr(urllib3.HTTPConnectionPool, "urlopen", noting)
    store.put("gates", gates("a"), token="settings")
    monkeypatch.undo()
    (settings,) = sent
    expected = {
        "async_insert": "0",
        "wait_end_of_query": "1",
        "insert_deduplicate": "1",
        "deduplicate_insert": "enable",
        "deduplicate_blocks_in_dependent_materialized_views": "1",
        "insert_deduplication_token": "settings",
    }
    assert {name: settings.get(name) for name in expected} == expected
