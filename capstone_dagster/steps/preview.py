"""A few rows of what was just published, for the UI."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

from capstone_dagster.readers.rows import batches, rows_of
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError
from spark_code.manifest import Manifest
from spark_code.schemas import Table

_PREVIEW_ROWS = 5


def preview(lake: Lake, table: Table, published: Manifest, warn: Callable[[str], object]) -> list[list[Any]]:
    """A few rows, read without Spark because a Spark job takes longer. An error is logged: the day is published."""
    backwards = replace(published, paths=published.paths[::-1])  # the rejected lines come first
    try:
        return list(islice(rows_of(batches(lake, table, [backwards])), _PREVIEW_ROWS))
    except (LakeError, StorageError) as error:
        warn(f"no preview of {table.path}: {error}")
        return []
