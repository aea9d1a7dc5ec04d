"""Whether two versions of a small table hold the same rows: then nothing computed from it is outdated.

A manifest names versions, and every publish makes a new one, also where the rows are those of before.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any

from capstone_dagster.steps.preview import rows_in
from spark_code.lake import Lake, LakeError, day_folder
from spark_code.manifest import Manifest
from spark_code.schemas import Table


def have_same_rows(lake: Lake, table: Table, published: Manifest, version: str | None) -> bool:
    """Whether the version, if all of it is still there, holds what is published now."""
    if version is None or version == published.version:
        return version == published.version
    day = date.fromisoformat(published.trade_dt)
    now = _rows(lake, table, day, published.paths)
    objects = lake.storage.objects(day_folder(table, version, day))
    paths = [stored.key for stored in objects if stored.key.endswith(".parquet")]
    try:
        # Old versions are removed: one without files says nothing, and one may go while it is read.
        return bool(paths) and _rows(lake, table, day, paths) == now
    except LakeError:
        return False


def _rows(lake: Lake, table: Table, day: date, paths: Sequence[str]) -> Counter[tuple[Any, ...]]:
    return Counter(map(tuple, rows_in(lake, table, day, paths)))
