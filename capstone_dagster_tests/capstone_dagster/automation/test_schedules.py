"""The schedule: one request for every trading day, at the right time; and what a tick makes of its day."""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from itertools import takewhile
from pathlib import Path
from typing import Any

import dagster as dg
import exchange_calendars
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from capstone_dagster.automation.needed_runs import fingerprint
from capstone_dagster.automation.schedules import all_schedules
from capstone_dagster.deliveries.preconditions import Preconditions
from capstone_dagster.run_tags import DELIVERIES_TAG
from capstone_dagster.settings import Settings
from capstone_dagster_tests.builders.lakes import break_storage, deliver, land, point
from capstone_dagster_tests.builders.runs import run_of
from capstone_dagster_tests.capstone_dagster.test_trading_days import SESSIONS, in_new_york
from capstone_dagster_tests.servers.daemon import Daemon, instance_on_disk, wipe
from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.servers.s3_faults import (  # noqa: F401 -- pytest finds fixtures by their import
    ASKED_AT_ONCE,
    Faults,
    faulty_front,
    faulty_s3,
)
from spark_code.flow import tables_of
from spark_code.raw_files import SOURCES, RawFolder
from spark_code.schemas import CLOSES, EVENTS, QUOTES, TRADES

FIRST, LAST = date(2015, 1, 2), date(2030, 12, 31)
BEFORE, DAY = date(2024, 3, 1), date(2024, 3, 4)
NYSE, NASDAQ = SOURCES

# --- the calendar ---


@pytest.fixture(scope="module")
def schedule(tmp_path_factory: pytest.TempPathFactory) -> dg.ScheduleDefinition:
    (schedule,) = all_schedules(Platform(tmp_path_factory.mktemp("no files"), FIRST).settings)
    return schedule


def ticks_between(schedule: dg.ScheduleDefinition, first: date, last: date) -> Iterator[datetime]:
    """When Dagster's daemon makes the ticks of these days."""
    start, end = in_new_york(first, "00:00"), in_new_york(last, "23:59")
    cron, zone = schedule.cron_schedule, schedule.execution_timezone
    return takewhile(lambda tick: tick < end, schedule_execution_time_iterator(start.timestamp(), cron, zone))


def made(schedule: dg.ScheduleDefinition, tick: datetime) -> dg.RunRequest | str:
    """What a tick asks for, or why it asks for nothing."""
    result: Any = schedule(dg.build_schedule_context(scheduled_execution_time=tick))
    if isinstance(result, dg.SkipReason):
        return str(result.skip_message)
    assert isinstance(result, dg.RunRequest)
    return result


def day_of(request: dg.RunRequest | str) -> str | None:
    """The day that is asked for."""
    assert isinstance(request, dg.RunRequest), request
    return request.partition_key


@pytest.mark.faults("F13", sample=True)
def test_sixteen_years_of_ticks_ask_once_for_every_trading_day_in_its_evening(schedule: dg.ScheduleDefinition) -> None:
    asked = {tick: made(schedule, tick) for tick in ticks_between(schedule, FIRST, LAST)}

    days = [(tick, day_of(request)) for tick, request in asked.items() if isinstance(request, dg.RunRequest)]
    nyse = exchange_calendars.get_calendar("XNYS", start=FIRST.isoformat(), end=LAST.isoformat())
    assert [day for _, day in days] == [f"{session.date()}" for session in nyse.sessions]
    assert [day for _, day in days if day and "2016" <= day < "2026"] == [f"{day}" for day in SESSIONS]
    # Half days close earlier.
    assert all(close < tick for close, (tick, _) in zip(nyse.closes, days, strict=True))
    assert [(f"{tick:%H:%M}", f"{tick.date()}") for tick, _ in days] == [("19:00", day) for _, day in days]


@pytest.mark.parametrize(
    ("day", "utc"),
    [
        pytest.param("2024-03-08", "2024-03-09T00:00", id="the Friday before clocks go forward"),
        pytest.param("2024-03-11", "2024-03-11T23:00", id="the Monday after"),
        pytest.param("2024-11-01", "2024-11-01T23:00", id="the Friday before clocks go back"),
        pytest.param("2024-11-04", "2024-11-05T00:00", id="the Monday after that"),
        pytest.param("2024-11-29", "2024-11-30T00:00", id="the half day after Thanksgiving"),
        pytest.param("2021-12-31", "2022-01-01T00:00", id="New Year's Eve, in UTC of the next year"),
        pytest.param("2022-01-03", "2022-01-04T00:00", id="the first session of a year"),
    ],
)
def test_a_day_is_asked_for_at_seven_in_the_evening_of_new_york(
    schedule: dg.ScheduleDefinition, day: str, utc: str
) -> None:
    (tick,) = ticks_between(schedule, date.fromisoformat(day), date.fromisoformat(day))

    assert tick == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert day_of(made(schedule, tick.astimezone(UTC))) == day


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("2020-08-08", "no run of 2020-08-08: the NYSE is closed on Saturdays"),
        ("2020-09-07", "no run of 2020-09-07: the NYSE is closed on Labor Day"),
        ("2021-12-24", "no run of 2021-12-24: the NYSE is closed on Christmas"),
        ("2025-01-09", "no run of 2025-01-09: the NYSE is closed on this day (special closure)"),
        (
            "2015-01-01",
            "no run of 2015-01-01: it is before the first trading day 2015-01-02 (CAPSTONE_FIRST_TRADING_DAY)",
        ),
        ("2041-01-02", "no run of 2041-01-02: the calendar ends with 2040-12-31"),
    ],
)
def test_a_day_without_trading_is_skipped_with_the_reason(
    schedule: dg.ScheduleDefinition, day: str, reason: str
) -> None:
    assert made(schedule, in_new_york(date.fromisoformat(day), "19:00")) == reason


