"""Days of which people have rolled back a table: automation leaves them as they are until their files change."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import date

from spark_code.lake import Lake, LakeError
from spark_code.rollback import rolled_back_in
from spark_code.schemas import EVENTS


def why_held(lake: Lake, day: date, files: Mapping[str, str] | None) -> str | None:
    """Why only people run the day, if so; without the fingerprints of its files, those count that are loaded."""
    for table, rolled_back in rolled_back_in(lake, day):
        files = _loaded(lake, day) if files is None else files
        if files in (None, rolled_back.get("files")):
            return (
                f"{day} is left as it is until its files change: {table.path} was rolled back by "
                f"{rolled_back.get('by')}: {rolled_back.get('reason')}"
            )
    return None


def _loaded(lake: Lake, day: date) -> Mapping[str, str] | None:
    """The fingerprints of the files that its events were made from, unless it is older events that count."""
    with suppress(LakeError):
        events = lake.manifest(EVENTS, day)
        return events.inputs if events and not events.rolled_back else None
    return None
