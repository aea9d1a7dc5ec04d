"""What a trader reads beside every quote, and the summary of the day."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.published_files import as_published, events_of
from capstone_dagster_tests.builders.rows import (
    DAY,
    Row,
    assert_table,
    close,
    frame,
    money,
    published,
    quote,
    renamed,
    trade,
)
from spark_code.drafts import Published
from spark_code.eod_to_report import build, daily_summary, quote_analytics
from spark_code.event_sums import event_sums
from spark_code.lake import Lake, LakeError
from spark_code.schemas import BARS, CLOSES, DAILY_SUMMARY, QUALITY, QUOTE_ANALYTICS, QUOTES, TRADES

EodOf = Callable[[str, str], tuple[Published, Published]]

PREVIOUS_DAY = date(2020, 8, 5)
QUOTED_AT = "11:00"

# What the quote of 11:00 sees: case -> (trades of the day, last_trade_pr, last_mov_avg_pr).
LAST_TRADES: dict[str, tuple[list[Row], str | None, str | None]] = {
    "nothing before the first trade": ([trade("11:00:00.000001", "10")], None, None),
    "nothing on a day without trades": ([], None, None),
    "a trade of the same instant, even one with a higher sequence number": (
        [trade("11:00", "10", seq=99)],
        "10",
        "10",
    ),
    "a trade of the hours before, with the mean of its own last 30 minutes": (
        [trade("09:30", "10"), trade("09:40", "14", seq=2)],
        "14",
        "12",
    ),
    "the latest trade, not the one with the highest sequence number or price": (
        [trade("10:00", "10", seq=9), trade("10:50", "1", seq=1)],
        "1",
        "1",
    ),
    "nothing of the trades after it": (
        [trade("10:59", "10"), trade("11:00:00.000001", "99", seq=2), trade("11:10", "99", seq=3)],
        "10",
        "10",
    ),
    "a trade exactly 30 minutes before the last one in its mean": (
        [trade("10:20", "10"), trade("10:50", "20", seq=2)],
        "20",
        "15",
    ),
    "no trade 30 minutes and a microsecond before the last one in its mean": (
        [trade("10:19:59.999999", "10"), trade("10:50", "20", seq=2)],
        "20",
        "20",
    ),
    "the 30 minutes counted from the last trade, not from the quote": (
        [trade("10:25", "10"), trade("10:55", "20", seq=2)],
        "20",
        "15",
    ),
    "every trade of the last instant in the mean, whichever of them is the last": (
        [trade("10:50", "10", seq=1), trade("10:50", "20", seq=2), trade("10:50", "60", seq=3)],
        "60",
        "30",
    ),
    "the highest sequence number of the last instant, as a number": (
        [trade("10:50", "3", seq=10), trade("10:50", "1", seq=9), trade("10:50", "2", seq=2)],
        "3",
        "2",
    ),
    "the mean of trades, not of shares": (
        [trade("10:40", "10", size=1), trade("10:50", "20", seq=2, size=1_000_000)],
        "20",
        "15",
    ),
    "a mean rounded half up": ([trade("10:40", "10"), trade("10:50", "10.000001", seq=2)], "10.000001", "10.000001"),
    "a mean rounded half up, not to the even digit": (
        [trade("10:40", "10.000001"), trade("10:50", "10.000002", seq=2)],
        "10.000002",
        "10.000002",
    ),
    "a mean below the half rounded down": (
        [trade("10:40", "10"), trade("10:45", "10", seq=2), trade("10:50", "10.000001", seq=3)],
        "10.000001",
        "10",
    ),
    # 10.00000049995…: rounded to ten decimals first, as avg() does, it would end in 5 and go up.
    "a mean rounded once": (
        [trade("10:40", "10.000001" if seq <= 5000 else "10", seq=seq) for seq in range(1, 10_002)],
        "10",
        "10",
    ),
    "a mean of the greatest prices": (
        [trade("10:40", "999999999999.999999", seq=seq) for seq in range(1, 4)],
        "999999999999.999999",
        "999999999999.999999",
    ),
}


def reported(quote_row: Row, *prices: str | None) -> Row:
    """The quote's row of the report: last trade, moving average, close, moves of bid and ask; nothing is adjusted."""
    trade_dt, symbol, exchange, event_tm, seq, _arrival, *bid_and_ask = quote_row
    return (trade_dt, symbol, exchange, event_tm, seq, *bid_and_ask, *map(money, (*prices, prices[2])))


