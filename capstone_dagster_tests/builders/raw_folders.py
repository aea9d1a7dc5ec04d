"""A raw folder in memory that counts its list calls as S3 would make them, and whose clock they move.

For tests of what is asked in which order; that S3 and local folders answer so is tested on them.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime

from spark_code.raw_files import RawFolder
from spark_code.storage import Storage, StoredObject

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class CountedStorage(Storage):
    """The objects of a bucket."""

    def __init__(self, page: int) -> None:
        super().__init__("s3://exchange/raw")
        self.page = page
        self.stored: dict[str, StoredObject] = {}
        self.calls: list[str] = []
        """Of each list call, where it began."""
        self.seconds_per_call = 0.0
        self.seconds = 0.0

    def names(self, prefix: str) -> tuple[list[str], list[str]]:
        self._call(prefix)
        below = [key.removeprefix(f"{prefix}/" if prefix else "") for key in self._below(prefix)]
        folders = sorted({name.split("/")[0] for name in below if "/" in name})
        return folders, [name for name in below if "/" not in name]

    def objects(self, prefix: str) -> list[StoredObject]:
        self._call(prefix)
        return [self.stored[key] for key in self._below(prefix)]

    def pages(self, prefix: str, after: str) -> Iterator[list[StoredObject]]:
        keys = [key for key in self._below(prefix) if key > after]
        for first in range(0, max(len(keys), 1), self.page):
            self._call(after if first == 0 else keys[first - 1])
            yield [self.stored[key] for key in keys[first : first + self.page]]

    def _below(self, prefix: str) -> list[str]:
        return sorted(key for key in self.stored if not prefix or key.startswith(f"{prefix}/"))

    def _call(self, where: str) -> None:
        self.calls.append(where)
        self.seconds += self.seconds_per_call


class CountedRaw(RawFolder):
    """A raw folder in such a bucket."""

    def __init__(self, page: int = 1000) -> None:
        super().__init__("s3://exchange/raw")
        self.storage: CountedStorage = CountedStorage(page)

    def put(self, *keys: str, content: str = "A", at: datetime = LONG_AGO) -> None:
        """Objects, each with this content and time."""
        for key in keys:
            self.storage.stored[key] = StoredObject(key, len(content), at, content)

    def deliver(self, *days: date, files: int = 1, content: str = "A", at: datetime = LONG_AGO) -> None:
        """Days of both exchanges."""
        for day in days:
            for source in self.sources:
                folder = source.folder(day)
                self.put(*(f"{folder}/part-{number:04}" for number in range(files)), content=content, at=at)

    def remove(self, key: str) -> None:
        del self.storage.stored[key]
