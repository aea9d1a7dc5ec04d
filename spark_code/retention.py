"""Which versions of a day are removed: all but those that count, once no reader can be at them any more."""

from datetime import UTC, date, datetime, timedelta

from spark_code.lake_places import pointer, version_folder
from spark_code.manifest import Manifest
from spark_code.schemas import Table
from spark_code.storage import Storage

# Readers that resolved a version may still be reading it: nothing younger than this is removed.
MIN_AGE_TO_REMOVE = timedelta(days=1)


def needed_versions(manifest: Manifest | None, kept: int) -> list[str]:
    """The version that counts, and those before it that stay."""
    return [manifest.version, *manifest.earlier][:kept] if manifest else []


def remove_old_versions(storage: Storage, table: Table, day: date, manifest: Manifest, kept: int) -> None:
    """Remove what is old of the day, and what killed attempts left behind."""
    needed, published = needed_versions(manifest, kept), storage.find(pointer(table, day))
    # The clock of this host may be ahead. The store has just written the pointer, by its own clock.
    now = min([datetime.now(UTC), *([published.last_modified] if published else [])])
    for version in storage.folders(f"{table.path}/data"):
        is_of_day = version.startswith(f"{day}-") and version not in needed
        if is_of_day and may_go(storage, table, version, manifest, now):
            storage.delete_folder(version_folder(table, version))


def may_go(storage: Storage, table: Table, version: str, manifest: Manifest | None, now: datetime) -> bool:
    """Whether nobody can be at a version any more: it is old, and so is the version that has replaced it.

    Its name says when its attempt began, which may not have written a file yet.
    """
    before, began = now - MIN_AGE_TO_REMOVE, [*version.split("-"), "", ""][3]
    if not began.isdecimal() or int(began) / 1e6 >= before.timestamp():
        return False
    looked_at = [version]
    if manifest and version in manifest.earlier:
        looked_at.append([manifest.version, *manifest.earlier][manifest.earlier.index(version)])
    objects = (stored for name in looked_at for stored in storage.objects(version_folder(table, name)))
    return all(stored.last_modified <= before for stored in objects)
