"""A thousand random stories of deliveries, crashes and runs: no files are lost, none are run twice."""

import functools
import random
from datetime import date, timedelta

import dagster as dg
import pytest

from capstone_dagster_tests.builders.deliveries_model import CRASHES, DAYS, Outcome, World
from spark_code.raw_files import SUCCESS

STORIES, STEPS = 500, 25


@pytest.fixture(autouse=True)
def _quick_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster takes two milliseconds to say that a day is a partition."""
    asked = functools.cache(dg.DailyPartitionsDefinition.has_partition_key)
    monkeypatch.setattr(dg.DailyPartitionsDefinition, "has_partition_key", asked)


def something_is_delivered(world: World) -> None:
    """Or corrected, taken back, said to be complete; or time goes by. Few contents: earlier ones come back."""
    chance = world.chance
    day, exchange, name = chance.choice(DAYS), chance.randrange(2), chance.choice(["part-0", "part-1"])
    match chance.randrange(8):
        case 0 | 1 | 2:
            world.put(day, exchange, name, chance.choice("AB"))
        case 3:
            world.remove(day, exchange, name)
        case 4:
            world.put(day, exchange, SUCCESS, "")
        case 5:
            world.remove(day, exchange, SUCCESS)
        case _:
            world.now += timedelta(seconds=chance.choice([1, 29, 59, 60, 200]))


def everything_is_delivered(world: World) -> None:
    for day in DAYS:
        for exchange in (0, 1):
            world.put(day, exchange, "part-0", world.chance.choice("AB"))
    world.now += timedelta(seconds=60)


def an_outcome(world: World) -> Outcome:
    return world.chance.choice(("success", "success", "success", "no report", "nothing"))


def all_runs_end(world: World) -> None:
    while world.unfinished:
        world.starts()
        world.ends(an_outcome(world))


def the_cursor_may_get_lost(world: World) -> None:
    if world.chance.randrange(10) == 0:
        world.cursor = world.chance.choice([None, "of another release"])


@pytest.mark.faults("F4", sample=True)
@pytest.mark.parametrize("first_seed", range(0, STORIES, 100))
def test_with_quick_runs_every_version_that_was_seen_complete_is_run_once(first_seed: int) -> None:
    """Runs end before anything else happens, so that it is known which there must be."""
    for seed in range(first_seed, first_seed + 100):
        world = World(random.Random(seed))  # noqa: S311 -- the same stories every time
        wanted: dict[date, list[str]] = {day: [] for day in DAYS}
        for step in range(STEPS):
            if step == STEPS - 1:
                everything_is_delivered(world)
            elif world.chance.randrange(3):
                something_is_delivered(world)
                continue
            the_cursor_may_get_lost(world)
            crash = world.chance.choice([None, *CRASHES]) if step < STEPS - 1 else None
            if crash != "before anything is stored":
                for day in DAYS:
                    version = world.version(day) if world.is_complete(day) else None
                    if version and version not in (world.loaded(day), *wanted[day][-1:]):
                        wanted[day].append(version)
            world.tick(crash)
            for _ in range(30):
                if world.is_midway:
                    world.tick(world.chance.choice([None, *CRASHES]))
            all_runs_end(world)
            assert {day: world.tried(day) for day in DAYS} == wanted, seed
        assert all(wanted.values()), seed


@pytest.mark.faults("F4", sample=True)
@pytest.mark.parametrize("first_seed", range(0, STORIES, 100))
def test_with_slow_runs_the_last_files_are_run_in_the_end_and_none_twice(first_seed: int) -> None:
    """Runs wait and work while files change, and may read others than those they were started for."""
    for seed in range(first_seed, first_seed + 100):
        world = World(random.Random(seed))  # noqa: S311 -- the same stories every time
        for _ in range(STEPS * 2):
            match world.chance.randrange(8):
                case 0 | 1 | 2:
                    something_is_delivered(world)
                case 3 | 4:
                    the_cursor_may_get_lost(world)
                    world.tick(world.chance.choice([None, None, *CRASHES]))
                case 5:
                    world.starts()
                case 6:
                    world.ends(an_outcome(world))
                case _:
                    if world.chance.randrange(5) == 0:
                        world.gives_up_the_tick()
        everything_is_delivered(world)
        for _ in range(8):
            world.tick()
            all_runs_end(world)
        before = len(world.runs.by_id)
        world.tick()

        assert len(world.runs.by_id) == before, seed
        assert world.doubled == [], seed
        for day in DAYS:
            assert world.version(day) == world.loaded(day) or world.has_failed_with(world.version(day), day), seed
