"""Which versions of a day are removed: all but those that count, once no reader can be at them any more."""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta

from spark_code.manifest import Manifest
from spark_code.schemas import Table
from spark_code.storage import Storage

# Readers that resolved a version may still be reading it: nothing younger than this is removed.
MIN_AGE_TO_REMOVE = timedelta(days=1)


def needed_versions(manifest: Manifest | None, kept: int) -> list[str]:
    """The version that counts, and those before it that stay."""
    return [manifest.version, *manifest.earlier][:kept] if manifest else []


def remove_old_versions(storage: Storage, table: Table, day: date, keep: Collection[str]) -> None:
    """Remove what is old of the day, and what killed attempts left behind."""
    data, before = f"{table.path}/data", datetime.now(UTC) - MIN_AGE_TO_REMOVE
    for version in storage.folders(data):
        if version.startswith(f"{day}-") and version not in keep:
            objects = storage.objects(f"{data}/{version}")
            if all(stored.last_modified < before for stored in objects):
                storage.delete_folder(f"{data}/{version}")
