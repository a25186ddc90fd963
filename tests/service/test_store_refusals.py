"""Rows that a real engine refuses: what becomes of them, of the others, of views, and of a second try."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_processor.write.dead_letter import Letter, letter_rows, retry_dead_letters, row_letters
from clew_processor.write.partitions import CONTENT_OF, KEYS, cut
from clew_processor.write.trouble import Kind, StoreFault
from shared.engine import fresh_store
from shared.genai import chat, gate, tool
from shared.otlp import T0, message, messages_json, request, span
from shared.pipeline import Recorder, arrived, new_pipeline
from shared.writers import (
    ARRIVAL_NS,
    MemoryFiles,
    SteppedStore,
    Tally,
    Time,
    every_crash,
    in_letter,
    spans,
    writer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew_processor.write.store import Store

NAMES = [f"s{i}" for i in range(20)]


@pytest.fixture(scope="module")
def engine() -> Store:
    return fresh_store()


@pytest.fixture
def store(engine: Store) -> Iterator[Store]:
    """Empty tables that take everything."""
    yield engine
    for table, rule in engine.client.query(
        "SELECT name, extract(create_table_query, 'CONSTRAINT (\\w+)') AS rule FROM system.tables "
        "WHERE database = currentDatabase() AND rule != ''"
    ).result_rows:
        engine.client.command(f"ALTER TABLE {table} DROP CONSTRAINT {rule}")
    engine.client.command("DROP VIEW IF EXISTS by_somebody_mv")
    engine.client.command("DROP TABLE IF EXISTS by_somebody")
    for table in ("otel_traces", "otel_traces_trace_id_ts", "gates", "dead_letters"):
        engine.client.command(f"TRUNCATE TABLE {table}")


def forbid(store: Store, *names: str, table: str = "otel_traces", column: str = "SpanName") -> None:
    """The table takes no rows of these names any more."""
    store.client.command(
        f"ALTER TABLE {table} ADD CONSTRAINT not_these CHECK {column} NOT IN ({', '.join(map(repr, names))})"
    )


def allow(store: Store) -> None:
    store.client.command("ALTER TABLE otel_traces DROP CONSTRAINT IF EXISTS not_these")


def stored(store: Store) -> list[str]:
    return [name for (name,) in store.client.query("SELECT SpanName FROM otel_traces ORDER BY SpanName").result_rows]


def letters(store: Store) -> list[dict[str, Any]]:
    found = store.client.query(
        "SELECT * FROM dead_letter ORDER BY length(position), position", column_formats={"bytes": "bytes"}
    )
    return list(found.named_results())


def dead(store: Store) -> list[str]:
    return sorted(in_letter(letter["bytes"])["SpanName"] for letter in letters(store))


def traces(store: Store) -> list[tuple[str, int]]:
    """Rows of the view's target, by trace id."""
    return store.client.query("SELECT TraceId, count() FROM otel_traces_trace_id_ts GROUP BY TraceId").result_rows


def test_a_constraint_costs_the_rows_that_violate_it(store: Store) -> None:
    forbid(store, "s3", "s17")
    assert writer(store).write("b", {"otel_traces": spans(*NAMES)}, arrival_ns=ARRIVAL_NS) == {
        "otel_traces": {"default": 2}
    }
    assert stored(store) == sorted(set(NAMES) - {"s3", "s17"})
    assert [number for _, number in traces(store)] == [1] * 18
    first, second = letters(store)
    assert (first["where"], first["code"], first["tenant_id"]) == ("otel_traces", 469, "default")
    assert "Constraint `not_these`" in first["reason"]
    assert first["span_id"] == spans("s3").column("SpanId").to_pylist()[0]
    assert second["trace_id"] == spans("s17").column("TraceId").to_pylist()[0]
    assert first["arrived_at"].timestamp() == ARRIVAL_NS / 10**9


def test_a_number_beyond_its_column_costs_that_row(store: Store) -> None:
    rows = spans(*NAMES, cost={"s5": "99999999999.5"})
    writer(store).write("b", {"otel_traces": rows}, arrival_ns=ARRIVAL_NS)
    assert stored(store) == sorted(set(NAMES) - {"s5"})
    (letter,) = letters(store)
    assert letter["code"] == 407
    with pa.ipc.open_stream(letter["bytes"]) as reader:
        assert reader.read_all().to_pylist() == rows.slice(5, 1).to_pylist()


