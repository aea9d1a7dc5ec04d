"""Lakes of which only the pointers are there, and deliveries that are complete: what judges days reads no more."""

import os
import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

from capstone_dagster_tests.builders.manifests import manifest_of
from spark_code.flow import tables_of
from spark_code.lake import Lake
from spark_code.raw_files import SOURCES, Source
from spark_code.schemas import Table

TWO_DAYS = timedelta(days=2)


def make_old(folder: Path, age: timedelta = TWO_DAYS) -> None:
    """Let everything below a folder be this old."""
    then = time.time() - age.total_seconds()
    for path in folder.rglob("*"):
        os.utime(path, (then, then))


def point(lake: Lake, table: Table, day: date, version: str = "v1", inputs: Mapping[str, str] | None = None) -> None:
    """Publish a version of a day that has no files."""
    lake.storage.write(f"{table.path}/_published/{day}.json", manifest_of(day, version, inputs).to_json())


def land(lake: Lake, day: date) -> None:
    """Publish the report of a day."""
    for table in tables_of("analytical"):
        point(lake, table, day)


def deliver(raw: Path, day: date, *, sources: Sequence[Source] = SOURCES, complete: bool = True) -> None:
    """A file of each of the exchanges, and the sign that nothing more comes."""
    for source in sources:
        folder = raw / source.folder(day)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "part-0").write_text("a line\n")
        if complete:
            (folder / "_SUCCESS").touch()


def break_storage(folder: Path) -> None:
    """From now on whoever looks into the folder gets an error of the file system."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(folder)
