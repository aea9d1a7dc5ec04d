"""Whether two versions of a small table hold the same rows: then nothing computed from it is outdated."""

from collections import Counter
from datetime import date

from capstone_dagster.showing import rows_in
from spark_code.lake import Lake, day_folder
from spark_code.manifest import Manifest
from spark_code.schemas import Table


def have_same_rows(lake: Lake, table: Table, published: Manifest, version: str | None) -> bool:
    """Whether the version, if it is still there, holds what is published now."""
    if version is None:
        return False
    day = date.fromisoformat(published.trade_dt)
    objects = lake.storage.objects(day_folder(table, version, day))
    paths = [stored.key for stored in objects if stored.key.endswith(".parquet")]
    if not paths:
        return False
    now, then = (Counter(map(tuple, rows_in(lake, table, day, files))) for files in (published.paths, paths))
    return now == then
