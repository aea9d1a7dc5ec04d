"""Reads published rows directly from the parquet files: no JVM, no database."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from itertools import islice
from typing import Any

from spark_code.lake import Lake, LakeError, MissingFilesError
from spark_code.locations import StorageError
from spark_code.manifest import Manifest
from spark_code.schemas import Table

_PREVIEW_ROWS = 5
_BATCH_ROWS = 1000


def first_rows(lake: Lake, table: Table, day: date, limit: int) -> list[list[Any]]:
    """The first rows of the published version, in schema order."""
    return list(islice(_rows_in(lake, table, day, lake.require(table, day).paths), limit))


def preview(lake: Lake, table: Table, published: Manifest, warn: Callable[[str], object]) -> list[list[Any]]:
    """A few rows, read without Spark because a Spark job takes longer. An error is logged: the day is published."""
    paths = published.paths[::-1]  # the rejected lines come first
    try:
        return list(islice(_rows_in(lake, table, date.fromisoformat(published.trade_dt), paths), _PREVIEW_ROWS))
    except (LakeError, StorageError) as error:
        warn(f"no preview of {table.path}: {error}")
        return []


def _rows_in(lake: Lake, table: Table, day: date, paths: Sequence[str]) -> Iterator[list[Any]]:
    """The rows of a day's files, in schema order."""
    import pyarrow as pa  # noqa: PLC0415 - takes 0.15 s, and is needed only to read rows
    import pyarrow.parquet as pq  # noqa: PLC0415 - the same

    for path in paths:
        in_path: dict[str, Any] = dict(part.split("=", 1) for part in path.split("/") if "=" in part)
        in_path["trade_dt"] = day
        file = lake.storage.open(path)
        if file is None:
            raise MissingFilesError(table, day, [lake.storage.uri(path)])
        try:
            for batch in pq.ParquetFile(pa.PythonFile(file, mode="r")).iter_batches(_BATCH_ROWS):
                yield from ([(in_path | row)[name] for name in table.columns] for row in batch.to_pylist())
        except (pa.ArrowException, OSError) as error:
            raise LakeError(f"{lake.storage.uri(path)} cannot be read: {error}") from error
