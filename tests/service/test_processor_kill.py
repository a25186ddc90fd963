"""kill -9 at every stage: what was acknowledged is in every table, once.

A processor is killed at one stage after the other, started again each time, in the midst of a stream of requests; what
was not acknowledged is sent again. In the end each table has exactly one right content (`shared.workload`).

`pytest tests/service/test_processor_kill.py --rounds 20` does it 20 times with other moments, `--seed N` with others
again, `--long` fills the spool with a gibibyte and looks at how long the start takes.
"""

from __future__ import annotations

import random
import signal
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
import urllib3

from shared.failpoints import STAGES, program
from shared.log_workload import LogWorkload
from shared.processor import UP, NotStartedError, processor, start
from shared.workload import Workload, finish, senders, sent
from shared.writable_clickhouse import writable_clickhouse

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = {"spool": {"segment_bytes": 64 * 1024, "checkpoint_s": 0.2}, "batch": {"max_wait_ms": 100}}
"""Files of the spool are small and checkpoints frequent, so that every stage is passed every few seconds."""
DEATH_S = 30
QUICK_BACKLOG, LONG_BACKLOG = 2 * 1024**2, 1024**3
SERVES_S = 3
FIRST = {
    "embedded": [stage for stage in STAGES if stage not in ("after insert before mark", "mid checkpoint")],
    "server": ["mid insert", "after insert before mark"],
}
"""Stages in the first round, which is what `make test` does; later rounds have all of them."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "turn" in metafunc.fixturenames:
        metafunc.parametrize("turn", range(metafunc.config.getoption("rounds")))
    if "backlog_of" in metafunc.fixturenames:
        metafunc.parametrize("backlog_of", ["embedded", "server"] if metafunc.config.getoption("long") else ["server"])


def killed_at(stage: str, chance: random.Random, load: Workload | LogWorkload, directory: Path, *flags: str) -> None:
    """Starts a processor that ends at that stage, perhaps while it starts, and sends until it does."""
    armed = program(stage, chance.randint(1, 6), chance.getrandbits(32))
    running = start(directory, *flags, settings=SETTINGS, program=armed)
    try:
        try:
            running.wait_ready()
        except (NotStartedError, urllib3.exceptions.HTTPError):
            pass  # it may be killed by what it replays
        else:
            with senders(load, running, count=3, pause_s=0.05):
                running.wait(DEATH_S)
        assert running.wait(1) == -signal.SIGKILL, running.err
    finally:
        running.close()


@pytest.mark.parametrize("kind", ["embedded", "server"])
def test_everything_acknowledged_is_everywhere_once_after_kills_at_every_stage(
    kind: str, turn: int, seed: int, tmp_path: Path
) -> None:
    chance = random.Random(f"{seed} {turn} {kind}")
    stages = list(STAGES if turn else FIRST[kind])
    chance.shuffle(stages)
    load = Workload(chance.getrandbits(32), tells_starts=True)
    with writable_clickhouse(tmp_path / "clickhouse") if kind == "server" else nullcontext() as store:
        flags = ("--store", store.dsn()) if store else ()
        for stage in stages:
            killed_at(stage, chance, load, tmp_path, *flags)
        with processor(tmp_path, *flags, settings=SETTINGS) as again:
            finish(load, again, timeout=300)
            assert load.wrong(again.rows) == {}, f"stages {stages}"
            assert again.metric("clew_spool_damaged_bytes") == 0
            assert "Traceback" not in again.err


@pytest.mark.parametrize("stage", ["mid batch"])
def test_every_acknowledged_log_record_is_stored_and_its_span_is_there_once(
    stage: str, seed: int, tmp_path: Path
) -> None:
    load = LogWorkload()
    for turn in range(2):
        killed_at(stage, random.Random(f"{seed} {turn} {stage}"), load, tmp_path)
    with processor(tmp_path, settings=SETTINGS) as again:
        finish(load, again, timeout=300)
        assert load.wrong(again) == []
        assert "Traceback" not in again.err


def test_it_serves_again_before_its_backlog_is_stored(
    backlog_of: str, tmp_path: Path, seed: int, long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    load = Workload(seed, filler=2_000_000 if long else 20_000)
    with writable_clickhouse(tmp_path / "clickhouse") if backlog_of == "server" else nullcontext() as store:
        flags = ("--store", store.dsn()) if store else ()
        with processor(tmp_path, *flags, program=UP if store else program("slow", 600)) as running:
            if store:
                store.trouble("INSERT INTO")
            with senders(load, running):
                while (spooled := running.metric("clew_spool_bytes")) < (LONG_BACKLOG if long else QUICK_BACKLOG):
                    time.sleep(0.05)
            running.kill()
        began = time.monotonic()
        with processor(tmp_path, *flags) as again:
            assert sent(load, again)
            took = time.monotonic() - began
            assert again.metric("clew_spans_in_flight") > 0
            if store:
                store.heal()
            finish(load, again, timeout=600)
            assert load.wrong(again.rows) == {}
            assert again.metric("clew_spool_damaged_bytes") == 0
    if long:
        with capsys.disabled():
            print(f"\n{backlog_of}: serving again after {took:.1f} s with {spooled / 2**20:.0f} MiB spooled")  # noqa: T201
        assert took < SERVES_S
