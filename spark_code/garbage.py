"""What lies in the tables of a lake and no manifest needs: found here, and removed by whoever asked.

A version that is younger than a day stays, because a reader or an attempt may still be at it, and so do all of a day
that somebody works on. ``retention`` removes old versions of a day when it is published.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from spark_code.lake import Lake, LakeError
from spark_code.lake_places import kept_manifest, pointer, version_folder
from spark_code.locations import shown
from spark_code.manifest import Manifest
from spark_code.retention import MIN_AGE_TO_REMOVE, may_go, needed_versions
from spark_code.schemas import TABLES, Table
from spark_code.storage import at_once
from spark_code.verification import why_of_another

_DAY = r"\d{4}-\d\d-\d\d"
_VERSION = re.compile(rf"({_DAY})-\d+-.*-\d+")
_POINTER = re.compile(rf"{_DAY}\.json")
# What a killed process has left beside an object that the platform writes, on a local path. People have names with #.
_UNFINISHED = re.compile(
    rf"((?:{'|'.join(TABLES)})/(?:_published/{_DAY}\.json|data/{_DAY}-[^/]+/_manifest\.json)"
    rf"|report/index\.html|report/page/{_DAY}\.html|\.capstone_doctor_[0-9a-f]+)#\d+"
)
# Spark's last file: without it, the rows are not all there.
_WRITTEN = "_SUCCESS"


@dataclass(frozen=True)
class Found:
    """Something that no manifest needs, or is not ours; ``why`` says why it stays, if it does."""

    key: str
    bytes: int = 0
    objects: int = 0
    why: str | None = None

    @property
    def is_garbage(self) -> bool:
        """Whether it is to be removed."""
        return self.why is None


def garbage(lake: Lake, is_busy: Callable[[date], bool]) -> Iterator[Found]:
    """Look through all tables; what is yielded as garbage may be removed until the next one is asked for."""
    for table in TABLES.values():
        folders, files = lake.storage.names(table.path)
        yield from _foreign(table.path, [name for name in (*folders, *files) if name not in ("data", "_published")])
        yield from _versions(lake, table, is_busy)
        folders, files = lake.storage.names(f"{table.path}/_published")
        yield from _foreign(
            f"{table.path}/_published",
            [*folders, *(name for name in files if not _is_pointer(f"{table.path}/_published/{name}"))],
        )
    yield from _unfinished(lake)


def remove(lake: Lake, found: Found) -> None:
    """Remove it."""
    if lake.storage.is_local and _UNFINISHED.fullmatch(found.key):
        Path(lake.storage.uri(found.key)).unlink(missing_ok=True)
        return
    lake.storage.delete_folder(found.key)


def _foreign(folder: str, names: list[str]) -> Iterator[Found]:
    for name in names:
        if not name.startswith("."):  # locks, and what a file browser leaves
            yield Found(f"{folder}/{name}", why="it does not belong to this platform")


def _is_pointer(key: str) -> bool:
    """Whether it is one, or what is left of one that was being written."""
    return bool(_POINTER.fullmatch(key.rsplit("/", 1)[-1]) or _UNFINISHED.fullmatch(key))


def _versions(lake: Lake, table: Table, is_busy: Callable[[date], bool]) -> Iterator[Found]:
    folders, files = lake.storage.names(f"{table.path}/data")
    day_of = {name: day for name in folders if (day := _day_of(name))}
    yield from _foreign(f"{table.path}/data", [*files, *(name for name in folders if name not in day_of)])
    days = sorted(set(day_of.values()))
    for day, manifest in zip(days, at_once(lambda day: _manifest(lake, table, day, folders), days), strict=True):
        needed = [] if isinstance(manifest, str) else needed_versions(manifest, lake.keep_versions)
        for version in (name for name, of in day_of.items() if of == day and name not in needed):
            if found := _judged(lake, table, version, manifest, is_busy=is_busy(day)):
                yield found


def _judged(lake: Lake, table: Table, version: str, manifest: Manifest | str | None, *, is_busy: bool) -> Found | None:
    """What becomes of a version that the manifest of its day does not need; nothing of one that is too young."""
    if not may_go(lake.storage, table, version, None if isinstance(manifest, str) else manifest, datetime.now(UTC)):
        return None
    folder = version_folder(table, version)
    objects = lake.storage.objects(folder)
    size, number = sum(stored.size for stored in objects), len(objects)
    if isinstance(manifest, str):
        return Found(folder, size, number, manifest)
    if is_busy:
        return Found(folder, size, number, "a run works on its day, or waits for it")
    names = {stored.key.rsplit("/", 1)[-1] for stored in objects}
    if manifest is None and {_WRITTEN, kept_manifest(table, version).rsplit("/", 1)[-1]} & names:
        return Found(folder, size, number, "it is whole, and nothing of its day is published: is its pointer lost?")
    return Found(folder, size, number)


def _unfinished(lake: Lake) -> Iterator[Found]:
    if not lake.storage.is_local:
        return
    root, before = Path(lake.storage.root), (datetime.now(UTC) - MIN_AGE_TO_REMOVE).timestamp()
    for path in sorted(root.rglob("*#*")):
        key = f"{path.relative_to(root)}"
        with suppress(FileNotFoundError):  # somebody else may finish or remove it
            if _UNFINISHED.fullmatch(key) and path.is_file() and (state := path.stat()).st_mtime < before:
                yield Found(key, state.st_size, 1)


def _manifest(lake: Lake, table: Table, day: date, folders: Sequence[str]) -> Manifest | str | None:
    """The manifest, or why nobody can know by it which versions of the day are needed."""
    try:
        manifest = lake.manifest(table, day)
    except LakeError as error:
        return shown(str(error))
    if manifest is None:
        return None
    why = why_of_another(manifest, table, day)
    if why is None and manifest.version not in folders:
        why = f"names {manifest.version}, which is gone"
    return shown(f"{lake.storage.uri(pointer(table, day))} {why}") if why else manifest


def _day_of(version: str) -> date | None:
    named = _VERSION.fullmatch(version)
    try:
        return date.fromisoformat(named[1]) if named else None
    except ValueError:
        return None
