"""`clew dead-letter` against a real processor on a server that refuses some spans."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pytest

from shared.cli import Clew, Ended
from shared.otlp import request, span
from shared.processor import Processor, processor
from shared.writable_clickhouse import WritableClickHouse, writable_clickhouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = time.time_ns() // 10**9 * 10**9
TRACE = "0af7651916cd43dd8448eb211c80319c"
PATIENCE_S = 30


class Place(NamedTuple):
    store: WritableClickHouse
    processor: Processor

    def names(self) -> list[str]:
        """Spans in the store."""
        return [name for (name,) in self.processor.rows("SELECT SpanName FROM otel_traces ORDER BY SpanName")]

    def ledger(self) -> tuple[int, ...]:
        """(received, stored, dead letters) of all time."""
        ((*sums,),) = self.processor.rows("SELECT sum(received), sum(stored), sum(dead_letter) FROM ledger_1m")
        return tuple(sums)

    def until(self, sql: str, value: Any) -> None:
        """Return when the query endpoint answers so."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.processor.value(sql)) != value:
            assert time.monotonic() < deadline, f"{sql} gives {found}, expected {value}"
            time.sleep(0.05)

    def command(self, sql: str) -> None:
        with self.store.client() as client:
            client.command(sql)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Five spans were sent; the store refuses `bad` and `worse`."""
    with (
        writable_clickhouse(tmp_path / "clickhouse") as store,
        processor(tmp_path, "--store", store.dsn()) as running,
    ):
        here = Place(store, running)
        here.command("ALTER TABLE otel_traces ADD CONSTRAINT kind CHECK SpanName NOT IN ('bad', 'worse')")
        names = ("a", "bad", "b", "worse", "c")
        spans = [
            span(name, {"n": number, "text": "ä\x1b[31m"}, trace_id=TRACE, span_id=number + 1, start=NOW + 123456789)
            for number, name in enumerate(names)
        ]
        running.export(request(*spans))
        here.until("SELECT count() FROM dead_letter", 2)
        here.until("SELECT sum(received) FROM ledger_1m", 5)
        yield here


@pytest.fixture
def clew(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Clew:
    monkeypatch.setenv("CLEW_HTTP", place.processor.http)
    return Clew(monkeypatch, capfd, place.processor.query)


def listed(clew: Clew) -> list[dict[str, Any]]:
    ended = clew("dead-letter", "list", "--json")
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def well(ended: Ended) -> str:
    assert (ended.code, ended.err) == (0, "")
    return ended.out


def test_refused_spans_are_listed_exported_and_stored_after_all(place: Place, clew: Clew, tmp_path: Path) -> None:
    assert place.names() == ["a", "b", "c"]
    assert place.ledger() == (5, 3, 2)

    out = well(clew("dead-letter", "list"))
    assert out.count("otel_traces") == 2
    assert "Constraint `kind`" in out
    assert "2 dead letters" in out
    assert all(len(line) <= 80 and line.isprintable() for line in out.splitlines())
    known = listed(clew)
    assert {letter["span_id"] for letter in known} == {f"{2:016x}", f"{4:016x}"}
    assert {(letter["where"], letter["code"], letter["trace_id"]) for letter in known} == {("otel_traces", 469, TRACE)}

    assert well(clew("dead-letter", "export", "--output", str(tmp_path / "out.jsonl"))).startswith("2 dead letters")
    exported = {letter["row"]["SpanName"]: letter for letter in map(json.loads, (tmp_path / "out.jsonl").open())}
    assert exported.keys() == {"bad", "worse"}
    row = exported["bad"]["row"]
    assert row["SpanAttributes"] == {"n": "1", "text": "ä\x1b[31m"}
    assert row["Timestamp"].endswith(".123456789Z")
    with pa.ipc.open_stream(base64.b64decode(exported["bad"]["bytes"])) as reader:
        assert reader.read_all().column("SpanName").to_pylist() == ["bad"]
    assert len(well(clew("dead-letter", "export", "--table", "otel_traces")).splitlines()) == 2
    assert well(clew("dead-letter", "export", "--table", "gates")) == ""

    place.command("ALTER TABLE otel_traces DROP CONSTRAINT kind")
    one = exported["worse"]["id"]
    assert well(clew("dead-letter", "retry", "--id", one)).startswith("1 dead letter handed")
    place.until("SELECT count() FROM dead_letter", 1)
    place.until("SELECT sum(stored) FROM ledger_1m", 4)
    assert place.names() == ["a", "b", "c", "worse"]
    assert place.ledger() == (5, 4, 1)

    well(clew("dead-letter", "retry", "--all"))
    place.until("SELECT sum(stored) FROM ledger_1m", 5)
    assert place.names() == ["a", "b", "bad", "c", "worse"]
    assert place.ledger() == (5, 5, 0)
    assert well(clew("dead-letter", "list")) == "No dead letters.\n"
    assert well(clew("dead-letter", "retry", "--all")) == "No dead letters.\n"


def test_a_retry_in_vain_leaves_new_letters_and_one_that_cannot_be_asked_for_says_why(
    place: Place, clew: Clew, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {letter["id"] for letter in listed(clew)}
    well(clew("dead-letter", "retry", "--table", "otel_traces"))
    ids = ", ".join(repr(one) for one in before)
    place.until(f"SELECT countIf(id IN ({ids})) * 10 + count() FROM dead_letter", 2)
    assert place.names() == ["a", "b", "c"]
    assert place.ledger() == (5, 3, 2)

    ended = clew("dead-letter", "retry")
    assert (ended.code, ended.err) == (2, "clew: say which: --id ID, --table NAME or --all\n")
    ended = clew("dead-letter", "retry", "--id", "nope")
    assert ended.code == 1
    assert "no dead letter of a row is called nope" in ended.err
    assert clew("dead-letter", "frobnicate").code == 2
    monkeypatch.setenv("CLEW_HTTP", "127.0.0.1:1")
    ended = clew("dead-letter", "retry", "--all")
    assert ended.code == 1
    assert "no clew processor answers at http://127.0.0.1:1 (Connection refused)" in ended.err
    assert clew("dead-letter", "export", "--output", "/nowhere/file").code == 1
