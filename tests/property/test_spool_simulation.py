"""The durable path under seeded schedules of crashes, faults and damage: see `shared.simulation`.

`pytest tests/property/test_spool_simulation.py --long` runs 10,000 schedules and 1,000 kinds of damage, about two
minutes. A failure names its seed; `--seed N` begins with that one, and tells its story.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import pytest

from shared.simulation import World, simulate, simulate_damage

if TYPE_CHECKING:
    from collections.abc import Callable

STORY = 60
"""Last events told of a story that goes wrong."""


def run(story: Callable[..., World], seeds: range, test: str) -> list[World]:
    worlds = []
    for seed in seeds:
        try:
            worlds.append(story(seed))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            events = deque[str](maxlen=STORY)
            with pytest.raises(type(error)):
                story(seed, tell=events.append)
            again = f"pytest {__file__} -k {test} --seed {seed}"
            raise AssertionError("\n".join([*events, f"{error!r}", f"the same story again: {again}"])) from error
    return worlds


def test_crashes_and_faults_lose_and_double_nothing(seed, long):
    worlds = run(simulate, range(seed, seed + (10_000 if long else 300)), "crashes")
    # It is not that nothing happened.
    assert sum(world.crashes for world in worlds) > len(worlds)
    assert sum(world.power_was_cut for world in worlds) > len(worlds) / 10
    assert sum(len(world.store.spans) for world in worlds) > 20 * len(worlds)
    assert sum(len(world.store.dead) for world in worlds) > len(worlds) / 10


def test_damage_costs_the_records_hit_and_is_counted(seed, long):
    worlds = run(simulate_damage, range(seed, seed + (1000 if long else 100)), "damage")
    assert sum(bool(world.hit) for world in worlds) > len(worlds) / 5
    assert sum(bool(world.hit - world.store.spans - world.store.dead) for world in worlds) > len(worlds) / 20
