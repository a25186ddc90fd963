"""Every row once, in its table or as a dead letter: whatever the store refuses, and wherever the process ends."""

from __future__ import annotations

import itertools
import json
import logging
import zlib

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew_processor.errors import Stopped
from clew_processor.write import writer as writer_module
from clew_processor.write.trouble import Kind, StoreFault
from shared.writers import (
    ARRIVAL_NS,
    Crash,
    FakeSink,
    MemoryFiles,
    Tally,
    Time,
    every_crash,
    gates,
    in_letter,
    refuses,
    writer,
)

ABC = tuple("abcdefghij")


def trouble(times: int, kind: Kind = Kind.TROUBLE, **more):
    """A `steps` that fails the first so many inserts, and counts them."""
    left = itertools.repeat(None, times)

    def step(when: str) -> None:
        if when == "rows are about to be taken" and next(left, 0) is None:
            raise StoreFault("not now", kind, **more)

    return step


def test_tables_are_inserted_in_order_one_insert_a_partition_with_tokens_of_batch_table_and_partition():
    sink = FakeSink()
    later_first = pa.concat_tables([gates("b", "d", day=20_001), gates("a", "c", day=20_000)]).combine_chunks()
    ledger = pa.table({"minute": pa.array([86_400 * 20_000 + 60], pa.uint32()), "tenant_id": ["t"]})
    assert writer(sink).write("s-0-9", {"gates": later_first, "x": None, "ledger_1m": ledger}, arrival_ns=0) == {}
    assert [(table, rows, token) for table, rows, token, _ in sink.puts] == [
        ("gates", 2, "s-0-9:gates:2024-10-04"),
        ("gates", 2, "s-0-9:gates:2024-10-05"),
        ("ledger_1m", 1, "s-0-9:ledger_1m:2024-10-04"),
    ]
    assert [row["gate_name"] for row in sink.rows["gates"]] == ["a", "c", "b", "d"]


def test_rows_at_fault_become_dead_letters_and_the_others_are_stored():
    sink, watch = FakeSink(), Tally()
    sink.refuse = refuses("c", "h")
    dead = writer(sink, watch=watch).write("s-0-9", {"gates": gates(*ABC)}, arrival_ns=ARRIVAL_NS)
    assert dead == {"gates": {"default": 2}}
    assert sink.names() == list("abdefgij")
    letters = sink.rows["dead_letters"]
    assert [(row["where"], row["reason"], row["code"], row["position"], row["span_id"]) for row in letters] == [
        ("gates", "c is bad", 469, "2024-10-04:2", f"{2:016x}"),
        ("gates", "h is bad", 469, "2024-10-04:7", f"{7:016x}"),
    ]
    assert {(row["batch"], row["tenant_id"], row["arrived_at"].year) for row in letters} == {("s-0-9", "default", 2026)}
    assert [in_letter(row["bytes"]) for row in letters] == [gates(*ABC).to_pylist()[i] for i in (2, 7)]
    assert watch.dead == {"gates": 2}
    assert not watch.lost


def test_dead_letters_are_counted_by_tenant():
    sink = FakeSink()
    sink.refuse = refuses("a", "b", "c")
    rows = pa.concat_tables([gates("a", "x", tenant="one"), gates("b", "c", tenant="two")]).unify_dictionaries()
    dead = writer(sink).write("s-0-9", {"gates": rows.combine_chunks()}, arrival_ns=0)
    assert dead == {"gates": {"one": 1, "two": 2}}


def batch(sink: FakeSink, files: MemoryFiles):
    """What a processor does with a batch of two tables and two days, from the start of the process."""
    both = pa.concat_tables([gates(*ABC), gates("x", "y", "z", day=20_001)]).unify_dictionaries().combine_chunks()
    ledger = pa.table({"minute": pa.array([86_400 * 20_000], pa.uint32()), "tenant_id": ["t"], "gate_name": ["ledger"]})
    writing = writer(sink, files)
    dead = writing.write("s-0-9", {"gates": both}, arrival_ns=ARRIVAL_NS)
    writing.write("s-0-9", {"ledger_1m": ledger}, arrival_ns=ARRIVAL_NS)
    return dead


