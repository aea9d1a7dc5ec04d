"""The schedule against the calendar: one request for every trading day, at the right time, and none for any other."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from itertools import takewhile
from pathlib import Path
from typing import Any

import dagster as dg
import exchange_calendars
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from capstone_dagster.automation.schedules import all_schedules
from capstone_dagster_tests.capstone_dagster.test_trading_days import SESSIONS, in_new_york
from capstone_dagster_tests.servers.platform import Platform

FIRST, LAST = date(2015, 1, 2), date(2030, 12, 31)


@pytest.fixture(scope="module")
def schedule(tmp_path_factory: pytest.TempPathFactory) -> dg.ScheduleDefinition:
    (schedule,) = all_schedules(Platform(tmp_path_factory.mktemp("no files"), FIRST).settings)
    return schedule


def ticks(schedule: dg.ScheduleDefinition, first: date, last: date) -> Iterator[datetime]:
    """When Dagster's daemon makes the ticks of these days."""
    start, end = in_new_york(first, "00:00"), in_new_york(last, "23:59")
    cron, zone = schedule.cron_schedule, schedule.execution_timezone
    return takewhile(lambda tick: tick < end, schedule_execution_time_iterator(start.timestamp(), cron, zone))


def made(schedule: dg.ScheduleDefinition, tick: datetime) -> list[Any] | str:
    """The days that a tick asks for, or why it asks for none."""
    result: Any = schedule(dg.build_schedule_context(scheduled_execution_time=tick))
    return str(result.skip_message) if isinstance(result, dg.SkipReason) else [run.partition_key for run in result]


def test_sixteen_years_of_ticks_ask_once_for_every_trading_day_in_its_evening(schedule: dg.ScheduleDefinition) -> None:
    asked = {tick: made(schedule, tick) for tick in ticks(schedule, FIRST, LAST)}

    days = [(tick, day) for tick, requested in asked.items() if isinstance(requested, list) for day in requested]
    nyse = exchange_calendars.get_calendar("XNYS", start=FIRST.isoformat(), end=LAST.isoformat())
    assert [day for _, day in days] == [f"{session.date()}" for session in nyse.sessions]
    assert [day for _, day in days if "2016" <= day < "2026"] == [f"{day}" for day in SESSIONS]
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
    (tick,) = ticks(schedule, date.fromisoformat(day), date.fromisoformat(day))

    assert tick == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert made(schedule, tick.astimezone(UTC)) == [day]


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
    assert list(ticks(schedule, date(2020, 8, 8), date(2020, 8, 9))) == []


def test_the_time_is_a_setting(tmp_path: Path) -> None:
    settings = Platform(tmp_path, FIRST).settings
    (schedule,) = all_schedules(settings.model_copy(update={"schedule_time": time(23, 30)}))

    (tick,) = ticks(schedule, date(2024, 7, 3), date(2024, 7, 3))

    assert tick == datetime(2024, 7, 4, 3, 30, tzinfo=UTC)
    assert made(schedule, tick) == ["2024-07-03"]
