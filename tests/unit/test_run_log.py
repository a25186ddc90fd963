"""Rows of runs are found again, in the order in which they came, until they are forgotten."""

from __future__ import annotations

import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clew_processor.enrich.run_log import RunLog
from clew_processor.words import Words

SECOND = 10**9
BATCHES = st.lists(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc")), max_size=8), max_size=60)


def add(log: RunLog, rows: list[tuple[int, str]], batch: int, now: int = 0) -> None:
    words = sorted({word for _, word in rows}) or [""]
    columns = {
        "number": np.arange(len(rows)) + 1000 * batch,
        "word": Words(np.array([words.index(word) for _, word in rows], np.int32), words),
    }
    log.add(np.array([key for key, _ in rows], np.uint64), columns, batch=batch, now=now)


def told(log: RunLog, *runs: int) -> list[tuple[int, int, str]]:
    rows = log.of(np.array(sorted(runs), np.uint64))
    if rows is None:
        return []
    return list(zip(rows.key.tolist(), rows["number"].tolist(), rows["word"].tolist(), strict=True))


@given(BATCHES, st.sets(st.integers(0, 7)))
def test_rows_of_a_run_come_back_in_order(batches, runs):
    log = RunLog(rows=10_000, keep_s=60)
    for batch, rows in enumerate(batches):
        add(log, rows, batch)
    expected = [
        (run, 1000 * batch + i, word)
        for run in sorted(runs)
        for batch, rows in enumerate(batches)
        for i, (key, word) in enumerate(rows)
        if key == run
    ]
    assert told(log, *runs) == expected
    again = RunLog(rows=10_000, keep_s=60)
    again.restore(pickle.loads(pickle.dumps(log.state())))
    assert told(again, *runs) == expected
    assert len(again) == len(log) == sum(map(len, batches))


def test_the_oldest_rows_are_forgotten_when_there_are_too_many_and_it_is_said_which():
    log = RunLog(rows=10, keep_s=60)
    for batch in range(6):
        add(log, [(1, "a")] * 4, batch)
    assert len(log) <= 10
    assert log.lost == 3
    assert [number // 1000 for _, number, _ in told(log, 1)] == [4] * 4 + [5] * 4


def test_rows_are_forgotten_after_their_time():
    log = RunLog(rows=10, keep_s=60)
    add(log, [(1, "a")], 0, now=0)
    add(log, [(1, "b")], 1, now=30 * SECOND)
    log.forget(60 * SECOND)
    assert len(log) == 2
    log.forget(60 * SECOND + 1)
    assert told(log, 1) == [(1, 1000, "b")]
    assert log.lost == 0
