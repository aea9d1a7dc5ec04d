"""The NYSE calendar against its published closures, and the partitions that come of it."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Any, Self

import dagster as dg
import pytest
from dagster._core.definitions.partitions.snap import PartitionsSnap
from dagster._core.definitions.partitions.subset import TimeWindowPartitionsSubset

from capstone_dagster import trading_days as module
from capstone_dagster.trading_days import NEW_YORK, NoTradingDayError, TradingDays, parse_day, trading_days
from capstone_dagster_tests.builders.nyse_closures import KEPT, closures
from spark_code.nyse_calendar import COLUMNS

FIRST = date(2020, 8, 5)
# From the exchange's own notices, not from the library: the weekdays without trading, by year.
CLOSED = {
    2016: "01-01 01-18 02-15 03-25 05-30 07-04 09-05 11-24 12-26",
    2017: "01-02 01-16 02-20 04-14 05-29 07-04 09-04 11-23 12-25",
    2018: "01-01 01-15 02-19 03-30 05-28 07-04 09-03 11-22 12-05 12-25",  # 12-05: mourning for George H. W. Bush
    2019: "01-01 01-21 02-18 04-19 05-27 07-04 09-02 11-28 12-25",
    2020: "01-01 01-20 02-17 04-10 05-25 07-03 09-07 11-26 12-25",
    2021: "01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24",  # and not 12-31, though 2022-01-01 is a Saturday
    2022: "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26",
    2023: "01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25",
    2024: "01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25",
    2025: "01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25",  # 01-09: for Jimmy Carter
}
CLOSURES = {date.fromisoformat(f"{year}-{day}") for year, days in CLOSED.items() for day in days.split()}
EVERY_DAY = [date(2016, 1, 1) + timedelta(days=i) for i in range((date(2026, 1, 1) - date(2016, 1, 1)).days)]
SESSIONS = [day for day in EVERY_DAY if day.weekday() < 5 and day not in CLOSURES]


@pytest.fixture(scope="module")
def ten_years() -> TradingDays:
    return trading_days(date(2016, 1, 1))


@pytest.fixture(scope="module")
def calendar() -> TradingDays:
    return trading_days(FIRST)


def set_clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    """What time it is for ``trading_days``; Dagster is told with ``partition_loading_context``."""

    class FixedClock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(now.timestamp(), tz)

    monkeypatch.setattr(module, "datetime", FixedClock)


def in_new_york(day: date, clock: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=NEW_YORK)


def previous_partition(calendar: TradingDays, day: str) -> list[str]:
    """What the report's dependency on the previous day's closes maps a partition to."""
    partitions = calendar.partitions
    subset = partitions.empty_subset().with_partition_keys([day])
    assert isinstance(subset, TimeWindowPartitionsSubset)
    mapping = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)
    mapped = mapping.get_upstream_mapped_partitions_result_for_partitions(subset, partitions, partitions)
    assert list(mapped.required_but_nonexistent_subset.get_partition_keys()) == []
    return list(mapped.partitions_subset.get_partition_keys())


def refusal(calendar: TradingDays, spec: str) -> str:
    with pytest.raises(NoTradingDayError) as refused:
        calendar.parse(spec)
    return str(refused.value)


# --- the calendar ---


def test_the_kept_days_are_those_of_exchange_calendars() -> None:
    assert KEPT.read_text().splitlines() == [",".join(day) for day in (COLUMNS, *closures())], "run: make calendar"


@pytest.mark.faults("F13", sample=True)
def test_over_ten_years_the_partitions_are_the_sessions_of_the_exchange(ten_years: TradingDays) -> None:
    with dg.partition_loading_context(effective_dt=in_new_york(date(2025, 12, 31), "18:00")):
        keys = ten_years.partitions.get_partition_keys()

    assert list(keys) == [day.isoformat() for day in SESSIONS]


def test_next_walks_over_the_sessions(ten_years: TradingDays) -> None:
    pairs = list(pairwise(SESSIONS))
    assert [(before, ten_years.next(before)) for before, _ in pairs] == pairs


@pytest.mark.parametrize(
    ("day", "after"),
    [
        pytest.param("2020-08-10", "2020-08-11", id="Monday"),
        pytest.param("2020-08-08", "2020-08-10", id="Saturday"),
        pytest.param("2020-09-08", "2020-09-09", id="the day after Labor Day"),
        pytest.param("2020-12-31", "2021-01-04", id="the last of the year"),
        pytest.param("2021-12-31", "2022-01-03", id="a New Year's Eve before a Saturday"),
        pytest.param("2025-01-09", "2025-01-10", id="a special closure"),
        pytest.param("2024-11-29", "2024-12-02", id="a half day"),
        pytest.param("2020-08-05", "2020-08-06", id="the first day"),
        pytest.param("2040-12-31", None, id="the last known day"),
    ],
)
def test_the_trading_day_after_a_day(calendar: TradingDays, day: str, after: str | None) -> None:
    assert calendar.next(date.fromisoformat(day)) == (after and date.fromisoformat(after))


@pytest.mark.parametrize(
    ("configured", "first"),
    [(FIRST, FIRST), (date(2020, 8, 8), date(2020, 8, 10)), (date(2024, 12, 25), date(2024, 12, 26))],
)
def test_the_first_trading_day_is_the_first_session_from_the_configured_day_on(configured: date, first: date) -> None:
    calendar = trading_days(configured)

    assert calendar.first == first
    assert calendar.partitions.get_first_partition_key() == first.isoformat()


# --- the partitions ---


@pytest.mark.parametrize(
    ("day", "exists"),
    [
        pytest.param("2020-08-05", True, id="the first day"),
        pytest.param("2020-08-04", False, id="before the first day"),
        pytest.param("2020-08-08", False, id="Saturday"),
        pytest.param("2020-08-09", False, id="Sunday"),
        pytest.param("2020-09-07", False, id="Labor Day"),
        pytest.param("2021-04-02", False, id="Good Friday"),
        pytest.param("2025-01-09", False, id="a special closure"),
        pytest.param("2024-07-03", True, id="a half day before Independence Day"),
        pytest.param("2024-11-29", True, id="a half day after Thanksgiving"),
        pytest.param("2024-12-24", True, id="a half day before Christmas"),
        pytest.param("2021-12-31", True, id="New Year's Eve"),
        pytest.param("2022-01-03", True, id="the first session of a year"),
    ],
)
def test_a_day_is_a_partition_if_it_is_traded(calendar: TradingDays, day: str, exists: bool) -> None:
    assert calendar.partitions.has_partition_key(day) == exists


@pytest.mark.parametrize(
    ("day", "looks_at"),
    [
        pytest.param("2020-08-06", ["2020-08-05"], id="a Thursday at Wednesday"),
        pytest.param("2020-08-10", ["2020-08-07"], id="Monday at Friday"),
        pytest.param("2020-09-08", ["2020-09-04"], id="the day after Labor Day at the Friday before"),
        pytest.param("2025-01-10", ["2025-01-08"], id="over a special closure"),
        pytest.param("2021-01-04", ["2020-12-31"], id="over the year's end"),
        pytest.param("2024-03-11", ["2024-03-08"], id="over the night when clocks go forward"),
        pytest.param("2024-11-04", ["2024-11-01"], id="over the night when clocks go back"),
        pytest.param("2020-08-05", [], id="the first day at nothing"),
    ],
)
def test_a_partition_looks_at_the_previous_trading_day(calendar: TradingDays, day: str, looks_at: list[str]) -> None:
    assert previous_partition(calendar, day) == looks_at


@pytest.mark.parametrize(
    ("now", "last"),
    [
        pytest.param(in_new_york(date(2024, 7, 2), "23:59:59"), "2024-07-02", id="the evening before"),
        pytest.param(in_new_york(date(2024, 7, 3), "00:00:01"), "2024-07-03", id="from midnight on"),
        pytest.param(in_new_york(date(2024, 7, 3), "20:00"), "2024-07-03", id="in its evening"),
        pytest.param(datetime(2024, 7, 3, 3, tzinfo=UTC), "2024-07-02", id="still the day before in New York"),
    ],
)
def test_a_day_is_a_partition_from_its_midnight_in_new_york_on(calendar: TradingDays, now: datetime, last: str) -> None:
    with dg.partition_loading_context(effective_dt=now):
        assert calendar.partitions.get_last_partition_key() == last


def test_the_identity_of_the_partitions_does_not_change_with_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    identities = []
    for now in (in_new_york(date(2024, 7, 3), "12:00"), in_new_york(date(2031, 2, 3), "12:00")):
        set_clock(monkeypatch, now)
        with dg.partition_loading_context(effective_dt=now):
            partitions = TradingDays(FIRST).partitions
            snapshot: Any = PartitionsSnap.from_def(partitions)
            identities.append((partitions.get_serializable_unique_identifier(None), dg.serialize_value(snapshot)))

    assert identities[0] == identities[1]


# --- what people ask for ---


@pytest.mark.parametrize(
    ("spec", "days"),
    [
        ("2020-08-05", ["2020-08-05"]),
        ("2020-08-05..2020-08-05", ["2020-08-05"]),
        ("2020-08-06..2020-08-11", ["2020-08-06", "2020-08-07", "2020-08-10", "2020-08-11"]),
        ("2020-09-05..2020-09-08", ["2020-09-08"]),
        ("2025-01-08..2025-01-12", ["2025-01-08", "2025-01-10"]),
        ("2021-12-31..2022-01-03", ["2021-12-31", "2022-01-03"]),
    ],
)
def test_a_day_or_a_range_names_its_trading_days_in_order(calendar: TradingDays, spec: str, days: list[str]) -> None:
    assert calendar.parse(spec) == [date.fromisoformat(day) for day in days]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("2020-08-08", "2020-08-08 cannot be run: the NYSE is closed on Saturdays"),
        ("2020-08-09", "2020-08-09 cannot be run: the NYSE is closed on Sundays"),
        ("2020-09-07", "2020-09-07 cannot be run: the NYSE is closed on Labor Day"),
        ("2021-04-02", "2021-04-02 cannot be run: the NYSE is closed on Good Friday"),
        ("2025-01-09", "2025-01-09 cannot be run: the NYSE is closed on this day (special closure)"),
        (
            "2020-08-04",
            "2020-08-04 cannot be run: it is before the first trading day 2020-08-05 (CAPSTONE_FIRST_TRADING_DAY)",
        ),
        (
            "2020-08-04..2020-08-06",
            "2020-08-04 cannot be run: it is before the first trading day 2020-08-05 (CAPSTONE_FIRST_TRADING_DAY)",
        ),
        ("2041-01-02", "2041-01-02 cannot be run: the calendar ends with 2040-12-31"),
        ("2020-08-06..2020-08-05", "2020-08-06..2020-08-05: 2020-08-06 is after 2020-08-05"),
        ("2020-08-08..2020-08-09", "2020-08-08..2020-08-09 contains no trading day of the NYSE"),
        ("2020-02-30", "'2020-02-30' is not a date: day is out of range for month; write yyyy-mm-dd"),
    ],
)
def test_a_day_that_cannot_be_run_is_refused_with_the_reason(calendar: TradingDays, spec: str, reason: str) -> None:
    assert refusal(calendar, spec) == reason


@pytest.mark.parametrize("end", ["2041-01-02", "9999-12-31"])
def test_a_range_behind_the_end_of_the_calendar_is_refused(calendar: TradingDays, end: str) -> None:
    assert "cannot be run: " in refusal(calendar, f"2020-08-05..{end}")


@pytest.mark.parametrize("configured", [date(2020, 8, 8), date(2025, 7, 4)])
def test_a_closed_day_is_called_closed_also_where_the_calendar_begins(configured: date) -> None:
    assert "the NYSE is closed on" in refusal(trading_days(configured), configured.isoformat())


@pytest.mark.parametrize("now", [in_new_york(date(2024, 7, 2), "20:00"), datetime(2024, 7, 3, 3, tzinfo=UTC)])
@pytest.mark.parametrize("spec", ["2024-07-03", "2024-07-01..2024-07-03"])
def test_a_day_that_has_not_begun_in_new_york_is_refused(
    calendar: TradingDays, monkeypatch: pytest.MonkeyPatch, now: datetime, spec: str
) -> None:
    set_clock(monkeypatch, now)

    assert refusal(calendar, spec) == ("2024-07-03 cannot be run: it is in the future; in New York it is 2024-07-02")


def test_a_day_can_be_run_in_its_own_evening(calendar: TradingDays, monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, in_new_york(date(2024, 7, 3), "20:00"))

    assert calendar.parse("2024-07-03") == [date(2024, 7, 3)]


def test_a_range_may_be_written_as_dg_has_it(calendar: TradingDays) -> None:
    assert calendar.parse("2020-08-07...2020-08-10") == calendar.parse("2020-08-07..2020-08-10")


@pytest.mark.parametrize("text", ["", "today", "2020-8-5", "20200805", "2020-08-05 ", "2020-08-05T00:00", "2020-W32-3"])
def test_a_date_is_written_in_one_way_only(text: str) -> None:
    with pytest.raises(NoTradingDayError) as refused:
        parse_day(text)

    assert str(refused.value) == f"{text!r} is not a date; write yyyy-mm-dd"


@pytest.mark.parametrize("spec", ["..", "2020-08-05..", "..2020-08-05", "2020-08-05....2020-08-06", "2020-08-05..x..y"])
def test_half_a_range_is_no_range(calendar: TradingDays, spec: str) -> None:
    assert refusal(calendar, spec).endswith("is not a date; write yyyy-mm-dd")
