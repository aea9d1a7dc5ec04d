"""Plain PySpark: what a good data engineer writes for the same tables, without the contract.

Typed readers, no rules and no rejects: what does not parse is dropped. No versions, no audit, no manifest. Every stage
is written, and the next one reads it.
"""

import time

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from benchmarks.day.answers import Clock, answer

_HEAD = (
    "trade_dt date, file_tm timestamp_ntz, event_type string, symbol string, event_tm timestamp_ntz, "
    "event_seq_nb bigint, exchange string"
)
_CSV = f"{_HEAD}, first_pr decimal(18,6), first_size bigint, ask_pr decimal(18,6), ask_size bigint"
_JSON = (
    f"{_HEAD}, price decimal(18,6), size bigint, execution_id string, bid_pr decimal(18,6), bid_size bigint, "
    "ask_pr decimal(18,6), ask_size bigint"
)
_KEY = ("symbol", "exchange", "event_tm", "event_seq_nb")
_TRADE = ("trade_pr", "trade_size", "execution_id")
_QUOTE = ("bid_pr", "bid_size", "ask_pr", "ask_size")
_INSTRUMENT = ("symbol", "exchange")


def run(day: str, previous: str | None, raw: str, out: str) -> dict[str, float]:
    """Write the tables of the day; returns the seconds of each step."""
    clock, began = Clock(), time.perf_counter()
    spark = _session()
    clock.seconds["start"] = time.perf_counter() - began

    def path(table: str, of: str = day) -> str:
        return f"{out}/{table}/{of}.parquet"

    with clock.step("ingested__events"):
        _events(spark, raw, day).write.mode("overwrite").partitionBy("rec_type").parquet(path("ingested/events"))
    with clock.step("eod"):
        events = spark.read.parquet(path("ingested/events"))
        for table, kind, columns in (("eod/trades", "T", _TRADE), ("eod/quotes", "Q", _QUOTE)):
            _latest(events.where(F.col("rec_type") == kind), *columns).write.mode("overwrite").parquet(path(table))
        last_price = F.max_by("trade_pr", F.struct("event_tm", "event_seq_nb")).alias("close_pr")
        closes = spark.read.parquet(path("eod/trades")).groupBy("trade_dt", *_INSTRUMENT).agg(last_price)
        closes.write.mode("overwrite").parquet(path("eod/closes"))
    with clock.step("report"):
        trades, quotes = spark.read.parquet(path("eod/trades")), spark.read.parquet(path("eod/quotes"))
        before = spark.read.parquet(path("eod/closes", previous or day))
        closes = before.where(F.lit(previous is not None)).select(
            *_INSTRUMENT, F.col("close_pr").alias("prev_close_pr")
        )
        _analytics(trades, quotes, closes).write.mode("overwrite").parquet(path("report/quote_analytics"))
        _summary(trades, quotes, closes).write.mode("overwrite").parquet(path("report/daily_summary"))
        _bars(trades, quotes).write.mode("overwrite").parquet(path("report/bars"))
    return clock.seconds