@pytest.mark.parametrize("afterwards", [("c", "h", "i", "y"), ("c", "y"), ()])
def test_a_crash_at_any_step_leaves_every_row_once(afterwards: tuple[str, ...]):
    """Also when the store has become kinder since."""
    sink = files = None

    def run(step) -> None:
        nonlocal sink, files
        sink, files = FakeSink(), MemoryFiles(step)
        sink.steps, sink.refuse = step, refuses("c", "h", "i", "y")
        batch(sink, files)

    crashes = 0
    for crashes in every_crash(run):  # noqa: B007 - the last one counts
        files.steps = sink.steps = lambda _: None
        sink.refuse = refuses(*afterwards)
        first = batch(sink, files)
        assert sorted(sink.names() + sink.names("dead_letters")) == sorted((*ABC, "x", "y", "z"))
        assert len(sink.rows["ledger_1m"]) == 1
        assert first.get("gates", {}).get("default", 0) == len(sink.names("dead_letters"))
        again = batch(sink, files)
        assert again == first
        assert sorted(sink.names() + sink.names("dead_letters")) == sorted((*ABC, "x", "y", "z"))
    assert crashes > 40


@given(st.data())
def test_any_schedule_of_faults_and_crashes_ends_with_every_row_once(data: st.DataObject):
    names = [f"n{i}" for i in range(data.draw(st.integers(1, 40)))]
    files, sink = MemoryFiles(), FakeSink()
    table = gates(*names)
    results = data.draw(
        st.lists(st.sampled_from(["well", "well", "well", "trouble", "unclear", "crash", "kinder"]), max_size=60)
    )
    script = iter(results)

    def step(_: str) -> None:
        match next(script, "well"):
            case "trouble":
                raise StoreFault("not now", Kind.TROUBLE)
            case "unclear":
                raise StoreFault("who knows", Kind.UNCLEAR)
            case "crash":
                raise Crash
            case "kinder" if bad:
                bad.discard(data.draw(st.sampled_from(sorted(bad))))
                sink.refuse = refuses(*bad)

    def file_step(_: str) -> None:
        match next(script, "well"):
            case "crash":
                raise Crash
            case "trouble":
                raise OSError(28, "No space left on device")

    sink.steps, files.steps = step, file_step
    bad = data.draw(st.sets(st.sampled_from(names)))
    sink.refuse = refuses(*bad)
    while True:
        try:
            dead = writer(sink, files).write("s-0-1", {"gates": table}, arrival_ns=0)
            break
        except Crash:
            continue
    assert sorted(sink.names() + sink.names("dead_letters")) == sorted(names)
    assert dead.get("gates", {}).get("default", 0) == len(sink.names("dead_letters"))


def test_trouble_is_waited_for_with_the_same_token_and_longer_pauses_up_to_a_limit(caplog):
    sink, time, watch = FakeSink(), Time(), Tally()
    sink.steps = trouble(1000)
    with caplog.at_level(logging.WARNING):
        writer(sink, time=time, watch=watch).write("s-0-9", {"gates": gates(*ABC)}, arrival_ns=0)
    assert sink.names() == list(ABC)
    assert {token for *_, token, _ in sink.puts} == {"s-0-9:gates:2024-10-04"}
    assert watch.failures == {("gates", "trouble"): 1000}
    assert 0.05 <= time.pauses[0] <= 0.15
    assert all(1.5 <= pause <= 4.5 for pause in time.pauses[8:])
    assert len(set(time.pauses[8:])) > 100, "all processors must not come back at the same moment"
    assert 60 < len(caplog.records) < 150, "every half minute, not at every try"


def test_what_is_wrong_is_told_while_it_lasts():
    sink, said = FakeSink(), []
    sink.steps = trouble(3)
    time = Time()
    writing = writer(sink, time=time)
    assert writing.trouble == ""
    waited = time.pause
    writing._pause = lambda seconds: (said.append(writing.trouble), waited(seconds))
    writing.write("s-0-9", {"gates": gates("a")}, arrival_ns=0)
    assert len(said) == 3
    assert all(text.startswith("gates: not now (for ") for text in said)
    assert writing.trouble == ""


