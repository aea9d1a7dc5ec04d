"""Bars: where each begins and ends, what they hold, and that they add up to the day."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.published_files import events_of
from capstone_dagster_tests.builders.rows import DAY, Row, at, frame, money, quote, trade
from spark_code import event_sums
from spark_code.eod_to_report import bars, daily_summary
from spark_code.event_sums import MINUTES
from spark_code.schemas import BARS, CLOSES

BarsOf = Callable[[list[Row], list[Row]], list[dict[str, Any]]]


@pytest.fixture
def bars_of(spark: SparkSession, tmp_path: Path) -> BarsOf:
    def bars_of(trades: list[Row], quotes: list[Row]) -> list[dict[str, Any]]:
        _, sums = event_sums.event_sums(*events_of(spark, tmp_path, trades, quotes, DAY))
        found = bars(sums)
        assert found.columns == BARS.columns
        rows = [row.asDict() for row in found.collect()]
        return sorted(rows, key=lambda row: (row["symbol"], row["exchange"], row["minutes"], row["bar_tm"]))

    return bars_of


def bar(minutes: int, begin: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A bar of IBM; texts are prices, and what is not named is null, or nothing."""
    key = {"trade_dt": DAY, "symbol": "IBM", "exchange": "NYSE", "minutes": minutes, "bar_tm": at(begin)}
    empty = dict.fromkeys(BARS.columns) | dict.fromkeys(["volume", "trade_count", "quote_count"], 0)
    return empty | key | {name: money(value) if isinstance(value, str) else value for name, value in values.items()}


def test_a_bar_has_its_first_instant_and_not_its_last(bars_of: BarsOf) -> None:
    prices = ["open_pr", "high_pr", "low_pr", "close_pr", "vwap_pr"]
    trades = [trade("09:59:59.999999", "5", seq=1), trade("10:00", "7", seq=2), trade("10:04:59.999999", "8", seq=3)]
    before, first, last = ({**dict.fromkeys(prices, price), "volume": 100, "trade_count": 1} for price in "578")
    both = {**dict(zip(prices, ["7", "8", "7", "8", "7.5"], strict=True)), "volume": 200, "trade_count": 2}

    assert bars_of(trades, []) == [
        bar(1, "09:59", before),
        bar(1, "10:00", first),
        bar(1, "10:04", last),
        bar(5, "09:55", before),
        bar(5, "10:00", both),
        bar(30, "09:30", before),
        bar(30, "10:00", both),
    ]


def test_a_bar_of_quotes_has_no_prices_of_trades(bars_of: BarsOf) -> None:
    # 0.5 and 0.000001 on average are 0.2500005, rounded half up.
    quotes = [quote("10:00", "10", "10.5", seq=9), quote("10:00", "10", "10.000001", seq=10)]
    quoted = {"last_bid_pr": "10", "last_ask_pr": "10.000001", "avg_spread": "0.250001", "quote_count": 2}

    assert bars_of([], quotes) == [bar(minutes, "10:00", quoted) for minutes in MINUTES]


def test_events_of_one_instant_are_in_the_order_of_their_numbers(bars_of: BarsOf) -> None:
    trades = [trade("10:00", "3", seq=10), trade("10:00", "1", seq=9), trade("10:00", "2", seq=11)]
    quotes = [quote("10:00", "3", "4", seq=10), quote("10:00", "1", "2", seq=9)]

    (minute, *_) = bars_of(trades, quotes)

    assert [minute[name] for name in ("open_pr", "close_pr", "last_bid_pr", "last_ask_pr")] == [
        Decimal(price) for price in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize("time", ["00:00", "02:30", "09:29:59", "16:00", "23:59:59.999999"])
def test_hours_outside_trading_and_hours_that_clocks_skip_have_bars(bars_of: BarsOf, time: str) -> None:
    # On this day New York's clocks went from 2 to 3.
    moment = datetime.combine(date(2021, 3, 14), at(time).time())
    row = (DAY, "IBM", "NYSE", moment, 1, moment, money("5"), 100, None)

    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    assert {found["minutes"]: found["bar_tm"] for found in bars_of([row], [])} == {
        minutes: midnight + (moment - midnight) // timedelta(minutes=minutes) * timedelta(minutes=minutes)
        for minutes in MINUTES
    }


def test_what_fits_no_type_is_null_in_every_bar_that_contains_it(bars_of: BarsOf) -> None:
    trades = [
        *(trade("10:00", "999999999999.999999", size=9 * 10**18, seq=seq) for seq in range(1, 13)),
        trade("10:01", "5", seq=13),
    ]

    found = bars_of(trades, [])

    assert [(row["minutes"], row["volume"], row["vwap_pr"], row["trade_count"]) for row in found] == [
        (1, None, None, 12),
        (1, 100, Decimal(5), 1),
        (5, None, None, 13),
        (30, None, None, 13),
    ]


@pytest.mark.parametrize("at_once", [1000, 40], ids=["in this process", "in tasks"])
def test_the_bars_of_each_length_add_up_to_the_summary(
    spark: SparkSession, tmp_path: Path, bars_of: BarsOf, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(event_sums, "EVENTS_AT_ONCE", at_once)
    trades = [trade(f"1{n // 60}:{n % 60:02}:{n * 7 % 60:02}", f"{5 + n % 7}.{n}", size=n, seq=n) for n in range(1, 99)]
    quotes = [quote(f"1{n // 40}:{n % 40:02}", f"{5 + n % 3}", f"{9 + n % 4}.5", seq=n) for n in range(1, 70)]
    sums, _ = event_sums.event_sums(*events_of(spark, tmp_path, trades, quotes, DAY))
    (of_day,) = daily_summary(sums, frame(spark, CLOSES, [])).collect()

    found = bars_of(trades, quotes)

    for minutes in MINUTES:
        of_length = [row for row in found if row["minutes"] == minutes]
        traded = [row for row in of_length if row["trade_count"]]
        assert (traded[0]["open_pr"], traded[-1]["close_pr"]) == (of_day.open_pr, of_day.close_pr)
        assert max(row["high_pr"] for row in traded) == of_day.high_pr
        assert min(row["low_pr"] for row in traded) == of_day.low_pr
        for name in ("volume", "trade_count", "quote_count"):
            assert sum(row[name] for row in of_length) == of_day[name]
