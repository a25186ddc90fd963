"""The balance adds up at every moment, and in flight is counted by itself."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from clew_processor.control.ledger import Ledger
from clew_processor.write.ledger import LedgerCounts
from shared.pipeline import ARRIVAL


def reading(ledger: Ledger, what: str = "clew_spans") -> dict[str, float]:
    """One scrape: spans (or log records) by outcome, and those in flight."""
    registry = CollectorRegistry()
    registry.register(ledger)
    found: dict[str, float] = {}
    for family in registry.collect():
        if family.name.startswith(what):
            for sample in family.samples:
                key = sample.labels.get("outcome", "in_flight")
                found[key] = found.get(key, 0) + sample.value
    return found


LOGS = "clew_log_records"


def balances(found: dict[str, float]) -> bool:
    return found["received"] == sum(value for name, value in found.items() if name != "received")


def test_spans_left_in_the_spool_count_as_received_at_the_next_start():
    ledger = Ledger()
    ledger.start(spooled=100, settled=90)
    assert reading(ledger) == {"received": 10, "in_flight": 10}
    ledger.receive(103)
    assert reading(ledger) == {"received": 13, "in_flight": 13}


def test_what_is_settled_before_it_is_told_to_be_written_is_never_less_than_nothing_in_flight():
    ledger = Ledger()
    counts = LedgerCounts()
    counts.rejected("t", "bad_time", 3)
    ledger.settle(counts.rows(ARRIVAL), 3)
    assert reading(ledger) == {"received": 3, "rejected": 3, "in_flight": 0}
    ledger.receive(3)
    assert reading(ledger) == {"received": 3, "rejected": 3, "in_flight": 0}


def test_log_records_left_in_the_spool_are_told_from_spans_at_the_next_start():
    ledger = Ledger()
    ledger.start(spooled=100, settled=90, logs=4)
    assert reading(ledger) == {"received": 6, "in_flight": 6}
    assert reading(ledger, LOGS) == {"received": 4, "in_flight": 4}


def test_log_records_settled_before_they_are_told_to_be_written_count_once():
    ledger = Ledger()
    counts = LedgerCounts()
    counts.stored("t", 3, signal="logs")
    ledger.settle(counts.rows(ARRIVAL), 3)
    ledger.receive(3, logs=3)
    assert reading(ledger, LOGS) == {"received": 3, "stored": 3, "in_flight": 0}
    assert reading(ledger) == {"received": 0, "in_flight": 0}


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.booleans()), max_size=30))
def test_spans_and_log_records_add_up_apart_after_every_step(steps):
    ledger = Ledger()
    spooled = settled = 0
    waiting: list[tuple[int, bool]] = []
    for count, is_logs, settles in steps:
        if settles and waiting:
            size, of_logs = waiting.pop(0)
            settled += size
            counts = LedgerCounts()
            counts.rejected("t", "bad_time", size, signal="logs" if of_logs else "traces")
            ledger.settle(counts.rows(ARRIVAL), settled)
        else:
            spooled += count
            waiting.append((count, is_logs))
            ledger.receive(spooled, logs=count if is_logs else 0)
        for what, of_logs in ((LOGS, True), ("clew_spans", False)):
            found = reading(ledger, what)
            assert balances(found)
            assert found["in_flight"] == sum(size for size, each in waiting if each is of_logs)


def test_a_dead_letter_that_is_stored_after_all_is_received_no_second_time():
    counts = LedgerCounts()
    counts.refused_by_store({"t": 2}, "refused")
    (stored, dead) = counts.rows(ARRIVAL).to_pylist()
    assert (stored["stored"], dead["dead_letter"], dead["received"] + stored["received"]) == (-2, 2, 0)
    counts.retried({"t": 2}, "refused")
    assert all(
        row[column] == 0 for row in counts.rows(ARRIVAL).to_pylist() for column in ("received", "stored", "dead_letter")
    )


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans()), max_size=30))
def test_it_adds_up_after_every_step(steps):
    ledger = Ledger()
    spooled = settled = 0
    for rejected, dead, settles in steps:
        if settles:
            spans = min(rejected + dead, spooled - settled)
            settled += spans
            counts = LedgerCounts()
            counts.rejected("t", "bad_time", min(rejected, spans))
            counts.dead("t", "failed", spans - min(rejected, spans))
            ledger.settle(counts.rows(ARRIVAL), settled)
        else:
            spooled += rejected
            ledger.receive(spooled)
        assert balances(reading(ledger))
        assert ledger.in_flight == spooled - settled


def test_whoever_reads_while_it_changes_sees_it_balanced():
    ledger = Ledger()
    done = threading.Event()

    def change() -> None:
        for number in range(1, 2000):
            ledger.receive(number)
            counts = LedgerCounts()
            counts.rejected("t", "bad_time", 1)
            ledger.settle(counts.rows(ARRIVAL), number)
        done.set()

    thread = threading.Thread(target=change)
    thread.start()
    seen = [reading(ledger)]
    while not done.is_set():
        seen.append(reading(ledger))
    thread.join()
    assert all(map(balances, seen))
    assert len(seen) > 1