@pytest.fixture(scope="module")
def analytics_of_cases(spark: SparkSession) -> list[Row]:
    """Every case under a symbol of its own: one Spark job for all."""
    trades = [renamed(row, case) for case, (rows, _, _) in LAST_TRADES.items() for row in rows]
    quotes = [quote(QUOTED_AT, "9", "11", seq=50, symbol=case) for case in LAST_TRADES]
    frames = frame(spark, TRADES, trades), frame(spark, QUOTES, quotes), frame(spark, CLOSES, [])
    return [tuple(row) for row in quote_analytics(*frames).collect()]


@pytest.mark.parametrize("case", LAST_TRADES)
def test_a_quote_sees(analytics_of_cases: list[Row], case: str) -> None:
    _, last_trade_pr, last_mov_avg_pr = LAST_TRADES[case]
    the_quote = quote(QUOTED_AT, "9", "11", seq=50, symbol=case)
    expected = reported(the_quote, last_trade_pr, last_mov_avg_pr, None, None, None)
    assert [row for row in analytics_of_cases if row[1] == case] == [expected]


def test_every_quote_has_one_row_with_trades_and_closes_of_its_own_instrument(spark: SparkSession) -> None:
    trades = [
        trade("10:00", "50", seq=1),
        trade("10:00", "51", seq=2, exchange="NASDAQ"),
        trade("10:10", "52", seq=3),
        trade("10:10", "7", seq=4, symbol="MSFT"),
    ]
    quotes = [
        quote("09:59", "49", "51", seq=5),
        quote("10:00", "49.5", "50.25", seq=6),
        quote("10:00", "49.5", "50.25", seq=7, bid_size=3, ask_size=4),
        quote("10:30", "53", "53", seq=8),
        quote("10:30", "48", "52", seq=8, exchange="NASDAQ"),
        quote("10:30", "6", "8", seq=8, symbol="MSFT"),
        quote("10:30", "0", "1", seq=8, symbol="QUIET"),
    ]
    closes = [
        close("50.5", day=PREVIOUS_DAY),
        close("48.000001", exchange="NASDAQ", day=PREVIOUS_DAY),
        # MSFT did not trade on the previous day; the other exchange's close is not its own.
        close("9", symbol="MSFT", exchange="NASDAQ", day=PREVIOUS_DAY),
        close("5", symbol="QUIET", day=PREVIOUS_DAY),
        close("1", symbol="NOT QUOTED", day=PREVIOUS_DAY),
    ]
    expected = [
        reported(quotes[0], None, None, "50.5", "-1.5", "0.5"),
        reported(quotes[1], "50", "50", "50.5", "-1", "-0.25"),
        reported(quotes[2], "50", "50", "50.5", "-1", "-0.25"),
        reported(quotes[3], "52", "51", "50.5", "2.5", "2.5"),
        reported(quotes[4], "51", "51", "48.000001", "-0.000001", "3.999999"),
        reported(quotes[5], "7", "7", None, None, None),
        reported(quotes[6], None, None, "5", "-5", "-4"),
    ]
    frames = frame(spark, TRADES, trades), frame(spark, QUOTES, quotes), frame(spark, CLOSES, closes)
    assert_table(quote_analytics(*frames), QUOTE_ANALYTICS, expected)


def summary(symbol: str, *values: str | int | None, exchange: str = "NYSE") -> Row:
    """A row of ``report/daily_summary``; texts are prices, of which none is adjusted."""
    with_adjusted = (*values, values[9])
    return (DAY, symbol, exchange, *(money(value) if isinstance(value, str) else value for value in with_adjusted))


