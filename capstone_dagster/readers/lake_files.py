"""The objects of a lake as a file system of fsspec, through which DuckDB reads a lake on S3."""

from datetime import UTC, datetime
from typing import Any

from fsspec import AbstractFileSystem

from spark_code.locations import StorageError
from spark_code.storage import Storage


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