def test_told_to_leave_it_lets_go_and_the_next_start_does_the_rest():
    sink, files = FakeSink(), MemoryFiles()
    sink.steps = trouble(10**6)
    with pytest.raises(Stopped):
        writer(sink, files, time=Time(end=600)).write("s-0-9", {"gates": gates(*ABC)}, arrival_ns=0)
    assert not sink.rows
    sink.steps = trouble(0)
    writer(sink, files).write("s-0-9", {"gates": gates(*ABC)}, arrival_ns=0)
    assert sink.names() == list(ABC)


def test_a_fault_nobody_knows_is_tried_for_a_while_before_the_rows_are_blamed():
    sink, time = FakeSink(), Time()
    sink.refuse = refuses("e", kind=Kind.UNCLEAR, code=49)
    writer(sink, time=time).write("s-0-9", {"gates": gates(*ABC)}, arrival_ns=0)
    assert sink.names("dead_letters") == ["e"]
    assert sink.names() == list("abcdfghij")
    whole = [rows for _, rows, _, _ in sink.puts].count(10)
    assert whole >= writer_module.UNCLEAR_TRIES
    assert writer_module.UNCLEAR_S <= sum(time.pauses) < 2 * writer_module.UNCLEAR_S
    assert len(sink.puts) - whole < 10, "patience is with the block, not with each piece of it"


def test_a_fault_nobody_knows_that_passes_blames_nobody():
    sink = FakeSink()
    sink.steps = trouble(writer_module.UNCLEAR_TRIES - 1, Kind.UNCLEAR)
    assert writer(sink).write("s-0-9", {"gates": gates(*ABC)}, arrival_ns=0) == {}
    assert sink.names() == list(ABC)


@pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.UNCLEAR])
def test_rows_a_view_refuses_are_never_cut_and_the_view_misses_them_in_the_end(kind: Kind):
    """The table has them by then: pieces under tokens of their own would double them."""
    sink, time, watch = FakeSink(), Time(), Tally()
    sink.refuse = refuses("e", kind=kind, in_view=True)
    assert writer(sink, time=time, watch=watch).write("s-0-9", {"gates": gates(*ABC)}, arrival_ns=0) == {}
    assert sink.names() == list(ABC)
    assert {(rows, token) for _, rows, token, _ in sink.puts} == {(10, "s-0-9:gates:2024-10-04")}
    assert [skip for *_, skip in sink.puts].count(True) == 1
    assert sum(time.pauses) >= writer_module.UNCLEAR_S
    assert set(watch.failures) == {("gates", "view")}


def test_a_row_that_only_says_it_is_about_a_view_is_found_all_the_same():
    sink = FakeSink()
    rule = refuses("e", in_view=True)
    sink.refuse = rule
    put = sink.put
    sink.put = lambda table, rows, *, token, skip_views=False: put(table, rows, token=token)  # skipping does not help
    writer(sink).write("s-0-9", {"gates": gates(*ABC)}, arrival_ns=0)
    assert sink.names() == list("abcdfghij")
    assert sink.names("dead_letters") == ["e"]


def test_the_search_for_rows_at_fault_is_bounded():
    names = [f"n{i}" for i in range(3000)]
    sink = FakeSink()
    sink.refuse = refuses(*names[::2])
    dead = writer(sink).write("s-0-9", {"gates": gates(*names)}, arrival_ns=0)
    tries = [table for table, *_ in sink.puts].count("gates")
    assert tries <= 2 * writer_module.MAX_REFUSALS + 1
    assert sorted(sink.names() + sink.names("dead_letters")) == sorted(names)
    assert dead["gates"]["default"] == len(sink.names("dead_letters")) >= 1500
    assert max(rows for table, rows, *_ in sink.puts if table == "dead_letters") <= writer_module.LETTERS_AT_ONCE


def test_one_bad_row_among_many_costs_few_inserts():
    names = [f"n{i}" for i in range(10_000)]
    sink = FakeSink()
    sink.refuse = refuses("n7777")
    writer(sink).write("s-0-9", {"gates": gates(*names)}, arrival_ns=0)
    assert sink.names("dead_letters") == ["n7777"]
    assert len(sink.puts) <= 1 + 2 * 14 + 1


