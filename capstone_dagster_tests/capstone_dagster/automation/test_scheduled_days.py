"""What a tick of the schedule makes of its day: what is delivered, what is done, and what was missed before."""

import os
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster_shared.error import SerializableErrorInfo

from capstone_dagster.automation.needed_runs import fingerprint
from capstone_dagster.automation.schedules import NAME, all_schedules
from capstone_dagster.deliveries.preconditions import Preconditions
from capstone_dagster.run_tags import DELIVERIES_TAG
from capstone_dagster.settings import Settings
from capstone_dagster_tests.builders.lakes import break_storage, deliver, land, point
from capstone_dagster_tests.builders.runs import run_of
from capstone_dagster_tests.capstone_dagster.test_trading_days import in_new_york
from capstone_dagster_tests.servers.daemon import Daemon, instance_on_disk, wipe
from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.servers.s3_faults import (  # noqa: F401 -- pytest finds fixtures by their import
    ASKED_AT_ONCE,
    Faults,
    faulty_front,
    faulty_s3,
)
from spark_code.raw_files import SOURCES, RawFolder
from spark_code.schemas import CLOSES, DAILY_SUMMARY, EVENTS, QUOTE_ANALYTICS, QUOTES, TRADES

FIRST, DAY = date(2024, 3, 1), date(2024, 3, 4)
NYSE, NASDAQ = SOURCES


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
    """With the closes of the first day, so that the second can be reported."""
    platform = Platform(tmp_path / "home", FIRST, automation=True)
    point(platform.lake, CLOSES, FIRST)
    return platform


