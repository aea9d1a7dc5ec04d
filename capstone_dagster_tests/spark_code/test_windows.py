"""Means are exact and rounded once; windows are wall-clock time of the exchange."""

from collections.abc import Iterator
from datetime import datetime

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType, LongType, StructField, StructType

from capstone_dagster_tests.builders.rows import frame, money
from spark_code.schemas import PRICE, TRADES
from spark_code.windows import mean_price, trailing_mean_price, up_to_now

# Sum of prices, their count, the mean.
MEANS: list[tuple[str | None, int, str | None]] = [
    ("0.000001", 2, "0.000001"),
    ("0.000003", 2, "0.000002"),
    ("0.000001", 3, "0"),
    ("0.000002", 3, "0.000001"),
    ("-0.000001", 2, "-0.000001"),
    ("-0.000001", 3, "0"),
    ("10", 3, "3.333333"),
    ("20", 3, "6.666667"),
    # Just below half a millionth: rounded at ten decimals first, then at six, they would go up.
    ("0.005000", 10_001, "0"),
    ("-0.005000", 10_001, "0"),
    ("500.000000", 1_000_000_001, "0"),
    ("2000000000.500000", 1_000_000_001, "2.000000"),
    # A billion trades at the greatest price.
    ("999999999999999999000.000000", 1_000_000_000, "999999999999.999999"),
    ("5", 1, "5"),
    (None, 0, None),
]


@pytest.fixture
def new_york_clock(spark: SparkSession) -> Iterator[None]:
    """A session whose own time zone has a change of clocks."""
    usual = spark.conf.get("spark.sql.session.timeZone")
    assert usual is not None
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")
    yield
    spark.conf.set("spark.sql.session.timeZone", usual)


def test_a_mean_is_rounded_once_and_half_up(spark: SparkSession) -> None:
    schema = StructType([StructField("total", DecimalType(28, 6)), StructField("prices", LongType())])
    sums = spark.createDataFrame([(money(total), count) for total, count, _ in MEANS], schema)

    means = sums.select("total", "prices", mean_price(F.col("total"), F.col("prices")).alias("mean"))

    assert means.schema["mean"].dataType == PRICE
    expected = [(money(total), count, money(mean)) for total, count, mean in MEANS]
    assert [tuple(row) for row in means.collect()] == expected


@pytest.mark.usefixtures("new_york_clock")
def test_thirty_minutes_are_wall_clock_minutes_in_the_night_the_clocks_change(spark: SparkSession) -> None:
    clocks = [(1, 45), (2, 15), (2, 30), (3, 0), (3, 1)]
    # On 2020-03-08 New York had no time between 02:00 and 03:00.
    trades = [
        (None, "IBM", "NYSE", datetime(2020, 3, 8, hour, minute), seq, None, money(str(10 * seq)), 1, None)
        for seq, (hour, minute) in enumerate(clocks, start=1)
    ]
    mean = trailing_mean_price("trade_pr", "event_tm", minutes=30).alias("mean")

    actual = frame(spark, TRADES, trades).select("event_seq_nb", mean).orderBy("event_seq_nb").collect()

    assert [tuple(row) for row in actual] == [
        (1, money("10")),
        (2, money("15")),
        (3, money("25")),
        (4, money("35")),
        (5, money("45")),
    ]


def test_up_to_now_ends_at_the_row_itself_and_keeps_to_the_instrument(spark: SparkSession) -> None:
    keys = [("IBM", "NYSE", 1), ("IBM", "NYSE", 2), ("IBM", "NYSE", 3), ("IBM", "NASDAQ", 1), ("MSFT", "NYSE", 2)]
    rows = spark.createDataFrame(keys, "symbol string, exchange string, event_seq_nb bigint")

    seen = rows.withColumn("seen", F.collect_list("event_seq_nb").over(up_to_now("event_seq_nb"))).collect()

    assert {tuple(row[:3]): row.seen for row in seen} == {
        ("IBM", "NYSE", 1): [1],
        ("IBM", "NYSE", 2): [1, 2],
        ("IBM", "NYSE", 3): [1, 2, 3],
        ("IBM", "NASDAQ", 1): [1],
        ("MSFT", "NYSE", 2): [2],
    }
