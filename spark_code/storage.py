"""Objects by key, the same on a local path and on S3: open, list, read, replace atomically.

It uses obstore, so listing and publishing need no JVM and no Spark. ``lake`` and ``raw_files`` know what the objects
mean.
"""

import glob
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import obstore
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import AlreadyExistsError, BaseError, InvalidPathError, PreconditionError
from obstore.store import LocalStore, S3Store

from spark_code.file_lock import locked
from spark_code.locations import StorageError, location, names_with_odd_ones, s3_region, s3_store, shown
from spark_code.object_file import ObjectFile

if TYPE_CHECKING:
    from botocore.config import Config
    from obstore import Attributes, ObjectMeta, UpdateVersion

_GLOB = re.compile(r"([\\*?\[\]{}])")
# Two writers of one object collide at most a few times; more means that something else keeps writing.
_MAX_REPLACE_TRIES = 20
# The number of objects in one answer of S3 to a list call.
_PAGE = 1000
# How many answers of the store are waited for at once: they take no core.
_AT_ONCE = 16
# What browsers must be told of a page on S3.
_HTML: "Attributes" = {"Content-Type": "text/html; charset=utf-8"}
_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")


def at_once(ask: Callable[[_Asked], _Answer], about: Iterable[_Asked]) -> list[_Answer]:
    """Ask the store about each of several, many at a time; the answers, in order."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(ask, about))


class OddKeyError(StorageError):
    """An object has a key that the store cannot spell, which hides the others of the same listing."""


class NoBucketError(StorageError):
    """The bucket does not exist, or is not ours."""


@dataclass(frozen=True)
class StoredObject:
    """One listed object, with an ETag that identifies its content."""

    key: str
    size: int
    last_modified: datetime
    etag: str


class Storage:
    """The objects below one URI: a local path, ``file://`` or ``s3://bucket/prefix``."""

    def __init__(self, uri: str) -> None:
        self.root = location(uri)
        self.is_local = not self.root.startswith("s3://")

    def uri(self, key: str) -> str:
        """The URI of the object, for people and for Spark's writers."""
        return f"{self.root}/{key}"

    def spark_path(self, key: str) -> str:
        """The same for Spark's readers, which take a path for a glob pattern."""
        return _GLOB.sub(r"\\\1", self.uri(key))

    @cached_property
    def _store(self) -> LocalStore | S3Store:
        if not self.is_local:
            return s3_store(self.root)
        Path(self.root).mkdir(parents=True, exist_ok=True)
        return LocalStore(self.root, automatic_cleanup=True)

    def _is_absent(self) -> bool:
        """Whether the root is missing: reading must not create it, or a mistyped path would look real."""
        return self.is_local and not Path(self.root).exists()

    def require_bucket(self, patience: "Config | None" = None) -> None:
        """Fail if it is on S3 in a bucket that does not exist or is not ours; reading a key would not show that."""
        if self.is_local:
            return
        import boto3  # noqa: PLC0415 - takes 0.13 s, for those who have S3

        bucket = self.root.removeprefix("s3://").split("/", 1)[0]
        with self._explaining(""):
            try:
                boto3.Session(region_name=s3_region()).client("s3", config=patience).head_bucket(Bucket=bucket)
            except ClientError as error:
                reason = {"404": "does not exist", "403": "is not ours to use"}.get(error.response["Error"]["Code"])
                if reason is None:  # S3 is busy or down
                    raise
                raise NoBucketError(f"{self.root}: the bucket {bucket} {reason}") from None

    def objects(self, prefix: str) -> list[StoredObject]:
        """All objects below a folder, in the order of their keys."""
        if self._is_absent():
            return []
        with self._explaining(prefix):
            found = [_stored(meta) for batch in self._store.list(prefix) for meta in batch]
        # The empty objects that Hadoop and the S3 console make for folders do not count.
        folders = {prefix} | {above for stored in found for above in _folders_above(stored.key)}
        return sorted(
            (stored for stored in found if stored.size or stored.key not in folders), key=lambda stored: stored.key
        )

    def pages(self, prefix: str, after: str) -> Iterator[list[StoredObject]]:
        """The objects below a folder whose keys come after a given one, in order, page by page.

        On S3 each page is one list call. A local folder is one page, because all of it is walked in any case.
        """
        if self.is_local:
            yield [stored for stored in self.objects(prefix) if stored.key > after]
            return
        with self._explaining(prefix):
            for batch in self._store.list(prefix, offset=after, chunk_size=_PAGE):
                yield [_stored(meta) for meta in batch]

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders directly below a folder."""
        return self.names(prefix)[0]

    def names(self, prefix: str) -> tuple[list[str], list[str]]:
        """The names of the folders and of the objects directly below a folder."""
        if self.is_local:
            # Not through the store, which lists nothing if it cannot decode a single name.
            with self._explaining(prefix), suppress(FileNotFoundError):
                is_folder = {path.name: path.is_dir() for path in sorted(Path(self.uri(prefix)).iterdir())}
                return [name for name in is_folder if is_folder[name]], [n for n in is_folder if not is_folder[n]]
            return [], []
        with self._explaining(prefix):
            try:
                listed = self._store.list_with_delimiter(prefix)
            except InvalidPathError:
                return names_with_odd_ones(self.root, prefix)
        # The empty object that the S3 console makes for the folder itself does not count as an object in it.
        names = [meta["path"].removeprefix(f"{prefix}/") for meta in listed["objects"] if meta["path"] != prefix]
        return sorted(key.rstrip("/").rsplit("/", 1)[-1] for key in listed["common_prefixes"]), sorted(names)

    def has_objects(self) -> bool:
        """Whether there is any object, at any depth; the listing ends at the first one."""
        if self._is_absent():
            return False
        with self._explaining(""):
            # The empty object that the S3 console makes for the folder itself has no path.
            return any(meta["path"] for batch in self._store.list() for meta in batch)

    def exists(self, key: str) -> bool:
        """Whether the object exists."""
        return self.find(key) is not None

    def find(self, key: str) -> StoredObject | None:
        """The object as it would be listed, or None if it does not exist."""
        if self._is_absent():
            return None
        with self._explaining(key):
            try:
                return _stored(self._store.head(key))
            except FileNotFoundError:
                self.has_objects()  # raises if even the bucket is missing, for which S3's answer is the same
                return None

    def read(self, key: str) -> bytes | None:
        """The object's bytes, or None if it does not exist."""
        if self._is_absent():
            return None
        with self._explaining(key):
            found = self._get(key)
        return found and found[0]

    def open(self, key: str, at_once: int = 1024 * 1024) -> ObjectFile | None:
        """The object as a file that fetches only the parts that are read, or None if it does not exist.

        On S3 each request fetches ``at_once`` bytes: as many as will be read, because it takes as long as for a few.
        """
        if self._is_absent():
            return None
        with self._explaining(key):
            try:
                return ObjectFile(obstore.open_reader(self._store, key, buffer_size=at_once))
            except FileNotFoundError:
                return None

    def write(self, key: str, content: bytes | Path) -> None:
        """Create or replace an object with bytes or a file; readers see the old or the new ones, never a mixture."""
        with self._explaining(key):
            self._store.put(key, content)

    def delete(self, keys: list[str]) -> None:
        """Remove objects, and folders that become empty."""
        with self._explaining(", ".join(keys[:3])):
            if not self.is_local:
                self._store.delete(keys)
                return
            for key in keys:
                # As on S3, an object that somebody else has already removed is not an error.
                with suppress(FileNotFoundError):
                    self._store.delete(key)

    def delete_folder(self, prefix: str) -> None:
        """Remove everything below a folder, on S3 including the empty objects that Hadoop leaves for folders.

        The store lists those under a different name, and so cannot remove them.
        """
        if self.is_local:
            self.delete([stored.key for stored in self.objects(prefix)])
            # Folders without files, and unfinished files, which the store does not list.
            with self._explaining(prefix), suppress(FileNotFoundError):
                shutil.rmtree(self.uri(prefix))
            return
        import boto3  # noqa: PLC0415 - the same

        bucket, _, root = self.root.removeprefix("s3://").partition("/")
        with self._explaining(prefix):
            below = "/".join([*filter(None, [root]), prefix, ""])
            found = boto3.resource("s3", region_name=s3_region()).Bucket(bucket).objects.filter(Prefix=below)
            refused = [error for answer in found.delete() for error in answer.get("Errors", ())]
        if refused:  # S3 says so in an answer that is no error
            why = f"{refused[0].get('Key')} was not removed: {refused[0].get('Code')}: {refused[0].get('Message')}"
            raise StorageError(shown(f"{self.uri(prefix)}: {why}"))

    def replace(self, key: str, revise: Callable[[bytes | None], bytes]) -> None:
        """Read, revise and write back one small object atomically.

        No other ``replace`` comes in between: S3 refuses a put if the ETag has changed, and the revision is repeated; a
        local path is protected by a lock file, whose lock the kernel releases even if the process is killed. ``revise``
        may raise to refuse.
        """
        if self.is_local:
            with ExitStack() as lock:
                with self._explaining(key):
                    lock.enter_context(locked(Path(self.uri(key))))
                self.remove_unfinished(key)
                self.write(key, revise(self.read(key)))
            return
        for _ in range(_MAX_REPLACE_TRIES):
            with self._explaining(key):
                found = self._get(key)
            content = revise(found and found[0])
            with self._explaining(key), suppress(AlreadyExistsError, PreconditionError):
                told = _HTML if key.endswith(".html") else None
                self._store.put(key, content, mode=found[1] if found else "create", attributes=told)
                return
        raise StorageError(f"{self.uri(key)} was replaced by others {_MAX_REPLACE_TRIES} times in a row; try again")

    def remove_unfinished(self, key: str) -> None:
        """Remove what killed writers have left beside a local object; call it as the only writer."""
        if not self.is_local:
            return
        target = Path(self.uri(key))
        for path in target.parent.glob(f"{glob.escape(target.name)}#*"):
            if path.name.removeprefix(f"{target.name}#").isdigit():
                path.unlink(missing_ok=True)

    def _get(self, key: str) -> "tuple[bytes, UpdateVersion] | None":
        """The bytes, and the version that a conditional put needs."""
        try:
            result = self._store.get(key)
        except FileNotFoundError:
            return None
        state: UpdateVersion = {"e_tag": result.meta["e_tag"]}
        if version := result.meta["version"]:  # only buckets with versioning
            state["version"] = version
        return bytes(result.bytes()), state

    @contextmanager
    def _explaining(self, key: str) -> Iterator[None]:
        """Add the location to errors of the store, of credentials and of the file system."""
        try:
            yield
        except (BaseError, BotoCoreError, ClientError, OSError, ValueError) as error:  # the last for a key with ..
            # The rest is the store's own dump of the same error.
            reason = (
                str(error).strip().split("\n\nDebug source:" if isinstance(error, InvalidPathError) else "\n", 1)[0]
            )
            what = f"{self.uri(key)}: {type(error).__name__}: {reason}"
            if isinstance(error, InvalidPathError):
                raise OddKeyError(shown(f"{what}; rename the file")) from error
            raise StorageError(shown(what)) from error


def _folders_above(key: str) -> Iterator[str]:
    while above := key.rpartition("/")[0]:
        yield above
        key = above


def _stored(meta: "ObjectMeta") -> StoredObject:
    return StoredObject(meta["path"], meta["size"], meta["last_modified"], meta["e_tag"] or "")