# Case -> (trades, quotes, closes of the previous day, expected columns behind the key). Columns:
# open, high, low, close, volume, trades, vwap, quotes, average spread, previous close, change, percent.
SUMMARIES: dict[str, tuple[list[Row], list[Row], list[Row], tuple[str | int | None, ...]]] = {
    "a usual day": (
        [
            trade("09:31", "10", size=100, seq=7),
            trade("09:31", "13", size=200, seq=11),
            trade("12:00", "8", size=300, seq=3),
            trade("15:59", "11", size=400, seq=1),
            trade("15:59", "12", size=500, seq=2),
        ],
        [quote("10:00", "10", "10.5"), quote("11:00", "10", "10.25", seq=2)],
        [close("9.6")],
        # 1000 + 2600 + 2400 + 4400 + 6000 = 16400 over 1500 shares; 2.4 of 9.6 is a quarter.
        ("10", "13", "8", "12", 1500, 5, "10.933333", 2, "0.375", "9.6", "2.4", "25"),
    ),
    "quotes only": (
        [],
        [quote("10:00", "5", "5.5")],
        [close("4")],
        (None, None, None, None, 0, 0, None, 1, "0.5", "4", None, None),
    ),
    "trades only": (
        [trade("10:00", "5", size=3)],
        [],
        [],
        ("5", "5", "5", "5", 3, 1, "5", 0, None, None, None, None),
    ),
    "a fall since the previous close, rounded half up": (
        [trade("10:00", "2")],
        [],
        [close("3")],
        ("2", "2", "2", "2", 100, 1, "2", 0, None, "3", "-1", "-33.333333"),
    ),
    "a mean spread of half a millionth goes up": (
        [],
        [quote("10:00", "5", "5"), quote("10:01", "5", "5.000001", seq=2)],
        [],
        (None, None, None, None, 0, 0, None, 2, "0.000001", None, None, None),
    ),
    # Half up means away from zero, as everywhere in the report.
    "a crossed market's spread of half a millionth goes down": (
        [],
        [quote("10:00", "5", "5"), quote("10:01", "5.000001", "5", seq=2)],
        [],
        (None, None, None, None, 0, 0, None, 2, "-0.000001", None, None, None),
    ),
    "a crossed market's spread of a third of a millionth is none": (
        [],
        [quote("10:00", "5", "5"), quote("10:01", "5.000001", "5", seq=2), quote("10:02", "5", "5", seq=3)],
        [],
        (None, None, None, None, 0, 0, None, 3, "0", None, None, None),
    ),
    "the average price of exactly half a millionth goes up": (
        [trade("10:00", "1", size=5), trade("10:01", "1.000001", size=5, seq=2)],
        [],
        [],
        ("1", "1.000001", "1", "1.000001", 10, 2, "1.000001", 0, None, None, None, None),
    ),
    "volumes at the end of their type": (
        [trade("10:00", "1", size=2**63 - 2), trade("10:01", "1", size=1, seq=2)],
        [],
        [],
        ("1", "1", "1", "1", 2**63 - 1, 2, "1", 0, None, None, None, None),
    ),
    "absurd sizes have no volume but stop nothing": (
        [trade("10:00", "1", size=9 * 10**18), trade("10:01", "2", size=9 * 10**18, seq=2)],
        [quote("10:00", "1", "3")],
        [close("4")],
        ("1", "2", "1", "2", None, 2, "1.5", 1, "2", "4", "-2", "-50"),
    ),
    "absurd sizes and prices have no average either": (
        [trade("10:00", "999999999999.999999", size=9 * 10**18, seq=seq) for seq in range(1, 13)],
        [],
        [],
        (*["999999999999.999999"] * 4, None, 12, None, 0, None, None, None, None),
    ),
    "a change too great for its type has no percentage": (
        [trade("10:00", "900000000000")],
        [],
        [close("0.000001")],
        (
            *["900000000000"] * 4,
            100,
            1,
            "900000000000",
            0,
            None,
            "0.000001",
            "899999999999.999999",
            None,
        ),
    ),
    # 33.3333334999999995 percent: rounded at 15 decimals first it would end in 5 and go up.
    "a percentage rounded once": (
        [trade("10:00", "1333.333339")],
        [],
        [close("1000.000003")],
        (*["1333.333339"] * 4, 100, 1, "1333.333339", 0, None, "1000.000003", "333.333336", "33.333333"),
    ),
}


