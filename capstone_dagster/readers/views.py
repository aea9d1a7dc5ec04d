"""The published tables as views of a DuckDB: ``report/bars`` is ``report.bars``, with all its days."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from capstone_dagster.settings import Settings
from spark_code.errors import ExpectedError
from spark_code.lake import Lake
from spark_code.lake_files import names_for, reason_of, rows_in
from spark_code.manifest import Manifest
from spark_code.schemas import TABLES, Table

if TYPE_CHECKING:
    import duckdb

# A word for each measured day. ``days`` also knows those that are pending or missing.
_DAYS = """
CREATE VIEW quality.days AS
SELECT trade_dt, exchange,
    CASE WHEN count(*) FILTER (verdict IN ('warn', 'error')) = 0 THEN 'available' ELSE 'degraded' END AS word,
    string_agg(sentence, '; ' ORDER BY subject, measure) FILTER (verdict IN ('warn', 'error')) AS reason
FROM quality.measures GROUP BY trade_dt, exchange ORDER BY trade_dt, exchange
"""


class QueryError(ExpectedError):
    """DuckDB refused a query."""


def connect(lake: Lake | None = None) -> "duckdb.DuckDBPyConnection":
    """A DuckDB whose views are the tables of a lake, or of the platform's, each with what is published now."""
    import duckdb  # noqa: PLC0415 - takes 0.1 s, for those who ask for SQL

    lake = lake or Lake(Settings.from_environment().lake_uri)
    database = duckdb.connect()
    named = names_for(database, lake.storage)
    for table in TABLES.values():
        versions = lake.published(table)
        database.execute(f"CREATE SCHEMA IF NOT EXISTS {table.layer}")
        try:
            database.execute(f"CREATE VIEW {table.layer}.{table.name} AS {_rows(table, versions, named)}")
        except duckdb.Error as error:
            for version in versions:
                lake.require_files(table, version)
            raise QueryError(f"{table.path} cannot be read: {reason_of(error)}") from None
    database.execute(_DAYS)
    return database


def _rows(table: Table, versions: Sequence[Manifest], named: Callable[[str], str]) -> str:
    """The query for all rows: DuckDB takes the columns of the first file for those of all, and days may lack some."""
    files: dict[tuple[str, ...], list[str]] = {tuple(table.columns): []}
    for version in versions:
        columns = tuple(table.stored(version.columns).fieldNames())
        files.setdefault(columns, []).extend(map(named, version.paths))
    queries = (rows_in(found, table, columns) for columns, found in files.items())
    return " UNION ALL BY NAME ".join(f"({query})" for query in queries)


def write(found: "duckdb.DuckDBPyRelation", file: Path) -> None:
    """Write the result of a query as parquet or CSV, as the name of the file says."""
    if file.suffix == ".parquet":
        found.write_parquet(str(file), compression="zstd")
    else:
        found.write_csv(str(file))