def test_a_crash_at_any_step_of_the_search_stores_every_row_once(store: Store) -> None:
    """Although the store takes every row when the processor is back."""
    runs = itertools.count()
    files = sink = number = None
    names: list[str] = []

    def batch() -> Any:
        rows = pa.concat_tables([spans(*names[:4]), spans(*names[4:], day=20_001)]).unify_dictionaries()
        return writer(sink, files).write(f"b{number}", {"otel_traces": rows.combine_chunks()}, arrival_ns=ARRIVAL_NS)

    def run(step: Any) -> None:
        nonlocal files, sink, names, number
        number = next(runs)
        names = [f"{number}-{i}" for i in range(6)]
        files, sink = MemoryFiles(step), SteppedStore(store, step)
        allow(store)
        forbid(store, names[1], names[5])
        batch()

    crashes = 0
    for crashes in every_crash(run):  # noqa: B007 - the last one counts
        files.steps = sink.steps = lambda _: None
        allow(store)
        first = batch()
        assert batch() == first
        mine = [name for name in [*stored(store), *dead(store)] if name.startswith(f"{number}-")]
        assert sorted(mine) == names
    assert crashes > 20
    assert {number for _, number in traces(store)} == {1}


def test_a_view_that_fails_gets_its_rows_once_when_it_works_again(store: Store) -> None:
    """The engine has put the rows into the table by the time it tells that a view failed."""
    store.client.command(
        "CREATE TABLE by_somebody (name String) ENGINE = MergeTree ORDER BY name "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    failing = "CREATE MATERIALIZED VIEW by_somebody_mv TO by_somebody AS SELECT SpanName AS name FROM otel_traces "
    store.client.command(failing + "WHERE NOT throwIf(SpanName = 's4')")
    time = Time(end=30)
    with pytest.raises(Exception, match="enough"):
        writer(store, time=time).write("b", {"otel_traces": spans(*NAMES)}, arrival_ns=ARRIVAL_NS)
    assert stored(store) == sorted(NAMES)
    store.client.command("DROP VIEW by_somebody_mv")
    store.client.command(failing)
    writer(store).write("b", {"otel_traces": spans(*NAMES)}, arrival_ns=ARRIVAL_NS)
    assert stored(store) == sorted(NAMES)
    assert store.client.command("SELECT (count(), uniqExact(name)) FROM by_somebody") == "(20,20)"
    assert not letters(store)


def test_a_view_that_never_takes_a_row_holds_nothing_up_and_doubles_nothing(store: Store) -> None:
    store.client.command("CREATE TABLE by_somebody (name String) ENGINE = MergeTree ORDER BY name")
    store.client.command(
        "CREATE MATERIALIZED VIEW by_somebody_mv TO by_somebody AS "
        "SELECT SpanName AS name FROM otel_traces WHERE NOT throwIf(SpanName = 's4')"
    )
    watch = Tally()
    writing = writer(store, watch=watch)
    assert writing.write("b", {"otel_traces": spans(*NAMES)}, arrival_ns=ARRIVAL_NS) == {}
    assert writing.write("c", {"otel_traces": spans("later")}, arrival_ns=ARRIVAL_NS) == {}
    assert stored(store) == sorted([*NAMES, "later"])
    assert len(traces(store)) == 21
    assert set(watch.failures) == {("otel_traces", "view")}
    assert not letters(store)


def test_a_row_that_names_a_view_is_blamed_itself(store: Store) -> None:
    name = "x: while pushing to view default.v"
    forbid(store, name)
    writer(store).write("b", {"otel_traces": spans(*NAMES, name)}, arrival_ns=ARRIVAL_NS)
    assert stored(store) == sorted(NAMES)
    assert dead(store) == [name]


def real_rows() -> dict[str, pa.Table]:
    """Rows of every table, as the stages make them."""
    sink = Recorder()
    pipeline = new_pipeline(sink)
    content = {"gen_ai.input.messages": messages_json(message("user", "où est le café ☕?"))}
    for number in (2, 1):
        looping = [tool(10 * number + i, "search", {}) for i in range(3)]
        call = chat(number, tokens={"input": 1}, response="r")
        plain = span(
            "x", content | {"list": [1, "b"]}, trace_id=number, events=[Span.Event(name="e", time_unix_nano=T0)]
        )
        pending = span("open", {"clew.pending": True, "clew.op": "step"}, span_id=99, trace_id=number)
        pipeline.process([arrived(request(call, gate(9, "deny"), plain, pending, *looping))])
    return {name: pa.concat_tables(rows).unify_dictionaries().combine_chunks() for name, rows in sink.tables.items()}


def test_every_kind_of_row_survives_being_a_dead_letter(store: Store) -> None:
    """What was refused and is tried again is stored to the last bit as if it had been taken at once."""
    rows = real_rows()
    of_logs = {"otel_logs", "span_messages"}
    assert rows.keys() >= (KEYS.keys() | CONTENT_OF.keys()) - of_logs
    read = {name: f"SELECT * FROM {name} ORDER BY ALL" for name in rows}
    for name, table in rows.items():
        for partition, part in cut(name, table):
            store.put(name, part, token=f"straight:{partition}")
    straight = {name: store.client.query_arrow(sql) for name, sql in read.items()}
    assert all(table.num_rows for table in straight.values())
    for name in rows:
        store.client.command(f"TRUNCATE TABLE {name}")

    writing = writer(store)
    for name, table in rows.items():
        positions = [str(i) for i in range(table.num_rows)]
        found = row_letters(name, table, positions, [(469, "refused")] * table.num_rows)
        writing.write(f"b-{name}", {"dead_letters": letter_rows("b", found, ARRIVAL_NS)}, arrival_ns=ARRIVAL_NS)
    waiting = letters(store)
    assert len(waiting) == sum(table.num_rows for table in rows.values())
    assert {letter["tenant_id"] for letter in waiting} == {"default"}
    moved = retry_dead_letters(writing, "r", [letter["id"] for letter in waiting], arrival_ns=ARRIVAL_NS)
    assert moved == {name: {"default": table.num_rows} for name, table in rows.items()}
    assert not letters(store)
    for name, sql in read.items():
        assert store.client.query_arrow(sql).equals(straight[name]), name
        store.client.command(f"TRUNCATE TABLE {name}")


def test_a_row_refused_again_is_a_new_letter_and_the_old_one_is_gone(store: Store) -> None:
    forbid(store, "s1", "s2")
    writing = writer(store)
    writing.write("b", {"otel_traces": spans(*NAMES)}, arrival_ns=ARRIVAL_NS)
    before = [letter["id"] for letter in letters(store)]
    allow(store)
    forbid(store, "s2")
    for _ in range(2):  # the second time is a replay
        assert retry_dead_letters(writing, "r", before, arrival_ns=ARRIVAL_NS) == {"otel_traces": {"default": 1}}
        assert dead(store) == ["s2"]
        assert stored(store) == sorted(set(NAMES) - {"s2"})
    assert not {letter["id"] for letter in letters(store)} & set(before)
    assert retry_dead_letters(writing, "r2", before, arrival_ns=ARRIVAL_NS) == {}


def test_a_crash_at_any_step_of_a_retry_stores_every_row_once(store: Store) -> None:
    runs = itertools.count()
    number = 0
    ids: list[str] = []
    files = sink = None

    def retry() -> Any:
        return retry_dead_letters(writer(sink, files), f"r{number}", ids, arrival_ns=ARRIVAL_NS)

    def run(step: Any) -> None:
        nonlocal number, ids, files, sink
        number = next(runs)
        names = [f"{number}-{i}" for i in range(3)]
        allow(store)
        forbid(store, *names[:2])
        files, sink = MemoryFiles(), SteppedStore(store)
        writer(sink, files).write(f"b{number}", {"otel_traces": spans(*names)}, arrival_ns=ARRIVAL_NS)
        ids = [letter["id"] for letter in letters(store) if letter["batch"] == f"b{number}"]
        allow(store)
        forbid(store, names[0])
        files.steps = sink.steps = step
        retry()

    crashes = 0
    for crashes in every_crash(run):  # noqa: B007 - the last one counts
        files.steps = sink.steps = lambda _: None
        for _ in range(2):
            assert retry() == {"otel_traces": {"default": 1}}
            mine = [[name for name in found if name.startswith(f"{number}-")] for found in (stored(store), dead(store))]
            assert mine == [[f"{number}-{i}" for i in (1, 2)], [f"{number}-0"]]
    assert crashes > 10


def test_a_request_among_the_letters_is_left_where_it_is(store: Store) -> None:
    writing = writer(store)
    letter = Letter("default", "request", "17", "the stages stumbled over it", b"\x0a\xff\x00")
    writing.write("b", {"dead_letters": letter_rows("b", [letter], ARRIVAL_NS)}, arrival_ns=ARRIVAL_NS)
    (found,) = letters(store)
    assert (found["where"], found["bytes"]) == ("request", b"\x0a\xff\x00")
    assert retry_dead_letters(writing, "r", [found["id"], "no such id"], arrival_ns=ARRIVAL_NS) == {}
    assert len(letters(store)) == 1


def test_many_letters_are_retried_some_at_a_time(store: Store) -> None:
    names = [f"m{i:03}" for i in range(150)]
    forbid(store, *names)
    writing = writer(store)
    writing.write("b", {"otel_traces": spans(*names)}, arrival_ns=ARRIVAL_NS)
    allow(store)
    ids = [letter["id"] for letter in letters(store)]
    assert retry_dead_letters(writing, "r", ids, arrival_ns=ARRIVAL_NS) == {"otel_traces": {"default": 150}}
    assert stored(store) == names
    assert not letters(store)


def test_a_store_that_cannot_be_asked_is_waited_for(store: Store) -> None:
    forbid(store, "s1")
    sink, time = SteppedStore(store), Time()
    writing = writer(sink, time=time)
    writing.write("b", {"otel_traces": spans(*NAMES)}, arrival_ns=ARRIVAL_NS)
    allow(store)
    down = itertools.repeat(None, 30)

    def step(_: str) -> None:
        if next(down, 0) is None:
            raise StoreFault("down", Kind.TROUBLE)

    sink.steps = step
    (letter,) = letters(store)
    assert retry_dead_letters(writing, "r", [letter["id"]], arrival_ns=ARRIVAL_NS) == {"otel_traces": {"default": 1}}
    assert len(time.pauses) == 30
