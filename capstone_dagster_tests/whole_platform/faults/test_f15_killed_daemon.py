"""Dagster's daemon killed at every stage of a tick and started again: every complete day has one run, none has two."""

import shutil
import signal
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import partial

import dagster as dg
import pytest
from dagster._core.launcher import LaunchRunContext
from dagster._utils import DebugCrashFlags

from capstone_dagster.automation.schedules import NAME as SCHEDULE
from capstone_dagster_tests.builders.lakes import deliver
from capstone_dagster_tests.capstone_dagster.test_trading_days import in_new_york
from capstone_dagster_tests.servers.daemon import Daemon, instance_on_disk, killed, wipe
from capstone_dagster_tests.servers.platform import Platform

DAYS = [date(2024, 3, day) for day in (7, 8, 11)]
FIRST, SECOND, THIRD = DAYS
NOON = in_new_york(THIRD, "12:00")
A_RUN_EACH = [(f"{day}", "daily_pipeline", "QUEUED") for day in DAYS]

pytestmark = pytest.mark.faults("F15", sample=True)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    return Platform(tmp_path_factory.mktemp("home"), FIRST, automation=True)


@pytest.fixture(scope="module")
def started(platform: Platform) -> Iterator[Daemon]:
    with instance_on_disk() as instance, Daemon.over(platform, instance, platform.folder) as daemon:
        yield daemon


@pytest.fixture
def daemon(platform: Platform, started: Daemon) -> Daemon:
    """Nothing has happened or was delivered yet."""
    wipe(started.instance)
    shutil.rmtree(platform.raw, ignore_errors=True)
    started.switch_off_all_sensors_but("new_files")
    return started


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
    assert killed(partial(daemon.look_with_sensors, NOON, dies("new_files", stage)))

    deliver(platform.raw, THIRD)
    (platform.raw / f"csv/{FIRST}/NYSE/part-1").write_text("a late line\n")
    (platform.raw / f"csv/{FIRST}/NYSE/_SUCCESS").touch()
    look_until_nothing_is_left(daemon, NOON)

    assert sorted(daemon.runs()) == A_RUN_EACH


def test_files_are_run_once_by_a_daemon_that_dies_after_every_run(daemon: Daemon, platform: Platform) -> None:
    for day in DAYS:
        deliver(platform.raw, day)

    for minutes in range(len(DAYS)):
        now = NOON + timedelta(minutes=minutes)
        assert killed(partial(daemon.look_with_sensors, now, dies("new_files", "RUN_LAUNCHED")))
        assert len(daemon.runs()) == minutes + 1
    look_until_nothing_is_left(daemon, now)

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
    assert killed(partial(daemon.look_at_schedules, evening, dies(SCHEDULE, stage)))

    for minutes in (1, 2):
        daemon.look_at_schedules(evening + timedelta(minutes=minutes))
    assert daemon.runs() == A_RUN_EACH[-1:]
    # What the schedule has run the sensor does not; it runs the days whose ticks were missed.
    look_until_nothing_is_left(daemon, evening)
    daemon.look_at_schedules(in_new_york(THIRD, "23:59"))

    assert sorted(daemon.runs()) == A_RUN_EACH


def test_a_day_that_sensor_and_schedule_have_both_asked_for_is_run_once(
    daemon: Daemon, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in DAYS:
        deliver(platform.raw, day)
    daemon.look_at_schedules(in_new_york(FIRST, "18:00"))
    evening = in_new_york(THIRD, "19:00")
    before = evening - timedelta(seconds=1)
    # The sensor's runs are not created yet when the schedule looks for them, as when both look in the same second.
    assert killed(partial(daemon.look_with_sensors, before, dies("new_files", "RUN_IDS_RESERVED")))
    daemon.look_at_schedules(evening)
    look_until_nothing_is_left(daemon, evening)
    assert sorted(daemon.runs()) == [*A_RUN_EACH, A_RUN_EACH[-1]]

    def succeed(launcher: dg.DefaultRunLauncher, context: LaunchRunContext) -> None:
        del launcher
        run = context.dagster_run
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name)
        daemon.instance.report_dagster_event(event, run.run_id)

    monkeypatch.setattr(dg.DefaultRunLauncher, "launch_run", succeed)
    for _ in range(len(DAYS) + 1):
        daemon.look_at_queue()
    succeeded = [(f"{day}", "daily_pipeline", "SUCCESS") for day in DAYS]
    assert sorted(daemon.runs()) == sorted([*succeeded, (f"{THIRD}", "daily_pipeline", "CANCELED")])
