"""The balance adds up at every moment, and in flight is counted by itself."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from clew_processor.control.ledger import Ledger
from clew_processor.write.ledger import LedgerCounts
from shared.pipeline import ARRIVAL


def reading(ledger: Ledger) -> dict[str, float]:
    """One scrape: spans by outcome, and those in flight."""
    registry = CollectorRegistry()
    registry.register(ledger)
    found: dict[str, float] = {}
    for family in registry.collect():
        for sample in family.samples:
            key = sample.labels.get("outcome", "in_flight")
            found[key] = found.get(key, 0) + sample.value
    return found


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
