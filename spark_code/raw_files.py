"""The files the exchanges delivered: which exchange delivers which format, and the files of a day.

``<raw>/<csv|json>/<yyyy-mm-dd>/<EXCHANGE>/<any name>``; names that begin with ``_`` or ``.`` are not data. This module
looks only at names, sizes and ETags; ``raw_lines`` reads the lines.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from spark_code.errors import ExpectedError
from spark_code.locations import leads_out, shown
from spark_code.storage import Storage, StoredObject


@dataclass(frozen=True)
class Source:
    """One exchange and the format it delivers."""

    exchange: str
    format: Literal["csv", "json"]

    @property
    def raw_table(self) -> str:
        """The name of the source among the tables, e.g. ``raw/nyse``."""
        return f"raw/{self.exchange.lower()}"

    def folder(self, day: date) -> str:
        """The folder of the exchange's files for a day, below the raw folder."""
        return f"{self.format}/{day}/{self.exchange}"


# A third exchange is one more line.
SOURCES: tuple[Source, ...] = (Source("NYSE", "csv"), Source("NASDAQ", "json"))

# Nothing here unpacks these.
_OTHERWISE_PACKED = (
    *(".br", ".deflate", ".lz", ".lz4", ".lzma", ".lzo", ".snappy", ".sz", ".xz", ".z", ".zst", ".zstd"),
    *(".7z", ".rar", ".tar", ".tar.bz2", ".tar.gz", ".tbz", ".tbz2", ".tgz", ".txz", ".zip"),
)

# The marker beside the data files, which Spark and Hadoop write last, says that nothing more comes. If it is older than
# a data file, it belongs to an earlier delivery, and says nothing about a correction.
SUCCESS = "_SUCCESS"


class MissingDeliveryError(ExpectedError):
    """Exchanges have no files for a day; the message says which, and where they were expected."""

    def __init__(self, day: date, expected: Mapping[str, str]) -> None:
        self.exchanges = list(expected)
        where = " and ".join(f"{exchange} (looked in {folder})" for exchange, folder in expected.items())
        super().__init__(f"no raw files of {day} from {where}; wait for the delivery, or check the raw folder")


class UnreadableNameError(ExpectedError):
    """A file that cannot or must not be read: the store hides its name, its packing is unknown, or it is elsewhere."""


@dataclass(frozen=True)
class Delivery:
    """The data files one exchange delivered for one day."""

    source: Source
    day: date
    storage: Storage
    files: tuple[StoredObject, ...]
    has_success: bool = False
    """Whether the exchange has marked the files as complete. Not part of the fingerprint: it changes no row."""

    @property
    def bytes(self) -> int:
        """The size of all files as delivered."""
        return sum(stored.size for stored in self.files)

    @property
    def fingerprint(self) -> str:
        """Changes when a file is added, removed or delivered again."""
        seen = "\n".join(f"{stored.key} {stored.size} {stored.etag}" for stored in self.files)
        return hashlib.sha256(seen.encode()).hexdigest()[:16]


class RawFolder:
    """Everything the exchanges delivered, below one URI."""

    def __init__(self, uri: str, sources: Sequence[Source] = SOURCES) -> None:
        self.storage = Storage(uri)
        self.sources = sources

    def found(self, day: date) -> list[Delivery]:
        """The deliveries of all exchanges for a day; they may have no files."""
        return [self.delivery(source, day, self.storage.objects(source.folder(day))) for source in self.sources]

    def deliveries(self, day: date) -> list[Delivery]:
        """The deliveries of all exchanges for a day; an exchange without files is an error."""
        found = self.found(day)
        if missing := self.missing(day, found):
            raise missing
        return found

    def missing(self, day: date, found: Iterable[Delivery]) -> MissingDeliveryError | None:
        """The error that names the exchanges without files; None if all have files."""
        sources = [delivery.source for delivery in found if not delivery.files]
        folders = {source.exchange: f"{self.storage.uri(source.folder(day))}/" for source in sources}
        return MissingDeliveryError(day, folders) if folders else None

    def _is_file(self, stored: StoredObject) -> bool:
        """Not the empty object that the S3 console makes for a folder: listings leave out the slash of its key."""
        return stored.size > 0 or self.storage.is_local or self.storage.exists(stored.key)

    def delivery(self, source: Source, day: date, listed: Iterable[StoredObject]) -> Delivery:
        """The delivery of one exchange for a day, from listed objects; the list may contain others."""
        folder = f"{source.folder(day)}/"
        below = {stored.key.removeprefix(folder): stored for stored in listed if stored.key.startswith(folder)}
        files = tuple(stored for name, stored in below.items() if _is_data(name) and self._is_file(stored))
        success = below.get(SUCCESS)
        has_success = success is not None and all(stored.last_modified <= success.last_modified for stored in files)
        for stored in files:
            if stored.key.lower().endswith(_OTHERWISE_PACKED):
                where = shown(self.storage.uri(stored.key))
                raise UnreadableNameError(
                    f"{where}: only plain, .gz and .bz2 files can be read; deliver it as one of these"
                )
        if self.storage.is_local:
            _refuse_odd_names(Path(self.storage.uri(source.folder(day))))
            _refuse_links_out(self.storage.root, source.folder(day), files)
        return Delivery(source, day, self.storage, files, has_success)


def _refuse_odd_names(folder: Path) -> None:
    """Refuse local names that Hadoop cannot open, or that the store takes for its own unfinished files and hides."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if _is_data(path.name) and (":" in path.name or re.search(r"#\d+$", path.name)):
            raise UnreadableNameError(
                f"{shown(str(path))}: a local file name must not contain ':' or end in #digits; rename it"
            )


def _refuse_links_out(root: str, folder: str, files: Iterable[StoredObject]) -> None:
    """Refuse files outside the raw folder: who delivers a link may not be allowed to read what it leads to."""
    links = [stored.key for stored in files if Path(root, stored.key).is_symlink()]
    for key in (folder, *links):
        if leads_out(root, key):
            raise UnreadableNameError(
                f"{shown(f'{root}/{key}')} leads out of the raw folder by a link; deliver the files themselves"
            )


def _is_data(name: str) -> bool:
    return "/" not in name and not is_hidden(name) and name != ""


def is_hidden(name: str) -> bool:
    """Whether the name says that a file or folder is not data."""
    return name.startswith(("_", "."))