def _session() -> SparkSession:
    builder = SparkSession.builder.master("local[*]").config("spark.driver.memory", "4g")
    for key, value in {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def _events(spark: SparkSession, raw: str, day: str) -> DataFrame:
    csv = spark.read.schema(_CSV).csv(f"{raw}/csv/{day}/NYSE", quote="")
    json = spark.read.schema(_JSON).json(f"{raw}/json/{day}/NASDAQ", mode="DROPMALFORMED")
    head = ("trade_dt", F.col("event_type").alias("rec_type"), *_KEY, F.col("file_tm").alias("arrival_tm"))
    is_trade = F.col("event_type") == "T"
    from_csv = csv.select(
        *head,
        F.when(is_trade, F.col("first_pr")).alias("trade_pr"),
        F.when(is_trade, F.col("first_size")).alias("trade_size"),
        F.lit(None).cast("string").alias("execution_id"),
        F.when(~is_trade, F.col("first_pr")).alias("bid_pr"),
        F.when(~is_trade, F.col("first_size")).alias("bid_size"),
        "ask_pr",
        "ask_size",
    )
    from_json = json.select(
        *head, F.col("price").alias("trade_pr"), F.col("size").alias("trade_size"), "execution_id", *_QUOTE
    )
    is_known = F.col("rec_type").isin("T", "Q") & (F.col("trade_dt") == F.lit(day).cast("date"))
    return from_csv.unionByName(from_json).where(is_known).dropna(subset=[*_KEY, "arrival_tm"])


def _latest(events: DataFrame, *columns: str) -> DataFrame:
    order = Window.partitionBy(*_KEY).orderBy(F.col("arrival_tm").desc())
    ranked = events.withColumn("rank", F.row_number().over(order)).where(F.col("rank") == 1)
    return ranked.select("trade_dt", *_KEY, "arrival_tm", *columns)


def _analytics(trades: DataFrame, quotes: DataFrame, closes: DataFrame) -> DataFrame:
    average = F.expr(
        "avg(trade_pr) OVER (PARTITION BY symbol, exchange ORDER BY event_tm "
        "RANGE BETWEEN INTERVAL 30 MINUTES PRECEDING AND CURRENT ROW)"
    ).cast("decimal(18,6)")
    stream = quotes.drop("arrival_tm").unionByName(
        trades.select("trade_dt", *_KEY, "trade_pr", average.alias("mov_avg_pr")), allowMissingColumns=True
    )
    order = Window.partitionBy(*_INSTRUMENT).orderBy("event_tm", F.col("trade_pr").isNull(), "event_seq_nb")
    so_far = order.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    return (
        stream.withColumn("last_trade_pr", F.last("trade_pr", ignorenulls=True).over(so_far))
        .withColumn("last_mov_avg_pr", F.last("mov_avg_pr", ignorenulls=True).over(so_far))
        .where(F.col("trade_pr").isNull())
        .join(closes, on=list(_INSTRUMENT), how="left")
        .select(
            "trade_dt",
            *_KEY,
            *_QUOTE,
            "last_trade_pr",
            "last_mov_avg_pr",
            F.col("prev_close_pr").alias("close_pr"),
            (F.col("bid_pr") - F.col("prev_close_pr")).alias("bid_pr_mv"),
            (F.col("ask_pr") - F.col("prev_close_pr")).alias("ask_pr_mv"),
            F.col("prev_close_pr").alias("adjusted_close_pr"),
        )
    )


def _summary(trades: DataFrame, quotes: DataFrame, closes: DataFrame) -> DataFrame:
    in_order = F.struct("event_tm", "event_seq_nb")
    traded = trades.groupBy("trade_dt", *_INSTRUMENT).agg(
        F.min_by("trade_pr", in_order).alias("open_pr"),
        F.max("trade_pr").alias("high_pr"),
        F.min("trade_pr").alias("low_pr"),
        F.max_by("trade_pr", in_order).alias("close_pr"),
        F.sum("trade_size").alias("volume"),
        F.count("*").alias("trade_count"),
        (F.sum(F.col("trade_pr") * F.col("trade_size")) / F.sum("trade_size")).alias("vwap_pr"),
    )
    quoted = quotes.groupBy("trade_dt", *_INSTRUMENT).agg(
        F.count("*").alias("quote_count"), F.avg(F.col("ask_pr") - F.col("bid_pr")).alias("avg_spread")
    )
    change = F.col("close_pr") - F.col("prev_close_pr")
    return (
        traded.join(quoted, on=["trade_dt", *_INSTRUMENT], how="full")
        .join(closes, on=list(_INSTRUMENT), how="left")
        .withColumn("change_pr", change)
        .withColumn("change_pct", change * 100 / F.col("prev_close_pr"))
        .withColumn("adjusted_prev_close_pr", F.col("prev_close_pr"))
    )


def _bars(trades: DataFrame, quotes: DataFrame) -> DataFrame:
    in_order = F.struct("event_tm", "event_seq_nb")
    of_lengths = []
    for minutes in (1, 5, 30):
        bar = (*_INSTRUMENT, F.window("event_tm", f"{minutes} minutes")["start"].alias("bar_tm"))
        traded = trades.groupBy(*bar).agg(
            F.min_by("trade_pr", in_order).alias("open_pr"),
            F.max("trade_pr").alias("high_pr"),
            F.min("trade_pr").alias("low_pr"),
            F.max_by("trade_pr", in_order).alias("close_pr"),
            F.sum("trade_size").alias("volume"),
            (F.sum(F.col("trade_pr") * F.col("trade_size")) / F.sum("trade_size")).alias("vwap_pr"),
            F.count("*").alias("trade_count"),
        )
        quoted = quotes.groupBy(*bar).agg(
            F.max_by("bid_pr", in_order).alias("last_bid_pr"),
            F.max_by("ask_pr", in_order).alias("last_ask_pr"),
            F.avg(F.col("ask_pr") - F.col("bid_pr")).alias("avg_spread"),
            F.count("*").alias("quote_count"),
        )
        both = traded.join(quoted, on=[*_INSTRUMENT, "bar_tm"], how="full")
        of_lengths.append(both.withColumn("minutes", F.lit(minutes)))
    return of_lengths[0].unionByName(of_lengths[1]).unionByName(of_lengths[2])


if __name__ == "__main__":
    answer(run)
