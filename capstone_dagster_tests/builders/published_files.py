"""Published days of which another program than Spark has written the files."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from capstone_dagster.readers.rows import arrow_schema, batches, rows_of
from capstone_dagster_tests.builders.manifests import manifest_of
from spark_code.drafts import Published
from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.schemas import QUOTES, TRADES, Table

DAY = date(2020, 8, 5)
Files = dict[str, list[dict[str, Any]]]


def publish(
    lake: Lake,
    table: Table,
    files: Files,
    version: str = "v1",
    day: date = DAY,
    token: int = 1,
    *,
    inputs: Mapping[str, str] | None = None,
    schema: pa.Schema | None = None,
) -> Manifest:
    """A version with these files; the columns in their paths are not in the files."""
    paths = [f"{table.path}/data/{version}/trade_dt={day}/{name}" for name in files]
    for path, rows in zip(paths, files.values(), strict=True):
        written = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema), written)
        lake.storage.write(path, written.getvalue().to_pybytes())
    manifest = manifest_of(day, version, inputs, rows=sum(map(len, files.values())))
    manifest = replace(manifest, paths=paths, token=token)
    lake.storage.write(f"{table.path}/_published/{day}.json", manifest.to_json())
    return manifest


def as_published(
    spark: SparkSession,
    lake: Lake,
    table: Table,
    rows: Iterable[tuple[Any, ...]],
    version: str = "v1",
    day: date = DAY,
    inputs: Mapping[str, str] | None = None,
) -> Published:
    """Rows of a table as an edge reads them, from a file."""
    schema = pa.schema([arrow_schema(table).field(name) for name in table.in_files(table.schema).names])
    named = [dict(zip(table.columns, row, strict=True)) for row in rows]
    files = {"part-0.parquet": [{name: row[name] for name in schema.names} for row in named]}
    manifest = publish(lake, table, files, version, day, inputs=inputs, schema=schema)
    return lake.open_version(spark, table, manifest)


def events_of(
    spark: SparkSession,
    folder: Path | str,
    trades: Iterable[tuple[Any, ...]],
    quotes: Iterable[tuple[Any, ...]],
    day: date,
) -> tuple[Published, Published]:
    """The trades and the quotes of a day, in a lake."""
    lake = Lake(f"{folder}")
    return (
        as_published(spark, lake, TRADES, trades, day=day),
        as_published(spark, lake, QUOTES, quotes, day=day),
    )


def first_rows(lake: Lake, table: Table, day: date, limit: int) -> list[list[Any]]:
    """The first rows of the published version, in schema order."""
    return list(islice(rows_of(batches(lake, table, [lake.require(table, day)])), limit))


def close(symbol: str, price: str = "1.250000", exchange: str = "NYSE") -> dict[str, Any]:
    """A row of a file of ``eod/closes``, of which the columns are not in the order of the schema."""
    return {"close_pr": Decimal(price), "exchange": exchange, "symbol": symbol}
