"""Rows are cut where the tables are: one insert, one partition."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew_processor.write.partitions import CONTENT_OF, KEYS, Key, Period, cut
from clew_processor.write.schema import migrations
from shared.engine import fresh_store

DAY_NS = 86_400 * 10**9
BY = {  # PARTITION BY as the SQL files have it, with the type of the column -> how the rows are cut
    ("toDate({})", "DateTime64(9"): (DAY_NS, Period.DAY),
    ("toDate({})", "DateTime("): (86_400, Period.DAY),
    ("{}", "Date"): (1, Period.DAY),
    ("toYYYYMM(fromUnixTimestamp64Nano(toInt64({})))", "UInt64"): (DAY_NS, Period.MONTH),
}
#: Nobody inserts rows into these but the engine itself, or the schema.
NOT_OURS = {"otel_traces_trace_id_ts", "schema_migrations"}


def declared() -> dict[str, Key | None]:
    """What each table of the SQL files is partitioned by."""
    found: dict[str, Key | None] = {}
    for file in migrations():
        if not re.search(r"CREATE TABLE IF NOT EXISTS", file.template) or file.name in NOT_OURS:
            continue
        by = re.search(r"^PARTITION BY (.+)$", file.template, re.MULTILINE)
        found[file.name] = None
        if by:
            column = re.findall(r"\w+", by[1])[-1]
            kind = re.search(rf"^    {column} +(\S+)", file.template, re.MULTILINE)[1]
            ((per_day, period),) = (
                how for (text, of), how in BY.items() if by[1] == text.format(column) and kind.startswith(of)
            )
            found[file.name] = Key(column, per_day, period)
    return found


def test_every_table_is_cut_by_what_its_sql_file_says():
    tables = declared()
    assert {name: key for name, key in tables.items() if key} == KEYS
    assert CONTENT_OF.keys() == {name for name, key in tables.items() if not key} - {"dead_letters"}


COLUMNS = {  # (table, the partitioning column's Arrow type, units in a day)
    "otel_traces": (pa.timestamp("ns", "UTC"), DAY_NS),
    "otel_logs": (pa.timestamp("ns", "UTC"), DAY_NS),
    "span_messages": (pa.timestamp("ns", "UTC"), DAY_NS),
    "gates": (pa.timestamp("ns", "UTC"), DAY_NS),
    "open_span_marks": (pa.timestamp("ns", "UTC"), DAY_NS),
    "loop_versions": (pa.timestamp("ns", "UTC"), DAY_NS),
    "usage_1m": (pa.uint32(), 86_400),
    "ledger_1m": (pa.uint32(), 86_400),
    "run_deltas": (pa.uint16(), 1),
    "dialects": (pa.uint16(), 1),
    "span_corrections": (pa.uint64(), DAY_NS),
}


@pytest.mark.parametrize("table", KEYS)
def test_each_piece_is_one_partition_in_the_engine(table: str):
    kind, per_day = COLUMNS[table]
    days = [19_000, 19_000 + 365, 20_000, 20_026, 20_027, 20_028, 20_100]  # 20_028 is the first of a month
    times = [day * per_day + more for day in days for more in {0, per_day - 1}]
    np.random.default_rng(1).shuffle(times)
    store = fresh_store()
    pieces = cut(table, pa.table({KEYS[table].column: pa.array(times, kind)}))
    for label, rows in pieces:
        store.put(table, rows, token=label)
    parts = store.client.query(
        "SELECT partition, sum(rows) FROM system.parts WHERE database = {d:String} AND table = {t:String} AND active "
        "AND partition != '' GROUP BY partition ORDER BY partition",
        {"d": store.database, "t": table},
    ).result_rows
    by_month = KEYS[table].period is Period.MONTH
    assert [name.replace("-", "") if by_month else name for name, _ in pieces] == [name for name, _ in parts]
    assert len(pieces) == (5 if by_month else len(days))


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=50))
def test_no_row_is_lost_or_moved_within_its_partition(times: list[int]):
    rows = pa.table({"Timestamp": pa.array(times, pa.timestamp("ns", "UTC")), "n": range(len(times))})
    pieces = cut("otel_traces", rows)
    assert sorted(n for _, piece in pieces for n in piece.column("n").to_pylist()) == list(range(len(times)))
    for label, piece in pieces:
        numbers = piece.column("n").to_pylist()
        assert numbers == sorted(numbers)
        assert {str(np.datetime64(times[n] // DAY_NS, "D")) for n in numbers} == {label}
    assert len({label for label, _ in pieces}) == len(pieces)


def test_rows_of_one_day_are_not_copied():
    rows = pa.table({"Timestamp": pa.array([DAY_NS, DAY_NS + 1], pa.timestamp("ns", "UTC"))})
    ((label, piece),) = cut("otel_traces", rows)
    assert label == "1970-01-02"
    assert piece is rows
