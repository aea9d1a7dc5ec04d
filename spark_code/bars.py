"""Bars: the trades and quotes of each instrument, summed up by minutes.

A bar covers ``[bar_tm, bar_tm + minutes)`` of wall-clock time, counted from midnight, so the exchange's opening hours
do not matter. Long bars are made of those of one minute, from sums that are still exact: the events are read once.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_code.schemas import BARS, PRICE, conform
from spark_code.windows import INSTRUMENT, mean_price

MINUTES: Sequence[int] = (1, 5, 30)

_MINUTE = ("trade_dt", *INSTRUMENT, "minute_tm")
_BAR = ("trade_dt", *INSTRUMENT, "minutes", "bar_tm")


def bars(trades: DataFrame, quotes: DataFrame) -> DataFrame:
    """One row per instrument, length and time in which it has an event.

    A bar with quotes and no trade has null prices. Sums that no longer fit their type become null, as in the summary.
    """
    by_minute = _traded(trades).join(_quoted(quotes), on=list(_MINUTE), how="full")
    of_lengths = by_minute.withColumn("minutes", F.explode(F.array(*map(F.lit, MINUTES)))).withColumn(
        "bar_tm", F.expr("minute_tm - make_dt_interval(0, 0, minute(minute_tm) % minutes)")
    )
    # What orders the minutes that have a trade, or a quote.
    traded_tm, quoted_tm = (F.when(F.col(kind).isNotNull(), F.col("minute_tm")) for kind in ("trades", "quotes"))
    summed = of_lengths.groupBy(*_BAR).agg(
        F.min_by("open_pr", traded_tm).alias("open_pr"),
        F.max("high_pr").alias("high_pr"),
        F.min("low_pr").alias("low_pr"),
        F.max_by("close_pr", traded_tm).alias("close_pr"),
        F.sum("shares").alias("shares"),
        _exact_sum("turnover").alias("turnover"),
        F.sum("trades").alias("trades"),
        F.max_by("last_quote", quoted_tm).alias("last_quote"),
        F.sum("spread").alias("spread"),
        F.sum("quotes").alias("quotes"),
    )
    return conform(
        summed.withColumns(
            {
                "trade_count": F.coalesce("trades", F.lit(0)),
                "volume": F.coalesce("shares", F.lit(0)).try_cast("bigint"),
                "vwap_pr": F.try_divide("turnover", "shares").try_cast(PRICE),
                "last_bid_pr": F.col("last_quote.bid_pr"),
                "last_ask_pr": F.col("last_quote.ask_pr"),
                "avg_spread": mean_price(F.col("spread"), F.col("quotes")),
                "quote_count": F.coalesce("quotes", F.lit(0)),
            }
        ),
        BARS,
    )


def _traded(trades: DataFrame) -> DataFrame:
    in_order = F.struct("event_tm", "event_seq_nb")
    shares = F.col("trade_size").cast("decimal(19,0)")
    return (
        _with_minute(trades)
        .groupBy(*_MINUTE)
        .agg(
            F.min_by("trade_pr", in_order).alias("open_pr"),
            F.max("trade_pr").alias("high_pr"),
            F.min("trade_pr").alias("low_pr"),
            F.max_by("trade_pr", in_order).alias("close_pr"),
            F.sum(shares).alias("shares"),
            F.try_sum(F.col("trade_pr") * shares).alias("turnover"),
            F.count(F.lit(1)).alias("trades"),
        )
    )


def _quoted(quotes: DataFrame) -> DataFrame:
    return (
        _with_minute(quotes)
        .groupBy(*_MINUTE)
        .agg(
            F.max_by(F.struct("bid_pr", "ask_pr"), F.struct("event_tm", "event_seq_nb")).alias("last_quote"),
            F.sum(F.col("ask_pr") - F.col("bid_pr")).alias("spread"),
            F.count(F.lit(1)).alias("quotes"),
        )
    )


def _with_minute(events: DataFrame) -> DataFrame:
    # ``date_trunc`` would take the time for one of the session's zone, and move it where clocks change.
    return events.withColumn("minute_tm", F.window("event_tm", "1 minute")["start"])


def _exact_sum(turnover: str) -> Column:
    """The sum, or null if one of the minutes with trades had none that fits."""
    lacks_one = F.bool_or(F.col("trades").isNotNull() & F.col(turnover).isNull())
    return F.when(~lacks_one, F.try_sum(turnover))
