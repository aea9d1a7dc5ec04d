"""One look at the raw folder: which days it is about, how many it takes, and when a delivery is complete."""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta

import pytest

from capstone_dagster.deliveries.completeness import still_arriving, why_incomplete
from capstone_dagster.deliveries.scan import RawScan, Scan
from capstone_dagster.trading_days import trading_days
from capstone_dagster_tests.builders.raw_folders import CountedRaw
from spark_code.raw_files import SOURCES, Delivery
from spark_code.storage import Storage, StoredObject

CALENDAR = trading_days(date(2020, 8, 3))
WEEK = CALENDAR.parse("2020-08-03..2020-08-07")
TODAY = date(2020, 12, 31)
ALL_DAYS = CALENDAR.parse("2020-08-03..2020-12-31")
NOW = datetime(2020, 8, 6, 22, tzinfo=UTC)


def look(raw: CountedRaw, known: Collection[date] = (), start: date | None = None, *, most_days: int = 250) -> Scan:
    raw.storage.calls.clear()
    return RawScan(raw, CALENDAR, lambda: raw.storage.seconds).look(TODAY, most_days, known, start)


def test_the_latest_trading_days_with_a_folder_are_watched() -> None:
    raw = CountedRaw()
    raw.deliver(*WEEK)
    raw.put("json/2020-08-10/NASDAQ/only one exchange", "csv/2020-08-09/NYSE/on a Sunday")

    scan = look(raw, most_days=3)

    assert scan.watched == [date(2020, 8, 6), date(2020, 8, 7), date(2020, 8, 10)]
    assert scan.older == WEEK[:3]
    assert list(scan.days) == scan.watched


def test_all_known_days_of_few_files_take_five_list_calls() -> None:
    raw = CountedRaw()
    raw.deliver(*ALL_DAYS)

    scan = look(raw, known=ALL_DAYS)

    assert set(scan.days) == set(ALL_DAYS)
    assert scan.go_on_at is None
    assert raw.storage.calls == ["", "csv", "json", "csv/2020-08-03", "json/2020-08-03"]


def test_what_there_is_no_time_for_has_its_turn_in_the_next_look() -> None:
    raw = CountedRaw(page=10)
    raw.deliver(*ALL_DAYS, files=10)
    raw.storage.seconds_per_call = 0.125
    known: set[date] = set()
    looked: list[list[date]] = []
    for _ in range(16):
        scan = look(raw, known)
        looked.append(list(scan.days))
        known |= scan.days.keys()

    # Two seconds are eight calls of each format: seven days, and a look at what comes behind them.
    assert looked[0] == ALL_DAYS[:7]
    assert looked[1] == ALL_DAYS[7:14]
    assert known == set(ALL_DAYS)


def test_known_days_are_swept_in_turns_and_the_newest_looked_at_every_time() -> None:
    raw = CountedRaw(page=10)
    raw.deliver(*ALL_DAYS, files=10)
    raw.storage.seconds_per_call = 0.125
    start, looked = None, []
    for _ in range(16):
        scan = look(raw, ALL_DAYS, start)
        start = scan.go_on_at
        looked.append(scan.days.keys())

    assert looked[0] == {*ALL_DAYS[:7], *ALL_DAYS[-5:]}
    assert looked[1] == {*ALL_DAYS[7:14], *ALL_DAYS[-5:]}
    assert set().union(*looked) == set(ALL_DAYS)
    # Of 106 days one is left for the last look, which begins anew behind it.
    assert looked[15] == {*ALL_DAYS[:6], *ALL_DAYS[-5:]}
    assert start == ALL_DAYS[6]


def test_a_day_that_nobody_knows_has_its_turn_before_the_others() -> None:
    raw = CountedRaw(page=10)
    raw.deliver(*ALL_DAYS, files=10)
    raw.storage.seconds_per_call = 0.125
    new = ALL_DAYS[50]

    scan = look(raw, [day for day in ALL_DAYS if day != new], ALL_DAYS[20])

    assert list(scan.days) == [new, *ALL_DAYS[20:25], *ALL_DAYS[-5:]]
    assert scan.go_on_at == ALL_DAYS[25]


def test_a_day_that_takes_too_long_is_looked_at_nevertheless() -> None:
    raw = CountedRaw(page=10)
    raw.deliver(*WEEK, files=100)
    raw.storage.seconds_per_call = 1.0

    assert [len(arrival.delivery.files) for arrival in look(raw).days[WEEK[0]].arrivals] == [100, 100]


def test_a_quick_store_is_asked_no_more_often_than_there_are_days() -> None:
    raw = CountedRaw(page=1)
    raw.deliver(*ALL_DAYS, files=5)

    scan = look(raw, ALL_DAYS)

    assert set(ALL_DAYS[:10]) < scan.days.keys() < set(ALL_DAYS)
    newest = 5 * 2 * 6
    assert len(raw.storage.calls) <= len(ALL_DAYS) + newest


def delivery(*ages: float, success: bool = False) -> Delivery:
    files = (
        StoredObject(f"csv/2020-08-06/NYSE/{n}", 1, NOW - timedelta(seconds=age), "") for n, age in enumerate(ages)
    )
    return Delivery(SOURCES[0], date(2020, 8, 6), Storage("/raw"), tuple(files), success)


@pytest.mark.parametrize(
    ("found", "seen_for", "why"),
    [
        (delivery(0, success=True), 0, None),
        (delivery(-9999, success=True), 0, None),
        (delivery(60), 0, None),
        (delivery(999, 60), 0, None),
        (
            delivery(999, 59),
            59,
            "1 is 59 s old; a _SUCCESS that is not older, or 60 s without a change, completes the delivery",
        ),
        (
            delivery(3),
            0,
            "0 is 3 s old; a _SUCCESS that is not older, or 60 s without a change, completes the delivery",
        ),
        (delivery(), 999, "it has delivered no data file"),
        (delivery(success=True), 999, "it has delivered no data file"),
        (
            delivery(-9999),
            20,
            "0 is 20 s old; a _SUCCESS that is not older, or 60 s without a change, completes the delivery",
        ),
        (delivery(-9999), 60, None),
    ],
    ids=[
        "said to be",
        "said to be, with a time in the future",
        "quiet",
        "several files, quiet",
        "one of several still warm",
        "warm",
        "nothing",
        "nothing, said to be complete",
        "a time in the future, just seen",
        "a time in the future, seen long enough",
    ],
)
def test_a_delivery_is_complete_when_it_is_said_to_be_or_when_nothing_has_changed_for_a_time(
    found: Delivery, seen_for: float, why: str | None
) -> None:
    assert why_incomplete(found, 60, NOW, NOW - timedelta(seconds=seen_for)) == why


def test_without_a_quiet_time_every_file_is_complete_at_once() -> None:
    assert why_incomplete(delivery(-9999), 0, NOW, NOW) is None


def test_who_has_not_seen_a_delivery_before_goes_by_its_files() -> None:
    assert still_arriving([delivery(3), delivery(60), delivery()], 60, NOW) == ["NYSE", "NYSE"]
