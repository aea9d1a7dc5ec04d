"""Rows of the published tables, written short: what a test does not name has a usual value.

A row is a plain tuple in the order of its table's schema, so that what an edge returns is compared
with it whole. ``assert_table`` compares exactly: pyspark's ``assertDataFrameEqual`` accepts
decimals that differ by a hundred-thousandth.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from capstone_dagster_tests.builders.manifests import manifest_of
from spark_code.drafts import Published
from spark_code.few_rows import few_rows
from spark_code.schemas import EVENTS, QUOTES, TRADES, RecordType, Table
from spark_code.storage import Storage

Row = tuple[Any, ...]

DAY = date(2020, 8, 6)

# Trades and quotes are told apart by their width.
_TYPE_BY_WIDTH = {len(TRADES.columns): (TRADES, RecordType.TRADE), len(QUOTES.columns): (QUOTES, RecordType.QUOTE)}


def at(clock: str) -> datetime:
    """The wall-clock time of the day: ``10:00``, ``10:00:30`` or ``10:00:30.000001``."""
    return datetime.combine(DAY, time.fromisoformat(clock))


def money(amount: str | None) -> Decimal | None:
    """A price, or no price."""
    return None if amount is None else Decimal(amount)


def trade(
    clock: str,
    price: str,
    *,
    seq: int = 1,
    size: int = 100,
    symbol: str = "IBM",
    exchange: str = "NYSE",
    arrival: str = "09:30",
    execution_id: str | None = None,
) -> Row:
    """A row of ``eod/trades``."""
    return (DAY, symbol, exchange, at(clock), seq, at(arrival), money(price), size, execution_id)


def quote(
    clock: str,
    bid: str,
    ask: str,
    *,
    seq: int = 1,
    bid_size: int = 100,
    ask_size: int = 200,
    symbol: str = "IBM",
    exchange: str = "NYSE",
    arrival: str = "09:30",
) -> Row:
    """A row of ``eod/quotes``."""
    return (DAY, symbol, exchange, at(clock), seq, at(arrival), money(bid), bid_size, money(ask), ask_size)


def close(price: str, *, symbol: str = "IBM", exchange: str = "NYSE", day: date = DAY) -> Row:
    """A row of ``eod/closes``."""
    return (day, symbol, exchange, money(price))


def renamed(row: Row, symbol: str) -> Row:
    """The row under another symbol."""
    return (row[0], symbol, *row[2:])


def event(row: Row, rec_type: RecordType | None = None) -> Row:
    """The row of ``ingested/events`` in which this trade or quote was delivered."""
    table, usual_type = _TYPE_BY_WIDTH[len(row)]
    values = dict(zip(table.columns, row, strict=True)) | {"rec_type": (rec_type or usual_type).value}
    return tuple(values.get(name) for name in EVENTS.columns)


def frame(spark: SparkSession, table: Table, rows: Iterable[Row]) -> DataFrame:
    """The rows as a DataFrame with the table's schema."""
    return few_rows(spark, rows, table.schema)


def published(
    table: Table, rows: DataFrame, *, version: str = "v1", inputs: Mapping[str, str] | None = None, row_count: int = 0
) -> Published:
    """The rows as if the lake had published them, computed from these versions; there are no files."""
    return Published(table, DAY, rows, manifest_of(DAY, version, inputs, row_count), Storage("/nowhere"))


def sorted_rows(rows: Iterable[Row]) -> list[Row]:
    """The rows in one order, nulls first: what a DataFrame holds has none."""
    return sorted((tuple(row) for row in rows), key=lambda row: [(value is not None, value) for value in row])


def assert_table(actual: DataFrame, table: Table, expected: Iterable[Row]) -> None:
    """Compare the names, the types and all rows, exactly and in no order."""
    layout = [(column.name, column.dataType) for column in actual.schema]
    assert layout == [(column.name, column.dataType) for column in table.schema]
    assert sorted_rows(actual.collect()) == sorted_rows(expected)
