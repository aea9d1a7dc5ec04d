"""The published tables as views of a DuckDB: ``report/bars`` is ``report.bars``, with all its days."""

from pathlib import Path
from typing import TYPE_CHECKING

from capstone_dagster.settings import Settings
from spark_code.errors import ExpectedError
from spark_code.lake import Lake
from spark_code.schemas import TABLES, Table

if TYPE_CHECKING:
    import duckdb

# Types that DuckDB calls otherwise than Spark.
_TYPES = {"string": "VARCHAR", "timestamp_ntz": "TIMESTAMP"}
# What DuckDB would take for a pattern, or for a column, in the name of a folder above the lake.
_SPECIAL = frozenset("*?[=")


class QueryError(ExpectedError):
    """DuckDB refused a query."""


def connect(lake: Lake | None = None) -> "duckdb.DuckDBPyConnection":
    """A DuckDB whose views are the tables of a lake, or of the platform's, each with what is published now."""
    import duckdb  # noqa: PLC0415 - takes 0.1 s, for those who ask for SQL

    lake = lake or Lake(Settings.from_environment().lake_uri)
    database = duckdb.connect()
    is_plain = lake.storage.is_local and not _SPECIAL & set(lake.storage.root)
    if not is_plain:
        from capstone_dagster.readers.lake_files import LakeFiles  # noqa: PLC0415 - loads fsspec

        database.register_filesystem(LakeFiles(lake.storage))
    for table in TABLES.values():
        versions = lake.published(table)
        paths = [path for version in versions for path in version.paths]
        files = [lake.storage.uri(path) if is_plain else f"lake://{path}" for path in paths]
        database.execute(f"CREATE SCHEMA IF NOT EXISTS {table.layer}")
        try:
            database.execute(f"CREATE VIEW {table.layer}.{table.name} AS {_rows(table, files)}")
        except duckdb.Error as error:
            for version in versions:
                lake.require_files(table, version)
            raise QueryError(f"{table.path} cannot be read: {reason_of(error)}") from None
    return database


def reason_of(error: Exception) -> str:
    """DuckDB's words, without the stack of what it has called in Python."""
    words = str(error)
    return words.rstrip().rsplit("\n", 1)[-1] if "Traceback (most recent call last)" in words else words


def write(found: "duckdb.DuckDBPyRelation", file: Path) -> None:
    """Write the result of a query as parquet or CSV, as the name of the file says."""
    if file.suffix == ".parquet":
        found.write_parquet(str(file), compression="zstd")
    else:
        found.write_csv(str(file))


def _rows(table: Table, files: list[str]) -> str:
    types = {column.name: _sql_type(column.dataType.simpleString()) for column in table.schema}
    if not files:
        return f"SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in types.items())} WHERE false"
    of_folders = ", ".join(f"'{name}': {types[name]}" for name in ("trade_dt", *table.split))
    named = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return (
        f"SELECT {', '.join(table.columns)} FROM read_parquet([{named}], hive_partitioning = true, "  # noqa: S608 - our names
        f"hive_types = {{{of_folders}}})"
    )


def _sql_type(spark_type: str) -> str:
    return _TYPES.get(spark_type, spark_type)
