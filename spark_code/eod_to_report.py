"""Edge: the end-of-day load to the analytical report.

Grain out: one row per quote (quote analytics), one per instrument (daily summary), and one per instrument and bar
(bars). The previous trading day's closes are an input; the caller's calendar decides which day that is. Prices are
compared with these closes as ``corporate_actions`` adjusts them.
"""

from collections.abc import Mapping
from decimal import Decimal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from spark_code.corporate_actions import NO_ACTIONS, Actions, Adjusted, Instrument
from spark_code.drafts import Draft, Published
from spark_code.event_sums import event_sums, with_averages
from spark_code.few_rows import few_rows
from spark_code.lake import require_common_inputs, require_made_from
from spark_code.quality import require_good
from spark_code.schemas import BARS, CLOSES, DAILY_SUMMARY, PRICE, QUOTE_ANALYTICS, conform
from spark_code.windows import INSTRUMENT, trailing_mean_price, up_to_now

# Raised when the same input gives other rows from now on: the UI then shows what was made before as out of date.
CODE_VERSION = "2"

MOVING_AVERAGE_MINUTES = 30

# Sequence numbers begin with zero. Trades get negative ones in their own order, and so come before all quotes of their
# instant, while the order stays that of the key: publishing the quotes in it needs no other sort.
_BEFORE_ALL_QUOTES = -(2**63)

_SYMBOL = StructType([CLOSES.schema["symbol"]])
_NONE: Mapping[Instrument, Decimal] = {}


def quote_analytics(
    trades: DataFrame, quotes: DataFrame, previous_closes: DataFrame, adjusted: Mapping[Instrument, Decimal] = _NONE
) -> DataFrame:
    """Give every quote the last trade at or before it and its move against the previous close, as far as adjusted.

    Trades and quotes become one stream per instrument, with trades before quotes of the same instant, and the last
    trade is carried forward: one sort instead of a join over time ranges. The quotes come out in the order of their
    key.
    """
    moving_average = trailing_mean_price("trade_pr", "event_tm", MOVING_AVERAGE_MINUTES)
    trade_stream = trades.select(
        *INSTRUMENT,
        "event_tm",
        (F.col("event_seq_nb") + F.lit(_BEFORE_ALL_QUOTES)).alias("event_seq_nb"),
        F.struct(F.col("trade_pr"), moving_average.alias("mov_avg_pr")).alias("trade"),
    )
    last_trade = F.last("trade", ignorenulls=True).over(up_to_now("event_tm", "event_seq_nb"))
    analytics = (
        quotes.unionByName(trade_stream, allowMissingColumns=True)
        .withColumn("last_trade", last_trade)
        .where(F.col("event_seq_nb") >= 0)
        .withColumn("last_trade_pr", F.col("last_trade.trade_pr"))
        .withColumn("last_mov_avg_pr", F.col("last_trade.mov_avg_pr"))
        .join(_with_adjusted(previous_closes, adjusted), on=list(INSTRUMENT), how="left")
        .withColumn("bid_pr_mv", F.col("bid_pr") - F.col("adjusted_close_pr"))
        .withColumn("ask_pr_mv", F.col("ask_pr") - F.col("adjusted_close_pr"))
    )
    return conform(analytics, QUOTE_ANALYTICS)


def daily_summary(
    sums: DataFrame, previous_closes: DataFrame, adjusted: Mapping[Instrument, Decimal] = _NONE
) -> DataFrame:
    """One row per instrument seen today: prices of the day, volume, spread and change.

    An instrument with quotes and no trade has a row with null prices.
    """
    names = {"close_pr": "prev_close_pr", "adjusted_close_pr": "adjusted_prev_close_pr"}
    previous = _with_adjusted(previous_closes, adjusted).withColumnsRenamed(names)
    change = F.col("close_pr") - F.col("adjusted_prev_close_pr")
    # 20 digits leave the division 18 decimals, so that only the rounding to six is visible.
    percent = (change * 100).try_cast("decimal(20,6)")
    summary = (
        with_averages(sums)
        .join(previous, on=list(INSTRUMENT), how="left")
        .withColumn("change_pr", change)
        .withColumn("change_pct", (percent / F.col("adjusted_prev_close_pr")).try_cast("decimal(18,6)"))
    )
    return conform(summary, DAILY_SUMMARY)


def bars(sums: DataFrame) -> DataFrame:
    """One row per instrument, length and time in which it has an event.

    A bar covers ``[bar_tm, bar_tm + minutes)`` of wall-clock time, counted from midnight, so the exchange's opening
    hours do not matter. One with quotes and no trade has null prices.
    """
    return conform(with_averages(sums), BARS)


def adjusted_closes(previous_closes: DataFrame, actions: Actions) -> Adjusted:
    """Those closes that the actions concern, adjusted in this process."""
    if not actions.of:
        return Adjusted()
    symbols = few_rows(previous_closes.sparkSession, ((symbol,) for symbol in actions.symbols), _SYMBOL)
    found = previous_closes.select(*INSTRUMENT, "close_pr").join(symbols, on="symbol", how="left_semi")
    return actions.adjusted((row.symbol, row.exchange, row.close_pr) for row in found.collect())


def _with_adjusted(previous_closes: DataFrame, adjusted: Mapping[Instrument, Decimal]) -> DataFrame:
    """Every close as it was and as it is compared with."""
    closes = previous_closes.select(*INSTRUMENT, "close_pr")
    if not adjusted:
        return closes.withColumn("adjusted_close_pr", F.col("close_pr"))
    others = StructType([*(CLOSES.schema[name] for name in INSTRUMENT), StructField("adjusted_pr", PRICE)])
    rows = ((*instrument, price) for instrument, price in adjusted.items())
    with_others = closes.join(few_rows(closes.sparkSession, rows, others), on=list(INSTRUMENT), how="left")
    return with_others.select(*INSTRUMENT, "close_pr", F.coalesce("adjusted_pr", "close_pr").alias("adjusted_close_pr"))


def build(
    measures: Published,
    trades: Published,
    quotes: Published,
    previous_closes: Published,
    actions: Actions = NO_ACTIONS,
) -> tuple[Draft, Draft, Draft]:
    """Draft ``report/quote_analytics``, ``report/daily_summary`` and ``report/bars`` of the day."""
    for table in (trades, quotes):
        require_made_from(measures, table)
    require_good(measures)
    require_common_inputs(trades, quotes)
    inputs = trades.as_input() | quotes.as_input() | previous_closes.as_input() | actions.as_input()
    digests = trades.digest_as_input() | quotes.digest_as_input() | previous_closes.digest_as_input()
    adjusted = adjusted_closes(previous_closes.rows, actions)
    closes = previous_closes.rows, adjusted.closes
    of_day, of_bars = event_sums(trades, quotes)
    facts = actions.facts(adjusted)
    return (
        Draft(
            QUOTE_ANALYTICS,
            quote_analytics(trades.rows, quotes.rows, *closes),
            inputs,
            expected_rows=quotes.row_count,
            facts=lambda: facts,
            day=quotes.day,
            input_digests=digests,
        ),
        Draft(
            DAILY_SUMMARY,
            daily_summary(of_day, *closes),
            inputs,
            facts=lambda: facts,
            day=trades.day,
            input_digests=digests,
        ),
        Draft(BARS, bars(of_bars), inputs, day=trades.day, input_digests=digests),
    )
