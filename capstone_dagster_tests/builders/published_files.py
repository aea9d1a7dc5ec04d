"""Published days of which another program than Spark has written the files."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from capstone_dagster.readers.rows import batches, rows_of
from capstone_dagster_tests.builders.manifests import manifest_of
from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.schemas import Table

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


def first_rows(lake: Lake, table: Table, day: date, limit: int) -> list[list[Any]]:
    """The first rows of the published version, in schema order."""
    return list(islice(rows_of(batches(lake, table, [lake.require(table, day)])), limit))


def close(symbol: str, price: str = "1.250000", exchange: str = "NYSE") -> dict[str, Any]:
    """A row of a file of ``eod/closes``, of which the columns are not in the order of the schema."""
    return {"close_pr": Decimal(price), "exchange": exchange, "symbol": symbol}
