"""Which tables of the lake are in the warehouse: a new one is one more line here.

It imports no database, so that the assets can be defined where there is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyspark.sql.types import DataType, DecimalType

from spark_code.schemas import BARS, DAILY_SUMMARY, QUALITY, QUOTE_ANALYTICS, Table

SCHEMA = "warehouse"

# Text is compared byte by byte: as the lake does it, and an upgrade of the system's locales breaks no index.
_TYPES = {
    "bigint": "bigint",
    "boolean": "boolean",
    "date": "date",
    "double": "double precision",
    "int": "integer",
    "string": "text",
    "timestamp_ntz": "timestamp without time zone",
}


@dataclass(frozen=True)
class WarehouseTable:
    """A table of the warehouse, with the columns of a table of the lake and, of each day, all its rows or some."""

    name: str
    source: Table
    means: str
    """What one row is, for people."""
    key: tuple[str, ...]
    """Unique within a day; the primary key is the day and these."""
    indexes: tuple[tuple[str, ...], ...] = (("symbol", "trade_dt"),)
    only: Mapping[str, int] = field(default_factory=dict, hash=False)
    """The rows with these values alone."""

    @property
    def path(self) -> str:
        """How people name it, as in SQL but for the slash."""
        return f"{SCHEMA}/{self.name}"

    @property
    def types(self) -> dict[str, str]:
        """The type of each column, as Postgres prints it."""
        return {column.name: _postgres_type(column.dataType) for column in self.source.schema}

    @property
    def comments(self) -> dict[str, str]:
        """The meaning of each column."""
        return {column.name: column.metadata["comment"] for column in self.source.schema}


ALWAYS = (
    WarehouseTable("daily_summary", DAILY_SUMMARY, "One row per symbol and exchange", DAILY_SUMMARY.key),
    WarehouseTable(
        "bars_30m",
        BARS,
        "One row per symbol, exchange and 30 minutes with trades or quotes",
        ("symbol", "exchange", "bar_tm"),
        only={"minutes": 30},
    ),
    WarehouseTable(
        "quality_measures",
        QUALITY,
        "One row per measure of the day's quality, table and exchange",
        QUALITY.key,
        indexes=(("measure", "trade_dt"),),
    ),
)
# A hundred times the rows of the others.
QUOTES = WarehouseTable("quote_analytics", QUOTE_ANALYTICS, "One row per quote", QUOTE_ANALYTICS.key)


def tables(*, quotes: bool) -> tuple[WarehouseTable, ...]:
    """The tables of the warehouse, those of CAPSTONE_WAREHOUSE_QUOTES included or not."""
    return (*ALWAYS, QUOTES) if quotes else ALWAYS


def _postgres_type(kind: DataType) -> str:
    if isinstance(kind, DecimalType):
        return f"numeric({kind.precision},{kind.scale})"
    return _TYPES[kind.simpleString()]
