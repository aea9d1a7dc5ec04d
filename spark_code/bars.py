"""Bars: the trades and quotes of each instrument, summed up by minutes.

A bar covers ``[bar_tm, bar_tm + minutes)`` of wall-clock time, counted from midnight, so the exchange's opening hours
do not matter. Long bars are made of those of one minute, from sums that are still exact: the events are read once.
"""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_code.schemas import BARS, conform
from spark_code.sums import order_of, sums_of_quotes, sums_of_trades, with_averages
from spark_code.windows import INSTRUMENT

MINUTES: Sequence[int] = (1, 5, 30)


def bars(trades: DataFrame, quotes: DataFrame) -> DataFrame:
    """One row per instrument, length and time in which it has an event.

    A bar with quotes and no trade has null prices.
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
    last_quote = {f"last_{name}": F.col(f"last_quote.{name}") for name in ("bid_pr", "ask_pr")}
    return conform(with_averages(summed).withColumns(last_quote), BARS)


def _by_minute(trades: DataFrame, quotes: DataFrame) -> DataFrame:
    events = trades.unionByName(quotes, allowMissingColumns=True)
    # ``date_trunc`` would take the time for one of the session's zone, and move it where clocks change.
    of_minutes = events.withColumn("minute_tm", F.window("event_tm", "1 minute")["start"])
    last_quote = F.max_by(F.struct("bid_pr", "ask_pr"), order_of("bid_pr")).alias("last_quote")
    return of_minutes.groupBy("trade_dt", *INSTRUMENT, "minute_tm").agg(
        *sums_of_trades(), *sums_of_quotes(), last_quote
    )
