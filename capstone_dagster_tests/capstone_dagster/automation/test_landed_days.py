"""Which day is due by the clock of New York, and what a day that has not landed waits for."""

from datetime import UTC, date, datetime, time
from pathlib import Path

import dagster as dg
import pytest

from capstone_dagster.assets.jobs import LANDED
from capstone_dagster.automation.landed_days import Landing, expected_day, landed_check, landing
from capstone_dagster.deliveries.preconditions import Preconditions
from capstone_dagster_tests.builders.lakes import break_storage, deliver, land, point
from capstone_dagster_tests.builders.run_histories import (
    FAILURE,
    QUEUED,
    STARTED,
    SUCCESS,
    Event,
    Histories,
    did_half,
    failed,
)
from capstone_dagster_tests.capstone_dagster.test_trading_days import in_new_york
from capstone_dagster_tests.servers.job_status_database import Database
from capstone_dagster_tests.servers.platform import Platform
from spark_code.raw_files import SOURCES
from spark_code.schemas import CLOSES, DAILY_SUMMARY

FIRST, DAY = date(2020, 8, 5), date(2020, 8, 6)
NYSE, NASDAQ = SOURCES


@pytest.fixture
def instance(database: Database) -> dg.DagsterInstance:
    """Statuses are read from Postgres."""
    return database.instance


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path / "home", FIRST)


@pytest.mark.parametrize(
    ("now", "day"),
    [
        pytest.param("2020-08-06T20:00", "2020-08-06", id="at its time"),
        pytest.param("2020-08-06T19:59:59", "2020-08-05", id="a second before"),
        pytest.param("2020-08-07T00:30", "2020-08-06", id="in the night after"),
        pytest.param("2020-08-09T12:00", "2020-08-07", id="on Sunday that of Friday"),
        pytest.param("2020-09-07T21:00", "2020-09-04", id="on Labor Day that of the Friday before"),
        pytest.param("2020-11-27T19:30", "2020-11-25", id="on a half day, before the time of all days"),
        pytest.param("2020-11-27T20:00", "2020-11-27", id="on a half day, at the time of all days"),
        pytest.param("2021-01-01T20:00", "2020-12-31", id="on New Year's Day that of the year before"),
        pytest.param("2020-08-05T19:00", None, id="before the first day is due"),
        pytest.param("2020-08-01T20:00", None, id="before the first day"),
    ],
)
def test_a_day_is_due_at_its_time_in_new_york(platform: Platform, now: str, day: str | None) -> None:
    moment = in_new_york(date.fromisoformat(now[:10]), now[11:])

    assert expected_day(platform.settings, moment) == (day and date.fromisoformat(day))


@pytest.mark.parametrize(
    ("utc", "day"),
    [
        pytest.param("2024-03-09T00:59", "2024-03-07", id="the Friday before clocks go forward"),
        pytest.param("2024-03-09T01:00", "2024-03-08", id="that Friday, due at 1 in UTC"),
        pytest.param("2024-03-11T23:59", "2024-03-08", id="the Monday after"),
        pytest.param("2024-03-12T00:00", "2024-03-11", id="that Monday, due at midnight in UTC"),
        pytest.param("2024-11-02T00:00", "2024-11-01", id="the Friday before clocks go back"),
        pytest.param("2024-11-05T00:59", "2024-11-01", id="the Monday after that"),
        pytest.param("2024-11-05T01:00", "2024-11-04", id="that Monday, due at 1 in UTC again"),
    ],
)
def test_the_time_follows_the_clocks_of_new_york(platform: Platform, utc: str, day: str) -> None:
    assert expected_day(platform.settings, datetime.fromisoformat(utc).replace(tzinfo=UTC)) == date.fromisoformat(day)


def test_the_time_is_a_setting(platform: Platform) -> None:
    settings = platform.settings.model_copy(update={"late_time": time(23, 15)})

    assert expected_day(settings, in_new_york(DAY, "23:14")) == FIRST
    assert expected_day(settings, in_new_york(DAY, "23:15")) == DAY


# --- what it waits for ---


def found(platform: Platform, histories: Histories) -> Landing:
    return landing(platform.settings, histories.instance, DAY)


def test_a_day_of_which_both_tables_of_the_report_are_published_has_landed(
    platform: Platform, histories: Histories
) -> None:
    point(platform.lake, DAILY_SUMMARY, DAY)
    assert not found(platform, histories).has_landed

    land(platform.lake, DAY)
    assert found(platform, histories).sentence == "2020-08-06 has landed"


def test_a_day_without_files_waits_for_the_exchange(platform: Platform, histories: Histories) -> None:
    deliver(platform.raw, DAY, sources=[NYSE])

    sentence = found(platform, histories).sentence
    assert sentence.startswith("2020-08-06 has not landed by 20:00 New York: waiting for NASDAQ: no raw files of 2020")


