"""Whether two contestants have made the same rows of a day: every column of every table, as often as each row comes."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import duckdb

from spark_code.lake import Lake
from spark_code.schemas import QUALITY, TABLES, Table

Files = Mapping[str, Sequence[str]]
"""The parquet files of each table."""


def published(lake: str, day: date, copies: Path | None = None) -> Files:
    """What is published in a lake; another release may lack a table. With a folder for copies, also on S3."""
    found = Lake(lake)
    manifests = {name: found.manifest(table, day) for name, table in TABLES.items()}
    if copies:
        for path in (path for manifest in manifests.values() if manifest for path in manifest.paths):
            copy = copies / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(found.storage.read(path) or b"")
    named = (lambda path: str(copies / path)) if copies else found.storage.uri
    return {name: [named(path) for path in manifest.paths] for name, manifest in manifests.items() if manifest}


def written(out: str, day: date) -> Files:
    """What a contestant without a lake has written."""
    return {
        name: [str(path) for path in sorted(Path(out, name).rglob(f"{day}.parquet"))]
        for name in TABLES
        if name != QUALITY.path
    }


def differences(one: Files, other: Files, besides: Mapping[str, Sequence[str]] | None = None) -> Iterator[str]:
    """A sentence for each table whose types or rows differ, of those that both have; besides some columns."""
    for name, table in TABLES.items():
        if name not in one or name not in other:
            continue
        with duckdb.connect() as connection:
            for position, files in enumerate((one[name], other[name])):
                _view(connection, f"rows{position}", _columns(table, (besides or {}).get(name, ())), files)
            types = [connection.execute(f"DESCRIBE rows{position}").fetchall() for position in (0, 1)]
            if types[0] != types[1]:
                yield f"{name}: its columns are {types[0]}, and in the other {types[1]}"
            for these, those in (("rows0", "rows1"), ("rows1", "rows0")):
                only = f"SELECT * FROM (FROM {these} EXCEPT ALL FROM {those})"  # noqa: S608 - names of our own
                (count,) = connection.execute(f"SELECT count(*) FROM ({only})").fetchone() or (0,)  # noqa: S608
                if count:
                    yield f"{name}: {count} rows are only in {these}, e.g. {connection.execute(only).fetchone()}"


def _columns(table: Table, besides: Sequence[str]) -> list[str]:
    return [column for column in table.columns if column not in ("trade_dt", *besides)]  # the day is a folder's name


def _view(connection: duckdb.DuckDBPyConnection, name: str, columns: Sequence[str], files: Sequence[str]) -> None:
    connection.execute(
        f"CREATE VIEW {name} AS SELECT {', '.join(columns)} "  # noqa: S608
        f"FROM read_parquet({list(files)}, hive_partitioning = true, hive_types_autocast = false)"
    )
