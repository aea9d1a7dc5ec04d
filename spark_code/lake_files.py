"""The objects of a lake as files that DuckDB reads: as they are, or on S3 through a file system of fsspec."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fsspec import AbstractFileSystem
from pyspark.sql.types import StructField

from spark_code.locations import StorageError
from spark_code.storage import Storage

if TYPE_CHECKING:
    import duckdb

# Types that DuckDB calls otherwise than Spark.
_TYPES = {"string": "VARCHAR", "timestamp_ntz": "TIMESTAMP"}
# What DuckDB would take for a pattern, or for a column, in the name of a folder above the lake.
_SPECIAL = frozenset("*?[=")


def names_for(database: "duckdb.DuckDBPyConnection", storage: Storage) -> Callable[[str], str]:
    """How the database names an object of the storage, once it can read it."""
    if storage.is_local and not _SPECIAL & set(storage.root):
        return storage.uri
    database.register_filesystem(LakeFiles(storage))
    return lambda key: f"lake://{key}"


def sql_type(column: StructField) -> str:
    """The type of a column, as DuckDB calls it."""
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