def test_no_tick_is_made_on_weekends(schedule: dg.ScheduleDefinition) -> None:
    assert list(ticks_between(schedule, date(2020, 8, 8), date(2020, 8, 9))) == []


def test_the_time_is_a_setting(tmp_path: Path) -> None:
    settings = Platform(tmp_path, FIRST).settings
    (schedule,) = all_schedules(settings.model_copy(update={"schedule_time": time(23, 30)}))

    (tick,) = ticks_between(schedule, date(2024, 7, 3), date(2024, 7, 3))

    assert tick == datetime(2024, 7, 4, 3, 30, tzinfo=UTC)
    assert day_of(made(schedule, tick)) == "2024-07-03"


# --- its day ---


@pytest.fixture(scope="module")
def on_disk() -> Iterator[dg.DagsterInstance]:
    with instance_on_disk() as instance:
        yield instance


@pytest.fixture
def instance(on_disk: dg.DagsterInstance) -> dg.DagsterInstance:
    """Empty again for every test."""
    wipe(on_disk)
    return on_disk


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """With the closes of the day before, so that the day can be reported."""
    platform = Platform(tmp_path / "home", BEFORE, automation=True)
    point(platform.lake, CLOSES, BEFORE)
    return platform


class Ticks:
    """Ticks of the schedule, each made by itself."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        (self._schedule,) = all_schedules(settings)
        self._instance = instance

    def at(self, day: date) -> dg.RunRequest | str:
        """The request of the tick that is due in the evening of the day, or why there is none."""
        evening = in_new_york(day, "19:00")
        with dg.build_schedule_context(instance=self._instance, scheduled_execution_time=evening) as context:
            result: Any = self._schedule(context)
        return str(result.skip_message) if isinstance(result, dg.SkipReason) else result


def asked_for(key: str, **tags: str) -> dg.RunRequest:
    """The request of a tick."""
    tags |= {"dagster/priority": "1"}
    return dg.RunRequest(key, job_name="daily_pipeline", partition_key="2024-03-04", tags=tags)


@pytest.fixture
def ticks(platform: Platform, instance: dg.DagsterInstance) -> Ticks:
    return Ticks(platform.settings, instance)


def delivered(platform: Platform) -> str:
    return fingerprint(RawFolder(platform.settings.raw_uri).deliveries(DAY))


def test_a_complete_day_is_run_for_its_files(platform: Platform, ticks: Ticks) -> None:
    deliver(platform.raw, DAY)
    files = delivered(platform)

    assert ticks.at(DAY) == asked_for(f"2024-03-04_{files}", **{DELIVERIES_TAG: files})


def test_a_complete_day_without_the_closes_before_is_run_too(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    platform = Platform(tmp_path, BEFORE)
    deliver(platform.raw, DAY)

    assert day_of(Ticks(platform.settings, instance).at(DAY)) == "2024-03-04"


def test_a_day_without_files_of_an_exchange_is_run_so_that_the_tracker_shows_it(
    platform: Platform, ticks: Ticks
) -> None:
    deliver(platform.raw, DAY, sources=[NYSE])

    # Without the tag of what it was run for: files that come later are news.
    assert ticks.at(DAY) == asked_for("2024-03-04")


def test_no_day_after_a_sample_is_run_because_nobody_delivers_it(platform: Platform, ticks: Ticks) -> None:
    platform.sample(BEFORE)

    told = f"no run of 2024-03-04: the last day in the raw folder, {BEFORE}, is a sample; nobody delivers"
    assert ticks.at(DAY) == told


def test_a_day_that_is_still_arriving_is_left_to_the_sensor(platform: Platform, ticks: Ticks) -> None:
    deliver(platform.raw, DAY, sources=[NYSE])
    deliver(platform.raw, DAY, sources=[NASDAQ], complete=False)

    assert ticks.at(DAY) == "NASDAQ is still arriving; the sensor new_files runs 2024-03-04 when it is complete"


def test_a_delivery_that_was_quiet_for_long_is_complete(platform: Platform, ticks: Ticks) -> None:
    deliver(platform.raw, DAY, complete=False)
    for path in platform.raw.rglob("part-0"):
        os.utime(path, (0, path.stat().st_mtime - platform.settings.quiet_seconds - 1))

    assert day_of(ticks.at(DAY)) == "2024-03-04"


def test_a_day_that_is_published_from_these_files_is_skipped(platform: Platform, ticks: Ticks) -> None:
    deliver(platform.raw, DAY)
    found = RawFolder(platform.settings.raw_uri).deliveries(DAY)
    point(platform.lake, EVENTS, DAY, "loaded", {of.source.raw_table: of.fingerprint for of in found})
    for table in (TRADES, QUOTES, CLOSES):
        point(platform.lake, table, DAY, f"{table.name} loaded", {EVENTS.path: "loaded"})
    used = {EVENTS.path: "loaded", TRADES.path: "trades loaded", QUOTES.path: "quotes loaded", CLOSES.path: "v1"}
    for table in tables_of("analytical"):
        point(platform.lake, table, DAY, inputs=used)

    assert ticks.at(DAY) == "2024-03-04 is up to date"


def test_a_day_whose_raw_files_were_removed_after_its_report_is_skipped(platform: Platform, ticks: Ticks) -> None:
    land(platform.lake, DAY)

    assert ticks.at(DAY) == "2024-03-04 is published, and its raw files are gone"


def test_a_day_that_is_being_run_is_skipped(platform: Platform, instance: dg.DagsterInstance, ticks: Ticks) -> None:
    deliver(platform.raw, DAY)
    run = run_of(instance, DAY, dg.DagsterRunStatus.STARTED, job="daily_pipeline")

    assert ticks.at(DAY) == f"2024-03-04 waits for the end of daily_pipeline (STARTED, run {run.run_id})"


def test_a_day_that_has_failed_with_these_files_is_skipped(
    platform: Platform, instance: dg.DagsterInstance, ticks: Ticks
) -> None:
    deliver(platform.raw, DAY)
    tags = {DELIVERIES_TAG: delivered(platform)}
    run = run_of(instance, DAY, dg.DagsterRunStatus.FAILURE, job="daily_pipeline", tags=tags)

    assert ticks.at(DAY) == (
        f"daily_pipeline_2024-03-04 ended in FAILURE with these files (run {run.run_id}); "
        "when the reason is mended, run it again"
    )


def test_a_day_whose_preconditions_are_not_met_is_run_so_that_the_tracker_shows_it(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    deliver(platform.raw, DAY)
    preconditions = Preconditions.parse('{"NYSE": [{"minimum_bytes": 1000}]}')
    ticks = Ticks(platform.settings.model_copy(update={"preconditions": preconditions}), instance)

    # Without the tag of what it was run for: the sensor runs the files when the preconditions are met.
    assert ticks.at(DAY) == asked_for("2024-03-04")


@pytest.mark.parametrize("broken", ["raw/csv", "lake/report"])
def test_a_day_whose_store_cannot_be_looked_at_is_run_so_that_nothing_is_lost(
    platform: Platform, ticks: Ticks, broken: str
) -> None:
    break_storage(platform.folder / broken)

    assert ticks.at(DAY) == asked_for("2024-03-04")


def test_a_store_that_is_away_is_asked_once(
    platform: Platform, instance: dg.DagsterInstance, s3_uri: str, faults: Faults
) -> None:
    on_s3 = {"CAPSTONE_LAKE_URI": f"{s3_uri}/lake", "CAPSTONE_RAW_URI": f"{s3_uri}/raw"}
    ticks = Ticks(Settings.from_mapping(platform.environment | on_s3), instance)
    faults.add("503 SlowDown", ".*")

    assert ticks.at(DAY) == asked_for("2024-03-04")
    assert faults.hits == ASKED_AT_ONCE


@pytest.mark.faults("F13", sample=True)
def test_of_the_ticks_that_dagsters_own_scheduler_has_missed_it_makes_the_last_which_asks_for_its_own_day_alone(
    platform: Platform, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    def daemon_looks(day: str, clock: str) -> list[tuple[str, str, str]]:
        """The runs that it has put into the queue so far, in their order."""
        daemon.look_at_schedules(in_new_york(date.fromisoformat(day), clock))
        return daemon.runs()

    monday, tuesday = ((f"2024-03-{day}", "daily_pipeline", "QUEUED") for day in (11, 12))
    with Daemon.over(platform, instance, tmp_path) as daemon:
        assert daemon_looks("2024-03-07", "18:59") == []
        # Down over the ticks of Thursday and Friday, and the weekend on which clocks go forward.
        assert daemon_looks("2024-03-11", "19:30") == [monday]
        assert daemon_looks("2024-03-12", "18:59") == [monday]
        assert daemon_looks("2024-03-12", "19:00") == [monday, tuesday]
