"""Days of a report that other programs than Spark have published, and a warehouse that loads them."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from capstone_dagster.warehouse.loading import Loaded, Warehouse
from capstone_dagster.warehouse.tables import tables
from capstone_dagster_tests.builders.published_files import DAY, publish
from capstone_dagster_tests.servers.job_status_database import Database, Rows
from spark_code.lake import Lake
from spark_code.schemas import BARS, DAILY_SUMMARY, QUALITY, QUOTE_ANALYTICS

READER = "warehouse_reader"
# A row of ``quality/measures``; its other columns are null.
MEASURE = {"subject": "eod/trades", "exchange": "NYSE", "measure": "trades", "value": Decimal(2), "verdict": "ok"}


def summary(symbol: str, close: str = "1.250000", exchange: str = "NYSE", volume: int = 100) -> dict[str, Any]:
    """A row of ``report/daily_summary``; its other columns are null."""
    return {"symbol": symbol, "exchange": exchange, "close_pr": Decimal(close), "volume": volume}


def bar(symbol: str, minutes: int, time: str, close: str = "1.250000", day: date = DAY) -> dict[str, Any]:
    """A row of ``report/bars``."""
    return {
        "symbol": symbol,
        "exchange": "NYSE",
        "minutes": minutes,
        "bar_tm": datetime.fromisoformat(f"{day} {time}"),
        "close_pr": Decimal(close),
    }


@dataclass(frozen=True)
class TestedWarehouse:
    """A lake without Spark, and the schema ``warehouse`` of the tests' server."""

    database: Database
    lake: Lake

    __test__ = False

    @property
    def url(self) -> str:
        return self.database.url_of("postgres")

    def warehouse(self, *, quotes: bool = False, url: str | None = None) -> Warehouse:
        return Warehouse(url or self.url, self.lake.storage.root, tables(quotes=quotes))

    def publish(self, day: date, *rows: dict[str, Any], version: str = "v1", token: int = 1) -> None:
        """A day of a report: these rows of its summary, a bar of 30 minutes for each, and a measure."""
        bars = [bar(row["symbol"], 30, "09:30", f"{row['close_pr']}", day) for row in rows]
        publish(self.lake, DAILY_SUMMARY, {"part-0.parquet": list(rows)}, version, day, token)
        publish(self.lake, BARS, {"part-0.parquet": bars}, version, day, token)
        publish(self.lake, QUALITY, {"part-0.parquet": [MEASURE]}, version, day, token)
        publish(self.lake, QUOTE_ANALYTICS, {}, version, day, token)

    def load(self, day: date = DAY, run_id: str = "run") -> list[Loaded]:
        return self.warehouse().load(day, run_id)

    def query(self, sql: str, *, user: str = READER) -> Rows:
        """As the role that only reads, unless another one asks."""
        return self.database.query(sql, user=user)

    def closes(self, day: date = DAY) -> list[tuple[str, str]]:
        """Symbol and close of each row of a day's summary."""
        rows = self.query(f"SELECT symbol, close_pr FROM daily_summary WHERE trade_dt = '{day}' ORDER BY 1")  # noqa: S608
        return [(symbol, f"{close}") for symbol, close in rows]

    def loads(self) -> Rows:
        """What is recorded as loaded."""
        return self.query("SELECT table_name, trade_dt, version, rows, left_out, run_id FROM loads ORDER BY 1, 2")
