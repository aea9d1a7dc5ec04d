"""The objects of a lake as files that DuckDB reads: as they are, or on S3 through a file system of fsspec."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from fsspec import AbstractFileSystem
from pyspark.sql.types import StructField

from spark_code.locations import StorageError
from spark_code.schemas import Table
from spark_code.storage import Storage

if TYPE_CHECKING:
    import duckdb

# Types that DuckDB calls otherwise than Spark.
_TYPES = {"string": "VARCHAR", "timestamp_ntz": "TIMESTAMP"}
# What DuckDB would take for a pattern, or for a column, in the name of a folder above the lake.
_SPECIAL = frozenset("*?[=")
_MEMORY = "1GB"
# Each thread takes its part of the memory.
_THREADS = 8


@contextmanager
def reading(
    storage: Storage,
    files: Mapping[Table, Sequence[str]],
    columns: Mapping[Table, Sequence[str]],
    day: date,
    threads: int | None = None,
) -> Iterator["duckdb.DuckDBPyConnection"]:
    """A database with a view of each table of a day, to sum it up; what needs more memory goes to temporary files."""
    import duckdb  # noqa: PLC0415 - takes 0.1 s, for those who compute; commands import ``flow``

    limits: dict[str, str | int] = {"memory_limit": _MEMORY, "threads": threads or min(os.cpu_count() or 1, _THREADS)}
    try:
        with TemporaryDirectory() as spill, duckdb.connect(config={"temp_directory": spill, **limits}) as database:
            named = names_for(database, storage)
            for table, paths in files.items():
                rows = rows_in([named(path) for path in paths], table, columns[table])
                database.execute(f"CREATE VIEW {table.name} AS {rows}")
            yield database
    except duckdb.Error as error:
        fault = StorageError(f"what is published of {day} cannot be summed up: {reason_of(error)}".split("\n", 1)[0])
        if storage.is_local or isinstance(error, duckdb.OutOfMemoryException):
            raise fault from error
        # Whatever S3 has answered, DuckDB tells it as text.
        raise fault from ConnectionError(f"{error}")


def reason_of(error: Exception) -> str:
    """DuckDB's words; of what it has called in Python, what that has said, without the stack."""
    words = str(error)
    _, is_stack, stack = words.partition("Traceback (most recent call last):\n")
    said = next((line for line in stack.split("\n") if not line.startswith(" ")), "")
    return said.partition(": ")[2] or said if is_stack else words


def names_for(database: "duckdb.DuckDBPyConnection", storage: Storage) -> Callable[[str], str]:
    """How the database names an object of the storage, which it can read from now on."""
    if storage.is_local and not _SPECIAL & set(storage.root):
        return storage.uri
    database.register_filesystem(LakeFiles(storage))
    return lambda key: f"lake://{key}"


def rows_in(files: Sequence[str], table: Table, columns: Sequence[str]) -> str:
    """The query for columns of a table, in files as the database names them; without files it finds nothing."""
    types = {name: _sql_type(table.schema[name]) for name in columns}
    if not files:
        return f"SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in types.items())} WHERE false"
    # Of the folders, only these are columns: one above the lake may look like one, too.
    in_path = {name: types[name] for name in ("trade_dt", *table.split) if name in types}
    of_path = ", ".join(f"'{name}': {kind}" for name, kind in in_path.items())
    quoted = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    folders = f"hive_partitioning = true, hive_types = {{{of_path}}}" if in_path else "hive_partitioning = false"
    return f"SELECT {', '.join(columns)} FROM read_parquet([{quoted}], {folders})"  # noqa: S608 - our names


def _sql_type(column: StructField) -> str:
    name: str = column.dataType.simpleString()
    return _TYPES.get(name, name)


class LakeFiles(AbstractFileSystem):  # type: ignore[misc]  # has no types
    """Reads objects by ``lake://<key>``."""

    protocol = "lake"
    cachable = False

    def __init__(self, storage: Storage) -> None:
        super().__init__()
        self._storage = storage

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """The size of an object."""
        key = self._strip_protocol(path)
        with self._open(key) as file:
            return {"name": key, "size": file.seek(0, 2), "type": "file"}

    def glob(self, path: str, **_: Any) -> list[str]:
        """The object itself: keys are no patterns."""
        return [self._strip_protocol(path)]

    def modified(self, path: str) -> datetime:
        """Always the same: what a version consists of never changes."""
        del path
        return datetime.fromtimestamp(0, UTC)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        opened = self._storage.open(path) if mode == "rb" else None
        if opened is None:
            raise StorageError(f"{self._storage.uri(path)} cannot be opened to be read")
        return opened