def test_dead_letters_that_are_refused_too_hold_nothing_up():
    sink, watch = FakeSink(), Tally()

    def rule(table: str, row: dict) -> StoreFault | None:
        if table == "dead_letters" and in_letter(row["bytes"])["gate_name"] == "c":
            return StoreFault("not even this", Kind.REFUSED, code=469)
        return refuses("c", "d")(table, row)

    sink.refuse = rule
    dead = writer(sink, watch=watch).write("s-0-9", {"gates": gates(*ABC)}, arrival_ns=0)
    assert dead == {"gates": {"default": 2}}
    assert sink.names("dead_letters") == ["d"]
    assert watch.lost == {"dead_letters": 1}


def test_dead_letters_that_fail_for_reasons_nobody_knows_are_not_given_up_soon():
    sink, time, watch = FakeSink(), Time(), Tally()
    bad = refuses("c")
    sink.refuse = lambda table, row: StoreFault("odd", Kind.UNCLEAR) if table == "dead_letters" else bad(table, row)
    writer(sink, time=time, watch=watch).write("s-0-9", {"gates": gates("a", "c")}, arrival_ns=0)
    assert watch.lost == {"dead_letters": 1}
    assert sum(time.pauses) >= writer_module.UNCLEAR_LETTERS_S > 5 * writer_module.UNCLEAR_S


def test_a_block_too_large_for_one_insert_is_cut_the_same_way_each_time(monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_BLOCK_BYTES", 500)
    tokens = []
    for _ in range(2):
        sink = FakeSink()
        writer(sink).write("s-0-9", {"gates": gates(*ABC)}, arrival_ns=0)
        assert sink.names() == list(ABC)
        tokens.append([token for *_, token, _ in sink.puts])
    assert tokens[0] == tokens[1]
    assert 1 < len(set(tokens[0])) <= 10
    assert all(token.startswith("s-0-9:gates:2024-10-04:") for token in tokens[0])


def test_contents_are_told_apart_by_what_they_are_for_a_replay_may_bring_more_of_them():
    def contents(*hashes: bytes) -> pa.Table:
        return pa.table({"hash": pa.array(hashes, pa.binary(16)), "tenant_id": ["t"] * len(hashes)})

    sink = FakeSink()
    for rows in (contents(b"a" * 16), contents(b"a" * 16, b"b" * 16), contents(b"a" * 16)):
        writer(sink).write("s-0-9", {"span_contents": rows}, arrival_ns=0)
    first, second, third = (token for *_, token, _ in sink.puts)
    assert first == third != second


def test_a_disk_that_cannot_remember_a_refusal_is_waited_for():
    sink, files, time = FakeSink(), MemoryFiles(), Time()
    sink.refuse = refuses("c")
    full = itertools.repeat(None, 5)

    def step(when: str) -> None:
        if when == "file is about to be written" and next(full, 0) is None:
            raise OSError(28, "No space left on device")

    files.steps = step
    writer(sink, files, time=time).write("s-0-9", {"gates": gates(*ABC)}, arrival_ns=0)
    assert sink.names("dead_letters") == ["c"]
    assert len(time.pauses) == 5


@pytest.mark.parametrize("damage", [b"", b"0", b"nothing", b"00000000\n{}", b"\xff\xfe\x00"])
def test_a_damaged_list_of_refusals_is_told_and_not_used(damage: bytes, caplog):
    files, sink = MemoryFiles(), FakeSink()
    files.content["refused.json"] = damage
    writer(sink, files).write("s-0-9", {"gates": gates(*ABC)}, arrival_ns=0)
    assert sink.names() == list(ABC)
    assert "refused.json is damaged" in caplog.text


def test_refusals_of_old_batches_are_forgotten(monkeypatch):
    monkeypatch.setattr("clew_processor.write.refusals.KEPT_BYTES", 1000)
    files, sink = MemoryFiles(), FakeSink()
    sink.refuse = refuses("c")
    writing = writer(sink, files)
    for number in range(30):
        writing.write(f"s-{number}", {"gates": gates(*ABC)}, arrival_ns=0)
    checksum, _, body = files.content["refused.json"].partition(b"\n")
    assert int(checksum, 16) == zlib.crc32(body)
    kept = list(json.loads(body))
    assert kept[:2] == ["s-29", "s-28"]
    assert 2 <= len(kept) < 30