def test_a_day_that_is_still_arriving_waits_for_the_exchange(platform: Platform, histories: Histories) -> None:
    deliver(platform.raw, DAY, sources=[NYSE])
    deliver(platform.raw, DAY, sources=[NASDAQ], complete=False)

    assert found(platform, histories).reason == "waiting for NASDAQ: still arriving"


@pytest.mark.parametrize(("events", "status"), [([QUEUED], "QUEUED"), ([QUEUED, STARTED], "STARTED")])
def test_a_day_that_is_worked_on_waits_for_its_run(
    platform: Platform, histories: Histories, events: list[Event], status: str
) -> None:
    run_id = histories.run("daily_pipeline", *events)

    waits = found(platform, histories)

    assert (waits.reason, waits.run_id) == (f"daily_pipeline is in progress ({status}, run {run_id})", run_id)


def test_a_day_whose_job_has_failed_tells_the_reason(platform: Platform, histories: Histories) -> None:
    deliver(platform.raw, DAY)
    histories.run("daily_pipeline", STARTED, failed("ingested__events", "bad gzip"), FAILURE)
    histories.run("preprocessing", STARTED, *did_half("preprocessing"), SUCCESS)
    run_id = histories.run("analytical", STARTED, failed("report", "disk full"), FAILURE)

    waits = found(platform, histories)

    assert (waits.reason, waits.run_id) == ("analytical_2020-08-06 ended in FAILURE: disk full", run_id)


def test_a_report_may_wait_for_the_closes_of_the_day_before(platform: Platform, histories: Histories) -> None:
    deliver(platform.raw, DAY)
    histories.run("preprocessing", STARTED, *did_half("preprocessing"), SUCCESS)

    assert found(platform, histories).reason == "its report waits for the closes of 2020-08-05"


def test_a_day_that_nobody_has_run_says_so(platform: Platform, histories: Histories) -> None:
    point(platform.lake, CLOSES, FIRST)
    deliver(platform.raw, DAY)

    assert found(platform, histories).reason == "its files are complete, and no run works on it"


def test_a_day_whose_preconditions_are_not_met_waits_for_them(platform: Platform, histories: Histories) -> None:
    deliver(platform.raw, DAY)
    preconditions = Preconditions.parse('{"NYSE": [{"minimum_bytes": 1000}]}')

    waits = landing(platform.settings.model_copy(update={"preconditions": preconditions}), histories.instance, DAY)

    assert waits.reason == "waiting for NYSE: 7 bytes were delivered, at least 1,000 are due"


def test_raw_files_that_cannot_be_looked_at_are_a_reason_too(platform: Platform, histories: Histories) -> None:
    break_storage(platform.raw / "csv")

    assert str(found(platform, histories).reason).startswith("its files cannot be looked at: ")


def test_a_pointer_that_nobody_can_read_is_a_reason_too(platform: Platform, histories: Histories) -> None:
    platform.lake.storage.write("report/daily_summary/_published/2020-08-06.json", b"{")

    assert "is no manifest" in str(found(platform, histories).reason)


# --- the check that people execute ---


def test_the_check_can_be_executed_without_naming_a_day(platform: Platform, histories: Histories) -> None:
    job = platform.defs.resolve_implicit_global_asset_job_def()
    only = job.get_subset(asset_selection=frozenset(), asset_check_selection={LANDED})

    ran = only.execute_in_process(instance=histories.instance)

    (judged,) = ran.get_asset_check_evaluations()
    assert ran.success
    assert (judged.asset_key.to_user_string(), judged.check_name) == ("report/daily_summary", "landed")
    assert not judged.passed
    assert "has not landed by 20:00 New York: waiting for NYSE and NASDAQ" in str(judged.description)


@pytest.mark.parametrize(
    ("now", "passed", "told"),
    [
        (in_new_york(DAY, "20:00"), True, "2020-08-06 has landed"),
        (in_new_york(date(2020, 8, 4), "20:00"), True, "no trading day is due yet"),
    ],
)
def test_the_check_judges_the_day_that_is_due(
    platform: Platform, histories: Histories, now: datetime, passed: bool, told: str
) -> None:
    land(platform.lake, DAY)
    check = landed_check(platform.settings, now.timestamp)

    result = check(dg.build_asset_check_context(instance=histories.instance))

    assert isinstance(result, dg.AssetCheckResult)
    assert (result.passed, result.description) == (passed, told)


def test_an_instance_without_statuses_still_says_that_the_day_has_not_landed(platform: Platform) -> None:
    deliver(platform.raw, DAY)
    point(platform.lake, CLOSES, FIRST)
    with dg.DagsterInstance.ephemeral() as in_memory:
        assert landing(platform.settings, in_memory, DAY).reason == "its files are complete, and no run works on it"


def test_a_file_name_in_the_reason_is_no_image_in_the_description() -> None:
    landing = Landing(DAY, "20:00 New York", "the file ![x](http://a).csv cannot be read")

    assert landing.check_result["description"] == (
        rf"{DAY} has not landed by 20:00 New York: the file !\[x](http://a).csv cannot be read"
    )
