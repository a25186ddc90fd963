"""Creating the tables: once, resumable, and never over a database that is not ours to change."""

from __future__ import annotations

import re

import pytest

from clew_processor.errors import StartError
from clew_processor.write import schema
from clew_processor.write.schema import Migration, apply_schema, migrations
from shared.engine import KEPT, fresh_store
from shared.genai import chat, gate, tool
from shared.otlp import request
from shared.pipeline import Recorder, arrived, new_pipeline


def tables(store) -> set[str]:
    return {name for (name,) in store.client.query("SHOW TABLES").result_rows if not name.startswith(".")}


def test_every_file_is_numbered_and_makes_or_changes_what_it_is_named_after():
    files = migrations()
    versions = [file.version for file in files]
    assert versions == sorted(set(versions))
    for file in files:
        assert re.search(
            rf"^(CREATE (TABLE|VIEW|MATERIALIZED VIEW|DICTIONARY) IF NOT EXISTS|CREATE OR REPLACE VIEW|ALTER TABLE) "
            rf"{file.name}\b",
            file.template,
            re.MULTILINE,
        ), file


def test_a_second_run_changes_nothing():
    store = fresh_store()
    before = tables(store)
    assert before == {file.name for file in migrations()}
    assert apply_schema(store.client, store.database, KEPT) == []
    assert tables(store) == before


def test_an_interrupted_run_is_finished_by_the_next():
    store = fresh_store()
    store.client.command("DROP VIEW runs")
    store.client.command("DELETE FROM schema_migrations WHERE version >= 8")
    again = apply_schema(store.client, store.database, KEPT)
    assert [file.version for file in again] == [file.version for file in migrations() if file.version >= 8]
    assert "runs" in tables(store)


def test_a_file_that_changed_after_it_was_applied_is_refused(monkeypatch):
    store = fresh_store()
    changed = [Migration(f.version, f.name, f.template + ("-- new" if f.version == 7 else "")) for f in migrations()]
    monkeypatch.setattr(schema, "migrations", lambda: changed)
    with pytest.raises(StartError, match=r"0007_run_deltas\.sql is not the file .* was made with"):
        apply_schema(store.client, store.database, KEPT)


def test_a_database_of_a_newer_processor_is_refused():
    store = fresh_store()
    store.client.insert("schema_migrations", [[9999, "future", "x"]], column_names=["version", "name", "checksum"])
    with pytest.raises(StartError, match=r"has schema version 9999, newer than this processor knows"):
        apply_schema(store.client, store.database, KEPT)


def test_every_table_of_rows_forgets_after_its_retention():
    store = fresh_store()
    engines = store.client.query(
        "SELECT name, create_table_query FROM system.tables "
        "WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    ).result_rows
    kept = {name for name, statement in engines if " TTL " in statement}
    assert {name for name, _ in engines} - kept == {"schema_migrations"}


def test_one_inserts_token_stores_its_rows_once_in_every_table():
    """A retried insert must not count twice."""
    sink, store = Recorder(), fresh_store()
    pipeline = new_pipeline(sink)
    for number in (2, 1):
        looping = [tool(10 * number + i, "search", {}) for i in range(3)]
        pipeline.process([arrived(request(chat(number, tokens={"input": 1}, response="r"), gate(9, "deny"), *looping))])
    written = set(sink.tables)
    assert written == {
        "span_contents", "otel_traces", "gates", "loop_versions", "span_corrections", "usage_1m", "run_deltas",
        "ledger_1m", "dialects",
    }  # fmt: skip
    counts = []
    for _ in range(3):
        sink.copy_to(store)
        counts.append({name: store.client.command(f"SELECT count() FROM {name}") for name in written})
    assert counts[0] == counts[1] == counts[2]
