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


def bars(trades: DataFrame, quotes: DataFrame) -> DataFrame:
    """One row per instrument, length and time in which it has an event.

    A bar with quotes and no trade has null prices. Sums that no longer fit their type become null, as in the summary.
    """
    # What orders the minutes that have a trade, or a quote; of others it is null, which no order counts.
    traded_tm, quoted_tm = (F.when(F.col(count) > 0, F.col("minute_tm")) for count in ("trade_count", "quote_count"))
    lacks_turnover = F.bool_or((F.col("trade_count") > 0) & F.col("turnover").isNull())
    summed = (
        # All that comes now is by instrument, the audit's look at the key, too.
        _by_minute(trades, quotes)
        .repartition(*INSTRUMENT)
        .withColumn("minutes", F.explode(F.array(*map(F.lit, MINUTES))))
        .withColumn("bar_tm", F.expr("minute_tm - make_dt_interval(0, 0, minute(minute_tm) % minutes)"))
        .groupBy("trade_dt", *INSTRUMENT, "minutes", "bar_tm")
        .agg(
            F.min_by("open_pr", traded_tm).alias("open_pr"),
            F.max("high_pr").alias("high_pr"),
            F.min("low_pr").alias("low_pr"),
            F.max_by("close_pr", traded_tm).alias("close_pr"),
            F.sum("shares").alias("shares"),
            F.when(~lacks_turnover, F.try_sum("turnover")).alias("turnover"),
            F.sum("trade_count").alias("trade_count"),
            F.max_by("last_quote", quoted_tm).alias("last_quote"),
            F.sum("spread").alias("spread"),
            F.sum("quote_count").alias("quote_count"),
        )
    )
    return conform(
        summed.withColumns(
            {
                "volume": F.coalesce("shares", F.lit(0)).try_cast("bigint"),
                "vwap_pr": F.try_divide("turnover", "shares").try_cast(PRICE),
                "last_bid_pr": F.col("last_quote.bid_pr"),
                "last_ask_pr": F.col("last_quote.ask_pr"),
                "avg_spread": mean_price(F.col("spread"), F.nullif("quote_count", F.lit(0))),
            }
        ),
        BARS,
    )


def _by_minute(trades: DataFrame, quotes: DataFrame) -> DataFrame:
    events = trades.unionByName(quotes, allowMissingColumns=True)
    # ``date_trunc`` would take the time for one of the session's zone, and move it where clocks change.
    of_minutes = events.withColumn("minute_tm", F.window("event_tm", "1 minute")["start"])
    shares = F.col("trade_size").cast("decimal(19,0)")
    return of_minutes.groupBy("trade_dt", *INSTRUMENT, "minute_tm").agg(
        F.min_by("trade_pr", _order_of("trade_pr")).alias("open_pr"),
        F.max("trade_pr").alias("high_pr"),
        F.min("trade_pr").alias("low_pr"),
        F.max_by("trade_pr", _order_of("trade_pr")).alias("close_pr"),
        F.sum(shares).alias("shares"),
        F.try_sum(F.col("trade_pr") * shares).alias("turnover"),
        F.count("trade_pr").alias("trade_count"),
        F.max_by(F.struct("bid_pr", "ask_pr"), _order_of("bid_pr")).alias("last_quote"),
        F.sum(F.col("ask_pr") - F.col("bid_pr")).alias("spread"),
        F.count("bid_pr").alias("quote_count"),
    )


def _order_of(price: str) -> Column:
    """What orders the trades, or the quotes: those events that have the price."""
    return F.when(F.col(price).isNotNull(), F.struct("event_tm", "event_seq_nb"))