class Ticks:
    """Ticks of the schedule, each made by itself."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        (self._schedule,) = all_schedules(settings)
        self._instance = instance

    def at(self, day: date) -> list[dg.RunRequest] | str:
        """The requests of the tick that is due in the evening of the day, or why there are none."""
        evening = in_new_york(day, "19:00")
        with dg.build_schedule_context(instance=self._instance, scheduled_execution_time=evening) as context:
            result: Any = self._schedule(context)
        return str(result.skip_message) if isinstance(result, dg.SkipReason) else list(result)

    def days_at(self, day: date) -> list[str | None]:
        """The days that it asks for."""
        requests = self.at(day)
        assert not isinstance(requests, str), requests
        return [request.partition_key for request in requests]


def asked_for(key: str, **tags: str) -> list[dg.RunRequest]:
    """The one request of a tick."""
    tags |= {"dagster/priority": "1"}
    return [dg.RunRequest(key, job_name="daily_pipeline", partition_key="2024-03-04", tags=tags)]


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
    platform = Platform(tmp_path, FIRST)
    deliver(platform.raw, DAY)

    assert Ticks(platform.settings, instance).days_at(DAY) == ["2024-03-04"]


def test_a_day_without_files_of_an_exchange_is_run_so_that_the_tracker_shows_it(
    platform: Platform, ticks: Ticks
) -> None:
    deliver(platform.raw, DAY, sources=[NYSE])

    # Without the tag of what it was run for: files that come later are news.
    assert ticks.at(DAY) == asked_for("2024-03-04")


def test_a_day_that_is_still_arriving_is_left_to_the_sensor(platform: Platform, ticks: Ticks) -> None:
    deliver(platform.raw, DAY, sources=[NYSE])
    deliver(platform.raw, DAY, sources=[NASDAQ], complete=False)

    assert ticks.at(DAY) == "NASDAQ is still arriving; the sensor new_files runs 2024-03-04 when it is complete"


def test_a_delivery_that_was_quiet_for_long_is_complete(platform: Platform, ticks: Ticks) -> None:
    deliver(platform.raw, DAY, complete=False)
    for path in platform.raw.rglob("part-0"):
        os.utime(path, (0, path.stat().st_mtime - platform.settings.quiet_seconds - 1))

    assert len(ticks.at(DAY)) == 1


def test_a_day_that_is_published_from_these_files_is_skipped(platform: Platform, ticks: Ticks) -> None:
    deliver(platform.raw, DAY)
    found = RawFolder(platform.settings.raw_uri).deliveries(DAY)
    point(platform.lake, EVENTS, DAY, "loaded", {of.source.raw_table: of.fingerprint for of in found})
    for table in (TRADES, QUOTES, CLOSES):
        point(platform.lake, table, DAY, f"{table.name} loaded", {EVENTS.path: "loaded"})
    used = {TRADES.path: "trades loaded", QUOTES.path: "quotes loaded", CLOSES.path: "v1"}
    for table in (QUOTE_ANALYTICS, DAILY_SUMMARY):
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


# --- what was missed before ---


class History:
    """What Dagster knows of the schedule: since when it is on, and the ticks that were made."""

    def __init__(self, instance: dg.DagsterInstance, since: datetime) -> None:
        self._instance = instance
        repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("capstone"), "__repository__")
        self._origin = RemoteInstigatorOrigin(repository, NAME)
        data = ScheduleInstigatorData("0 19 * * 1-5", since.timestamp())
        status = InstigatorStatus.DECLARED_IN_CODE
        instance.add_instigator_state(InstigatorState(self._origin, InstigatorType.SCHEDULE, status, data))

    def ticked(self, day: date, status: TickStatus = TickStatus.SUCCESS) -> None:
        """The tick of a day was made, with this result."""
        moment = in_new_york(day, "19:00").timestamp()
        origin = self._origin.get_id()
        error = SerializableErrorInfo("no memory", [], "OSError") if status == TickStatus.FAILURE else None
        tick = TickData(origin, NAME, InstigatorType.SCHEDULE, status, moment, run_ids=[], error=error)
        self._instance.create_tick(tick._replace(selector_id=self._origin.get_selector().get_id()))


@pytest.fixture
def history(instance: dg.DagsterInstance) -> History:
    """Since Monday noon."""
    return History(instance, in_new_york(DAY, "12:00"))


def test_a_tick_asks_for_the_days_since_the_last_one_the_oldest_first(history: History, ticks: Ticks) -> None:
    history.ticked(DAY)

    assert ticks.days_at(date(2024, 3, 7)) == ["2024-03-05", "2024-03-06", "2024-03-07"]


def test_the_first_tick_asks_for_what_was_due_since_the_schedule_was_on(history: History, ticks: Ticks) -> None:
    del history
    assert ticks.days_at(date(2024, 3, 5)) == ["2024-03-04", "2024-03-05"]


def test_the_tick_of_a_holiday_asks_for_what_was_missed_before_it(history: History, ticks: Ticks) -> None:
    history.ticked(date(2024, 3, 27))

    good_friday = date(2024, 3, 29)
    assert ticks.days_at(good_friday) == ["2024-03-28"]


def test_the_day_of_a_tick_that_ended_in_an_error_was_missed(history: History, ticks: Ticks) -> None:
    history.ticked(DAY)
    history.ticked(date(2024, 3, 5), TickStatus.FAILURE)

    assert ticks.days_at(date(2024, 3, 6)) == ["2024-03-05", "2024-03-06"]


def test_of_many_missed_days_the_last_five_are_asked_for(history: History, ticks: Ticks) -> None:
    history.ticked(DAY)

    missed = ["2024-06-28", "2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]
    assert ticks.days_at(date(2024, 7, 8)) == [*missed, "2024-07-08"]


def test_what_was_due_before_the_schedule_was_switched_on_again_is_not_asked_for(
    instance: dg.DagsterInstance, ticks: Ticks
) -> None:
    History(instance, in_new_york(date(2024, 3, 7), "12:00")).ticked(DAY)

    assert ticks.days_at(date(2024, 3, 7)) == ["2024-03-07"]


def test_a_missed_day_that_is_done_is_not_asked_for(history: History, ticks: Ticks, platform: Platform) -> None:
    history.ticked(DAY)
    land(platform.lake, date(2024, 3, 5))

    assert ticks.days_at(date(2024, 3, 6)) == ["2024-03-06"]


def test_a_store_that_is_away_is_asked_once_for_all_the_missed_days(
    history: History,
    platform: Platform,
    instance: dg.DagsterInstance,
    s3_uri: str,
    faults: Faults,
) -> None:
    history.ticked(DAY)
    on_s3 = {"CAPSTONE_LAKE_URI": f"{s3_uri}/lake", "CAPSTONE_RAW_URI": f"{s3_uri}/raw"}
    ticks = Ticks(Settings.from_mapping(platform.environment | on_s3), instance)
    faults.add("503 SlowDown", ".*")

    assert ticks.days_at(date(2024, 3, 7)) == ["2024-03-05", "2024-03-06", "2024-03-07"]
    assert faults.hits == ASKED_AT_ONCE


def test_dagsters_own_scheduler_brings_the_missed_days_into_the_queue_in_their_order(
    platform: Platform, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    def daemon_looks(day: str, clock: str) -> list[str]:
        """The days of the runs that it has put into the queue so far, in their order."""
        daemon.look_at_schedules(in_new_york(date.fromisoformat(day), clock))
        runs = daemon.runs()
        assert {run[1:] for run in runs} <= {("daily_pipeline", "QUEUED")}
        return [day for day, *_ in runs]

    with Daemon.over(platform, instance, tmp_path) as daemon:
        assert daemon_looks("2024-03-07", "18:59") == []
        # Down over Friday's tick, and the weekend on which clocks go forward.
        missed = ["2024-03-07", "2024-03-08", "2024-03-11"]
        assert daemon_looks("2024-03-11", "19:30") == missed
        assert daemon_looks("2024-03-12", "18:59") == missed
        assert daemon_looks("2024-03-12", "19:00") == [*missed, "2024-03-12"]
