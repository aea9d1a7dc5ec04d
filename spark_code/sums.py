"""What the trades and the quotes of a group add up to: of an instrument's day, or of a bar.

Each table adds up its own groups by these columns, so that what two tables say of the same events is equal.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_code.schemas import PRICE
from spark_code.windows import mean_price


def order_of(price: str) -> Column:
    """What orders the trades, or the quotes: the events that have the price."""
    return F.when(F.col(price).isNotNull(), F.struct("event_tm", "event_seq_nb"))


def sums_of_trades() -> tuple[Column, ...]:
    """Prices and exact sums; a turnover that no longer fits its type is null."""
    in_order, shares = order_of("trade_pr"), F.col("trade_size").cast("decimal(19,0)")
    return (
        F.min_by("trade_pr", in_order).alias("open_pr"),
        F.max("trade_pr").alias("high_pr"),
        F.min("trade_pr").alias("low_pr"),
        F.max_by("trade_pr", in_order).alias("close_pr"),
        F.sum(shares).alias("shares"),
        F.try_sum(F.col("trade_pr") * shares).alias("turnover"),
        F.count("trade_pr").alias("trade_count"),
    )


def sums_of_quotes() -> tuple[Column, ...]:
    """The sum of the spreads, and how many there are."""
    return F.sum(F.col("ask_pr") - F.col("bid_pr")).alias("spread"), F.count("bid_pr").alias("quote_count")


def with_averages(groups: DataFrame) -> DataFrame:
    """Counts, the volume and the averages of groups with these sums; no trades, or no quotes, are null sums.

    What no longer fits its type (a bogus size of 10^18 shares) becomes null instead of stopping the report.
    """
    return groups.withColumns(
        {
            "volume": F.coalesce("shares", F.lit(0)).try_cast("bigint"),
            "vwap_pr": F.try_divide("turnover", "shares").try_cast(PRICE),
            "trade_count": F.coalesce("trade_count", F.lit(0)),
            "avg_spread": mean_price(F.col("spread"), F.nullif("quote_count", F.lit(0))),
            "quote_count": F.coalesce("quote_count", F.lit(0)),
        }
    )
