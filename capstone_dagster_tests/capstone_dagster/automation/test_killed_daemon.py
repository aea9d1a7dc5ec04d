"""Dagster's daemon killed at every stage of a tick and started again: every complete day has one run, none has two."""

import signal
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._utils import DebugCrashFlags

from capstone_dagster.schedules import NAME as SCHEDULE
from capstone_dagster_tests.capstone_dagster.automation.daemon import Daemon, instance_on_disk, killed, wipe
from capstone_dagster_tests.capstone_dagster.automation.lakes import deliver
from capstone_dagster_tests.capstone_dagster.test_trading_days import in_new_york
from capstone_dagster_tests.platform import Platform

DAYS = [date(2024, 3, day) for day in (7, 8, 11)]
FIRST, SECOND, THIRD = DAYS
NOON = in_new_york(THIRD, "12:00")
A_RUN_EACH = [(f"{day}", "daily_pipeline", "QUEUED") for day in DAYS]


@pytest.fixture(scope="module")
def on_disk() -> Iterator[dg.DagsterInstance]:
    with instance_on_disk() as instance:
        yield instance


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path / "home", FIRST, automation=True)


@pytest.fixture
def daemon(platform: Platform, on_disk: dg.DagsterInstance, tmp_path: Path) -> Iterator[Daemon]:
    wipe(on_disk)
    with Daemon.over(platform, on_disk, tmp_path) as daemon:
        daemon.switch_off_all_sensors_but("new_files")
        yield daemon


def dies(of: str, at: str) -> DebugCrashFlags:
    """As with kill -9."""
    return {of: {at: signal.SIGKILL}}


def look_until_nothing_is_left(daemon: Daemon, since: datetime) -> None:
    for seconds in (10, 20, 30):
        daemon.look_with_sensors(since + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "stage",
    [
        "TICK_CREATED",
        "TICK_HELD",
        "AUTOMATION_EVALUATIONS_ADDED",
        "RUN_IDS_RESERVED",
        "RUN_CREATED",
        "RUN_LAUNCHED",
        "RUN_IDS_ADDED_TO_EVALUATIONS",
    ],
)
def test_files_are_run_once_whenever_the_daemon_dies_in_a_look_at_them(
    daemon: Daemon, platform: Platform, stage: str
) -> None:
    deliver(platform.raw, FIRST)
    deliver(platform.raw, SECOND)
    assert killed(lambda: daemon.look_with_sensors(NOON, dies("new_files", stage)))

    deliver(platform.raw, THIRD)
    (platform.raw / f"csv/{FIRST}/NYSE/part-1").write_text("a late line\n")
    look_until_nothing_is_left(daemon, NOON)

    assert sorted(daemon.runs()) == A_RUN_EACH


def test_files_are_run_once_by_a_daemon_that_dies_after_every_run(daemon: Daemon, platform: Platform) -> None:
    for day in DAYS:
        deliver(platform.raw, day)

    deaths, now = 0, NOON
    while killed(lambda: daemon.look_with_sensors(now, dies("new_files", "RUN_LAUNCHED"))):
        deaths, now = deaths + 1, now + timedelta(seconds=10)
    look_until_nothing_is_left(daemon, now)

    assert deaths == len(DAYS)
    assert daemon.runs() == A_RUN_EACH


@pytest.mark.parametrize(
    "stage", ["TICK_CREATED", "TICK_HELD", "RUN_CREATED", "RUN_LAUNCHED", "RUN_ADDED", "TICK_SUCCESS"]
)
def test_the_schedule_runs_a_day_once_whenever_the_daemon_dies_in_its_tick(
    daemon: Daemon, platform: Platform, stage: str
) -> None:
    for day in DAYS:
        deliver(platform.raw, day)
    daemon.look_at_schedules(in_new_york(FIRST, "18:00"))
    evening = in_new_york(THIRD, "19:00")
    assert killed(lambda: daemon.look_at_schedules(evening, dies(SCHEDULE, stage)))

    for minutes in (1, 2):
        daemon.look_at_schedules(evening + timedelta(minutes=minutes))
    # What the schedule has run the sensor does not, nor what the next evening looks back at.
    look_until_nothing_is_left(daemon, evening)
    daemon.look_at_schedules(in_new_york(THIRD, "23:59"))

    assert daemon.runs() == A_RUN_EACH
