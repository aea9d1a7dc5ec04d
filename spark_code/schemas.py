"""Column names, types and meaning of every published table.

Column names and types are defined only here: each edge ends in ``conform`` to one of these tables, the lake audits
against them, and Dagster shows the comments as column descriptions. The edges (``raw_to_ingested`` and its neighbours)
compute the columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pyspark.sql import DataFrame
from pyspark.sql.types import (
    DataType,
    DateType,
    DecimalType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
)

# Six decimals and twelve integer digits: sums stay exact, so a re-run gives the same numbers
# whatever the order of the rows. Doubles would not.
PRICE = DecimalType(18, 6)
# What sums of sizes fit into, with the decimals of ratios.
_NUMBER = DecimalType(38, 6)
_TEXT, _DATE, _WHOLE, _TIME = StringType(), DateType(), LongType(), TimestampNTZType()


class RecordType(StrEnum):
    """The directory split of ``ingested/events``."""

    TRADE = "T"
    QUOTE = "Q"
    BAD = "B"


class Reject(StrEnum):
    """Why a line was not accepted: the first reason that applies, in the order of the checks."""

    TOO_LONG = "too_long"
    BAD_ENCODING = "bad_encoding"
    BLANK = "blank"
    BAD_JSON = "bad_json"
    UNKNOWN_RECORD_TYPE = "unknown_record_type"
    FIELD_COUNT = "field_count"
    MISSING_FIELD = "missing_field"
    BAD_TIMESTAMP = "bad_timestamp"
    BAD_NUMBER = "bad_number"
    OUT_OF_RANGE = "out_of_range"
    WRONG_TRADE_DATE = "wrong_trade_date"
    WRONG_EXCHANGE = "wrong_exchange"


@dataclass(frozen=True)
class Table:
    """One published table: its schema, its key, and what the audit of every version counts."""

    layer: str
    name: str
    schema: StructType
    key: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    measures: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Name of a count -> SQL condition of the rows it counts; stored in the manifest."""
    gained: tuple[str, ...] = ()
    """The columns that days of older releases lack whose manifests do not say which they have."""

    @property
    def path(self) -> str:
        """The table's folder below the lake, also the name people use for it."""
        return f"{self.layer}/{self.name}"

    @property
    def columns(self) -> list[str]:
        """The column names in schema order."""
        return self.schema.fieldNames()

    def stored(self, columns: Sequence[str]) -> StructType:
        """The schema of a version whose manifest names these columns; none are named by an older release."""
        there = columns or [name for name in self.columns if name not in self.gained]
        return StructType([column for column in self.schema if column.name in there])

    def in_files(self, schema: StructType) -> StructType:
        """Those of the columns that no folder names."""
        return StructType([column for column in schema if column.name not in ("trade_dt", *self.split)])


def _schema(*columns: tuple[str, DataType, str]) -> StructType:
    return StructType([StructField(name, kind, True, {"comment": why}) for name, kind, why in columns])


_TRADE_DT = ("trade_dt", _DATE, "Trading day; the directory the row lies in")
_SYMBOL = ("symbol", _TEXT, "Ticker as the exchange wrote it")
_EXCHANGE = ("exchange", _TEXT, "NYSE or NASDAQ")
_EVENT_TM = ("event_tm", _TIME, "Wall-clock time of the event at the exchange, no zone")
_SEQ = ("event_seq_nb", _WHOLE, "Sequence number the exchange gave the event")
_ARRIVAL = ("arrival_tm", _TIME, "When the record was delivered (file_tm); the latest one counts")
_TRADE = (
    ("trade_pr", PRICE, "Price of the trade"),
    ("trade_size", _WHOLE, "Shares traded"),
    ("execution_id", _TEXT, "Exchange's id of the execution, where it sends one"),
)
_QUOTE = (
    ("bid_pr", PRICE, "Best bid"),
    ("bid_size", _WHOLE, "Shares bid"),
    ("ask_pr", PRICE, "Best ask"),
    ("ask_size", _WHOLE, "Shares asked"),
)
EVENT_KEY = ("symbol", "exchange", "event_tm", "event_seq_nb")