@pytest.fixture(scope="module")
def summaries_of_cases(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Every case under a symbol of its own: one Spark job for all."""
    trades = [renamed(row, case) for case, (rows, _, _, _) in SUMMARIES.items() for row in rows]
    quotes = [renamed(row, case) for case, (_, rows, _, _) in SUMMARIES.items() for row in rows]
    closes = [renamed(row, case) for case, (_, _, rows, _) in SUMMARIES.items() for row in rows]
    sums, _ = event_sums(*events_of(spark, tmp_path_factory.mktemp("lake"), trades, quotes, DAY))
    return [tuple(row) for row in daily_summary(sums, frame(spark, CLOSES, closes)).collect()]


@pytest.mark.parametrize("case", SUMMARIES)
def test_the_summary_of(summaries_of_cases: list[Row], case: str) -> None:
    *_, expected = SUMMARIES[case]
    assert [row for row in summaries_of_cases if row[1] == case] == [summary(case, *expected)]


def test_the_summary_has_one_row_per_instrument_seen_today(spark: SparkSession, tmp_path: Path) -> None:
    trades = [trade("10:00", "5"), trade("10:00", "6", exchange="NASDAQ"), trade("10:00", "7", symbol="MSFT")]
    quotes = [quote("10:00", "4", "6"), quote("10:00", "1", "2", symbol="QUIET")]
    closes = [close("4"), close("8", symbol="MSFT", exchange="NASDAQ"), close("9", symbol="GONE")]
    expected = [
        summary("IBM", "5", "5", "5", "5", 100, 1, "5", 1, "2", "4", "1", "25"),
        summary("IBM", "6", "6", "6", "6", 100, 1, "6", 0, None, None, None, None, exchange="NASDAQ"),
        summary("MSFT", "7", "7", "7", "7", 100, 1, "7", 0, None, None, None, None),
        summary("QUIET", None, None, None, None, 0, 0, None, 1, "1", None, None, None),
    ]
    sums, _ = event_sums(*events_of(spark, tmp_path, trades, quotes, DAY))
    assert_table(daily_summary(sums, frame(spark, CLOSES, closes)), DAILY_SUMMARY, expected)


def measures(spark: SparkSession) -> Published:
    return published(QUALITY, frame(spark, QUALITY, []), inputs={"eod/trades": "t1", "eod/quotes": "q1"})


@pytest.fixture
def published_eod(spark: SparkSession, tmp_path: Path) -> EodOf:
    lake = Lake(f"{tmp_path}")

    def eod(trades_from: str, quotes_from: str) -> tuple[Published, Published]:
        of_trades, of_quotes = ({"ingested/events": version} for version in (trades_from, quotes_from))
        return (
            as_published(spark, lake, TRADES, [trade("10:00", "5")], "t1", DAY, inputs=of_trades),
            as_published(spark, lake, QUOTES, [quote("11:00", "4", "6")], "q1", DAY, inputs=of_quotes),
        )

    return eod


def test_trades_and_quotes_of_different_ingests_are_refused(spark: SparkSession, published_eod: EodOf) -> None:
    eod = published_eod("v1", "v2")
    closes = published(CLOSES, frame(spark, CLOSES, []))
    with pytest.raises(LakeError, match=r"eod/trades and eod/quotes of 2020-08-06 .*run preprocessing"):
        build(measures(spark), *eod, closes)


def test_the_drafts_name_what_they_were_computed_from_and_how_many_rows_are_due(
    spark: SparkSession, published_eod: EodOf
) -> None:
    eod = published_eod("v1", "v1")
    closes = published(CLOSES, frame(spark, CLOSES, [close("4", day=PREVIOUS_DAY)]), version="c0")

    analytics, daily, of_minutes = build(measures(spark), *eod, closes)

    inputs = {"eod/trades": "t1", "eod/quotes": "q1", "eod/closes": "c0"}
    assert [(draft.table, draft.inputs, draft.expected_rows) for draft in (analytics, daily, of_minutes)] == [
        (QUOTE_ANALYTICS, inputs, 1),
        (DAILY_SUMMARY, inputs, None),
        (BARS, inputs, None),
    ]
    assert_table(analytics.rows, QUOTE_ANALYTICS, [reported(quote("11:00", "4", "6"), "5", "5", "4", "0", "2")])
    assert_table(daily.rows, DAILY_SUMMARY, [summary("IBM", *["5"] * 4, 100, 1, "5", 1, "2", "4", "1", "25")])


def test_measures_of_other_rows_let_no_report_be_made(spark: SparkSession, published_eod: EodOf) -> None:
    eod = published_eod("v1", "v1")
    stale = published(QUALITY, frame(spark, QUALITY, []), inputs={"eod/trades": "t1", "eod/quotes": "q0"})

    with pytest.raises(LakeError, match=r"quality/measures of .* was made from other rows of eod/quotes .*analytical"):
        build(stale, *eod, published(CLOSES, frame(spark, CLOSES, [])))


def test_the_first_day_has_no_previous_closes_and_names_none(spark: SparkSession, published_eod: EodOf) -> None:
    eod = published_eod("v1", "v1")
    nothing = Published(CLOSES, DAY, frame(spark, CLOSES, []), None, eod[0].storage)

    analytics, daily, of_minutes = build(measures(spark), *eod, nothing)

    assert [draft.inputs for draft in (analytics, daily, of_minutes)] == [{"eod/trades": "t1", "eod/quotes": "q1"}] * 3
    assert_table(analytics.rows, QUOTE_ANALYTICS, [reported(quote("11:00", "4", "6"), "5", "5", None, None, None)])
    no_change: Row = (None, None, None)
    assert_table(daily.rows, DAILY_SUMMARY, [summary("IBM", *["5"] * 4, 100, 1, "5", 1, "2", *no_change)])
