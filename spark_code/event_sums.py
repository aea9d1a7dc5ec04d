"""What the trades and the quotes of an instrument add up to, in its day and in each of its bars.

DuckDB reads the published files and adds them up, which takes Spark many times as long: in this process, or on larger
days in tasks of Spark, each of which has some of the symbols. The sums are exact. The averages are made of them in one
way, so what two tables say of the same events is equal.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType, LongType, StructField, StructType

from spark_code.drafts import Published
from spark_code.python_tasks import in_tasks
from spark_code.schemas import BARS, EVENT_KEY, PRICE, QUOTES, TRADES, Table
from spark_code.storage import Storage
from spark_code.windows import mean_price

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# The lengths of bars.
MINUTES: Sequence[int] = (1, 5, 30)
# In place of one: all events of an instrument, whenever they were.
_WHOLE_DAY = 0
# How many events are added up at once. At worst, each of them makes four bars of 200 bytes.
EVENTS_AT_ONCE = 1_000_000

# The first and the last of some symbols.
_Symbols = tuple[str | None, str | None]
_ALL: _Symbols = (None, None)

# Where an event comes among those of its instrument.
_PLACE = "epoch_us(event_tm)::HUGEINT * 9_223_372_036_854_775_808 + event_seq_nb"
# Where its minute begins, if minutes are wanted, and where a bar does.
_MINUTE_TM = "CASE WHEN $in_minutes THEN time_bucket(INTERVAL 1 MINUTE, event_tm) ELSE $day END"
_BAR_TM = f"if(minutes = {_WHOLE_DAY}, $day::TIMESTAMP, time_bucket(to_minutes(minutes), minute_tm))"
# All else is made of the minutes, which follow each other. Of two parts, a turnover is added up without an overflow,
# whatever the size of a trade, and is null if it is no decimal in the end.
_SUMS = f"""
WITH traded AS MATERIALIZED (
    SELECT symbol, exchange, {_MINUTE_TM} AS minute_tm,
        arg_min(trade_pr, place) AS open_pr,
        max(trade_pr) AS high_pr,
        min(trade_pr) AS low_pr,
        arg_max(trade_pr, place) AS close_pr,
        sum(trade_size) AS shares,
        sum(trade_pr * (trade_size // 1_000_000_000)) AS billions,
        sum(trade_pr * (trade_size % 1_000_000_000)) AS rest,
        count(*) AS trade_count
    FROM (SELECT *, {_PLACE} AS place FROM trades WHERE $first IS NULL OR symbol BETWEEN $first AND $last) GROUP BY ALL
),
quoted AS MATERIALIZED (
    SELECT symbol, exchange, {_MINUTE_TM} AS minute_tm,
        arg_max(bid_pr, place) AS last_bid_pr,
        arg_max(ask_pr, place) AS last_ask_pr,
        sum(ask_pr - bid_pr) AS spread,
        count(*) AS quote_count
    FROM (SELECT *, {_PLACE} AS place FROM quotes WHERE $first IS NULL OR symbol BETWEEN $first AND $last) GROUP BY ALL
),
lengths AS (SELECT unnest($minutes)::BIGINT AS minutes),
traded_in_bars AS (
    SELECT symbol, exchange, minutes, {_BAR_TM} AS bar_tm,
        arg_min(open_pr, minute_tm) AS open_pr,
        max(high_pr) AS high_pr,
        min(low_pr) AS low_pr,
        arg_max(close_pr, minute_tm) AS close_pr,
        sum(shares)::DECIMAL(38,0) AS shares,
        sum(billions) AS billions,
        sum(rest) AS rest,
        sum(trade_count)::BIGINT AS trade_count
    FROM traded, lengths GROUP BY ALL
),
quoted_in_bars AS (
    SELECT symbol, exchange, minutes, {_BAR_TM} AS bar_tm,
        arg_max(last_bid_pr, minute_tm) AS last_bid_pr,
        arg_max(last_ask_pr, minute_tm) AS last_ask_pr,
        sum(spread) AS spread,
        sum(quote_count)::BIGINT AS quote_count
    FROM quoted, lengths GROUP BY ALL
)
SELECT $day AS trade_dt, symbol, exchange, minutes, bar_tm, open_pr, high_pr, low_pr, close_pr, shares,
    try(billions * 1_000_000_000 + rest) AS turnover, trade_count, last_bid_pr, last_ask_pr, spread, quote_count
FROM traded_in_bars FULL JOIN quoted_in_bars USING (symbol, exchange, minutes, bar_tm)
"""  # noqa: S608 - our own words
_COUNTS = """
SELECT symbol, sum(events)::BIGINT FROM (
    SELECT symbol, count(*) AS events FROM trades GROUP BY symbol
    UNION ALL SELECT symbol, count(*) FROM quotes GROUP BY symbol)
GROUP BY symbol ORDER BY symbol
"""
_NEEDED: Mapping[Table, Sequence[str]] = {
    TRADES: (*EVENT_KEY, "trade_pr", "trade_size"),
    QUOTES: (*EVENT_KEY, "bid_pr", "ask_pr"),
}
_COLUMNS = StructType(
    [
        *(BARS.schema[name] for name in ("trade_dt", "symbol", "exchange", "minutes", "bar_tm")),
        *(BARS.schema[name] for name in ("open_pr", "high_pr", "low_pr", "close_pr")),
        StructField("shares", DecimalType(38, 0)),
        StructField("turnover", DecimalType(38, 6)),
        StructField("trade_count", LongType()),
        *(BARS.schema[name] for name in ("last_bid_pr", "last_ask_pr")),
        StructField("spread", DecimalType(38, 6)),
        StructField("quote_count", LongType()),
    ]
)


def event_sums(trades: Published, quotes: Published) -> tuple[DataFrame, DataFrame]:
    """One row per instrument, and one per instrument and bar in which it has an event.

    Without a trade its prices are null, and without a quote bid and ask.
    """
    spark, day, storage = trades.rows.sparkSession, trades.day, trades.storage
    root, files = storage.root, {TRADES: trades.paths, QUOTES: quotes.paths}
    with _reading(root, files, day) as database:
        if trades.row_count + quotes.row_count <= EVENTS_AT_ONCE:
            tables = [_summed_up(database, day, minutes) for minutes in ((_WHOLE_DAY,), MINUTES)]
        else:
            tables, lots = [], _lots(database.execute(_COUNTS).fetchall())
    if tables:
        of_day, of_bars = (spark.createDataFrame(table, _COLUMNS) for table in tables)
        return of_day, of_bars

    def in_lots(minutes: Sequence[int]) -> DataFrame:
        def summed_up(symbols: _Symbols) -> Iterator["pa.Table"]:
            with _reading(root, files, day, threads=1) as database:
                yield _summed_up(database, day, minutes, symbols)

        return in_tasks(spark, lots, summed_up, _COLUMNS, storage)

    return in_lots((_WHOLE_DAY,)), in_lots(MINUTES)


def with_averages(sums: DataFrame) -> DataFrame:
    """Counts, the volume and the averages; no trades, or no quotes, are null sums.

    What no longer fits its type (a bogus size of 10^18 shares) becomes null instead of stopping the report.
    """
    return sums.withColumns(
        {
            "volume": F.coalesce("shares", F.lit(0)).try_cast("bigint"),
            "vwap_pr": F.try_divide("turnover", "shares").try_cast(PRICE),
            "trade_count": F.coalesce("trade_count", F.lit(0)),
            "avg_spread": mean_price(F.col("spread"), F.nullif("quote_count", F.lit(0))),
            "quote_count": F.coalesce("quote_count", F.lit(0)),
        }
    )


def _reading(
    root: str, files: Mapping[Table, Sequence[str]], day: date, threads: int | None = None
) -> AbstractContextManager["duckdb.DuckDBPyConnection"]:
    from spark_code.lake_files import reading  # noqa: PLC0415 - loads fsspec

    return reading(Storage(root), files, _NEEDED, day, threads)


def _summed_up(
    database: "duckdb.DuckDBPyConnection", day: date, minutes: Sequence[int], symbols: _Symbols = _ALL
) -> "pa.Table":
    first, last = symbols
    given = {"day": day, "first": first, "last": last, "minutes": [*minutes], "in_minutes": minutes == MINUTES}
    return database.sql(_SUMS, params=given).to_arrow_table()


def _lots(counts: Iterable[tuple[str, int]]) -> list[_Symbols]:
    """The symbols in lots of about as many events as are added up at once."""
    lots: list[_Symbols] = []
    room = 0
    for symbol, events in counts:
        if lots and events <= room:
            lots[-1] = (lots[-1][0], symbol)
        else:
            lots.append((symbol, symbol))
            room = EVENTS_AT_ONCE
        room -= events
    return lots