EVENTS = Table(
    "ingested",
    "events",
    _schema(
        _TRADE_DT,
        ("rec_type", _TEXT, "T trade, Q quote or B bad; the directory split"),
        _SYMBOL,
        _EXCHANGE,
        _EVENT_TM,
        _SEQ,
        _ARRIVAL,
        *_TRADE,
        *_QUOTE,
        ("reject_reason", _TEXT, "Why the line was rejected; null for accepted lines"),
        ("source_file", _TEXT, "File of a rejected line, below the raw folder"),
        ("line", _TEXT, "The rejected line itself; bytes that are no UTF-8 shown as U+FFFD"),
    ),
    split=("rec_type",),
    measures={
        "trades": "rec_type = 'T'",
        "quotes": "rec_type = 'Q'",
        "rejected": "rec_type = 'B'",
        **{f"rejected_{reason}": f"reject_reason = '{reason}'" for reason in Reject},
    },
)
TRADES = Table(
    "eod",
    "trades",
    _schema(_TRADE_DT, _SYMBOL, _EXCHANGE, _EVENT_TM, _SEQ, _ARRIVAL, *_TRADE),
    key=EVENT_KEY,
)
QUOTES = Table(
    "eod",
    "quotes",
    _schema(_TRADE_DT, _SYMBOL, _EXCHANGE, _EVENT_TM, _SEQ, _ARRIVAL, *_QUOTE),
    key=EVENT_KEY,
)
CLOSES = Table(
    "eod",
    "closes",
    _schema(_TRADE_DT, _SYMBOL, _EXCHANGE, ("close_pr", PRICE, "Price of the last trade of the day")),
    key=("symbol", "exchange"),
)
QUOTE_ANALYTICS = Table(
    "report",
    "quote_analytics",
    _schema(
        _TRADE_DT,
        _SYMBOL,
        _EXCHANGE,
        _EVENT_TM,
        _SEQ,
        *_QUOTE,
        ("last_trade_pr", PRICE, "Price of the last trade at or before the quote; null before the first"),
        ("last_mov_avg_pr", PRICE, "Mean price of the 30 minutes up to that last trade"),
        ("close_pr", PRICE, "Close of the previous trading day; null if the symbol did not trade"),
        ("bid_pr_mv", PRICE, "bid_pr - adjusted_close_pr"),
        ("ask_pr_mv", PRICE, "ask_pr - adjusted_close_pr"),
        ("adjusted_close_pr", PRICE, "close_pr after the splits and cash payments since; equal to it without any"),
    ),
    key=EVENT_KEY,
    gained=("adjusted_close_pr",),
    measures={"with_last_trade": "last_trade_pr IS NOT NULL", "with_close": "close_pr IS NOT NULL"},
)
DAILY_SUMMARY = Table(
    "report",
    "daily_summary",
    _schema(
        _TRADE_DT,
        _SYMBOL,
        _EXCHANGE,
        ("open_pr", PRICE, "Price of the first trade of the day"),
        ("high_pr", PRICE, "Highest trade price"),
        ("low_pr", PRICE, "Lowest trade price"),
        ("close_pr", PRICE, "Price of the last trade of the day"),
        ("volume", _WHOLE, "Shares traded"),
        ("trade_count", _WHOLE, "Number of trades"),
        ("vwap_pr", PRICE, "Volume-weighted average trade price"),
        ("quote_count", _WHOLE, "Number of quotes"),
        ("avg_spread", PRICE, "Mean of ask_pr - bid_pr over the day's quotes"),
        ("prev_close_pr", PRICE, "Close of the previous trading day"),
        ("change_pr", PRICE, "close_pr - adjusted_prev_close_pr"),
        ("change_pct", PRICE, "change_pr in percent of adjusted_prev_close_pr"),
        ("adjusted_prev_close_pr", PRICE, "prev_close_pr after the splits and cash payments since; equal without any"),
    ),
    key=("symbol", "exchange"),
    gained=("adjusted_prev_close_pr",),
    measures={"with_close": "prev_close_pr IS NOT NULL"},
)
BARS = Table(
    "report",
    "bars",
    _schema(
        _TRADE_DT,
        _SYMBOL,
        _EXCHANGE,
        ("minutes", _WHOLE, "Length of the bar: 1, 5 or 30"),
        ("bar_tm", _TIME, "Where the bar begins; it ends before bar_tm + minutes"),
        ("open_pr", PRICE, "Price of the first trade in the bar; null without a trade"),
        ("high_pr", PRICE, "Highest trade price"),
        ("low_pr", PRICE, "Lowest trade price"),
        ("close_pr", PRICE, "Price of the last trade in the bar"),
        ("volume", _WHOLE, "Shares traded"),
        ("vwap_pr", PRICE, "Volume-weighted average trade price"),
        ("trade_count", _WHOLE, "Number of trades"),
        ("last_bid_pr", PRICE, "Bid of the last quote in the bar; null without a quote"),
        ("last_ask_pr", PRICE, "Ask of the last quote in the bar"),
        ("avg_spread", PRICE, "Mean of ask_pr - bid_pr over the bar's quotes"),
        ("quote_count", _WHOLE, "Number of quotes"),
    ),
    key=("symbol", "exchange", "minutes", "bar_tm"),
)
QUALITY = Table(
    "quality",
    "measures",
    _schema(
        _TRADE_DT,
        ("subject", _TEXT, "Table whose rows are measured"),
        _EXCHANGE,
        ("measure", _TEXT, "What is measured; a name that ends with _ratio is a share of all"),
        ("value", _NUMBER, "What was measured; null where it cannot be known"),
        ("expected_low", _NUMBER, "Lowest value that is expected; null for any"),
        ("expected_high", _NUMBER, "Highest value that is expected; null for any"),
        ("severity", _TEXT, "What a value that is not expected means: warn, or error, which stops the day"),
        ("verdict", _TEXT, "ok, warn, error, or unknown"),
        ("sentence", _TEXT, "The same in words"),
    ),
    key=("subject", "exchange", "measure"),
    measures={f"measures_{verdict}": f"verdict = '{verdict}'" for verdict in ("ok", "warn", "error", "unknown")},
)
TABLES: Mapping[str, Table] = {
    table.path: table for table in (EVENTS, TRADES, QUOTES, CLOSES, QUALITY, QUOTE_ANALYTICS, DAILY_SUMMARY, BARS)
}


def conform(rows: DataFrame, table: Table) -> DataFrame:
    """Select exactly the table's columns, in order and type: the contract at the end of an edge."""
    # As text the casts go to the JVM in one call, and not column by column.
    casts = (f"CAST({column.name} AS {column.dataType.simpleString()}) AS {column.name}" for column in table.schema)
    return rows.selectExpr(*casts)
