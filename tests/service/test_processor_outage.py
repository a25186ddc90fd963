"""A store that is away, hangs, breaks or loses its answers: senders do not notice, and everything is there once after.

`pytest tests/service/test_processor_outage.py --long` keeps the store away for ten minutes under load, looks at how
long acknowledgements take and at the processor's memory, and prints both.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from shared.failpoints import program
from shared.faulty_proxy import Fault, FaultyProxy, faulty_proxy
from shared.processor import Processor, processor
from shared.workload import Workload, finish, senders
from shared.writable_clickhouse import WritableClickHouse, writable_clickhouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUM = {"received": 1, "stored": -1, "sampled_out": -1, "rejected": -1, "dead_letter": -1}
OUTAGES = (Fault.REFUSED, Fault.BLACK_HOLE, Fault.RESET, Fault.ERRORS, Fault.HANG_AFTER_HEAD)
QUICK_S, LONG_S = 1.2, 120.0
"""How long each of them lasts."""
IMPATIENT = program("impatient", 1)
"""Half a minute, which the processor gives a silent store, would be most of a quick test."""
MOST_RESIDENT = 1_500_000_000
ACKNOWLEDGED_S = 0.05


class Place(NamedTuple):
    store: WritableClickHouse
    proxy: FaultyProxy
    running: Processor

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Past the proxy."""
        with self.store.client() as client:
            return [tuple(row) for row in client.query(sql).result_rows]


@pytest.fixture
def place(tmp_path: Path, seed: int, long: bool) -> Iterator[Place]:
    how = {} if long else {"program": IMPATIENT}
    with (
        writable_clickhouse(tmp_path / "clickhouse") as store,
        faulty_proxy(store.port, seed=seed) as proxy,
        processor(tmp_path, "--store", proxy.dsn(), settings={"batch": {"max_wait_ms": 100}}, **how) as running,
    ):
        yield Place(store, proxy, running)


class Watched:
    """What was seen of a running processor: how often its balance was read, and its memory at the highest."""

    def __init__(self) -> None:
        self.readings = 0
        self.most_resident = 0
        self.most_in_flight = 0.0
        self.unbalanced: list[dict[str, float]] = []


@contextmanager
def watched(running: Processor) -> Iterator[Watched]:
    """Reads its metrics all the time, each reading as one, and adds them up."""
    seen, stop = Watched(), threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            balance = dict.fromkeys((*SUM, "in_flight"), 0.0)
            for (name, labels), value in running.metrics().items():
                if name == "clew_spans_total":
                    balance[dict(labels)["outcome"]] += value
                elif name == "clew_spans_in_flight":
                    balance["in_flight"] = value
            if sum(sign * balance[outcome] for outcome, sign in SUM.items()) != balance["in_flight"]:
                seen.unbalanced.append(balance)
            seen.readings += 1
            seen.most_in_flight = max(seen.most_in_flight, balance["in_flight"])
            with open(f"/proc/{running.process.pid}/statm") as file:  # noqa: PTH123 - not a file of ours
                seen.most_resident = max(seen.most_resident, int(file.read().split()[1]) * 4096)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()


def test_a_store_that_is_away_is_not_noticed_by_senders_and_gets_everything_once(
    place: Place, seed: int, long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    load = Workload(seed)
    with watched(place.running) as seen:
        with senders(load, place.running, count=3, pause_s=0.03) as took:
            for fault in OUTAGES:
                place.proxy.fail(fault)
                time.sleep(LONG_S if long else QUICK_S)
            during = len(took)
            place.proxy.heal()
        refused = place.running.metric("clew_requests_total", transport="grpc", code="UNAVAILABLE")
        finish(load, place.running, timeout=600)
    assert load.wrong(place.rows) == {}
    assert (refused, during > 0, seen.unbalanced) == (0, True, [])
    assert seen.readings > 10
    assert seen.most_in_flight > load.spans / 2  # the store was away indeed
    if long:
        median, p99 = (sorted(took)[round(len(took) * share)] for share in (0.5, 0.99))
        with capsys.disabled():
            print(  # noqa: T201 - what the long form is for
                f"\n{load.spans} spans in {len(took)} requests; acknowledged in {median * 1e3:.1f} ms (median), "
                f"{p99 * 1e3:.1f} ms (p99); {seen.most_resident / 1e6:.0f} MB resident at most"
            )
        assert p99 < ACKNOWLEDGED_S
        assert seen.most_resident < MOST_RESIDENT


def test_lost_answers_and_resent_requests_change_no_count_sum_or_cost(place: Place, seed: int, long: bool) -> None:
    load = Workload(seed, resent=0.3)
    place.proxy.fail(Fault.LOST_ANSWER, share=0.2, only_inserts=True)
    with watched(place.running) as seen:
        with senders(load, place.running, count=3, pause_s=0.03):
            time.sleep(LONG_S if long else 3)
            give_up_at = time.monotonic() + 60  # a busy machine makes few inserts in three seconds
            while place.proxy.met <= 10 and time.monotonic() < give_up_at:
                time.sleep(0.05)
        finish(load, place.running, timeout=600)
    assert place.proxy.met > 10
    assert load.resends > load.spans / 10
    assert load.wrong(place.rows) == {}
    duplicates = load.acknowledged.total() - load.spans
    assert place.rows("SELECT sum(rejected) FROM ledger_1m WHERE reason = 'duplicate'") == [(duplicates,)]
    assert place.running.metric("clew_spans_total", outcome="rejected", reason="duplicate") == duplicates
    assert seen.unbalanced == []


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.BLACK_HOLE])
def test_the_store_may_be_away_at_any_start_but_the_first(
    place: Place, seed: int, tmp_path: Path, fault: Fault
) -> None:
    load = Workload(seed)
    with senders(load, place.running):
        time.sleep(0.3)
    place.proxy.fail(fault)
    with senders(load, place.running):
        time.sleep(0.3)
    place.running.kill()
    with processor(tmp_path, "--store", place.proxy.dsn(), data=place.running.data, program=IMPATIENT) as again:
        left = again.metric("clew_spans_in_flight")
        assert left > 0
        with senders(load, again):
            time.sleep(0.3)
        assert again.metric("clew_spans_in_flight") > left
        while "requests are kept in the spool" not in again.err:
            time.sleep(0.05)
        place.proxy.heal()
        finish(load, again)
        assert load.wrong(place.rows) == {}


def test_inserts_slower_than_batches_make_larger_batches_and_do_not_fall_behind(tmp_path: Path, seed: int) -> None:
    """A batch is closed every 50 ms, and takes the best part of a second to store."""
    load = Workload(seed)
    with processor(tmp_path, program=program("slow", 0.1)) as running:
        with senders(load, running):
            time.sleep(2)
        finish(load, running)
        assert load.wrong(running.rows) == {}
        assert running.value("SELECT uniqExact(IngestedAt) FROM otel_traces") < 15
