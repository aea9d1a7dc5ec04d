"""Days of which people have rolled back a table: automation leaves them as they are until their files change."""

from collections.abc import Mapping
from datetime import date

from spark_code.lake import Lake
from spark_code.rollback import rolled_back_in


def why_held(lake: Lake, day: date, files: Mapping[str, str] | None) -> str | None:
    """Why only people run the day, if so; without the fingerprints of its files it is not asked if they are others."""
    for table, rolled_back in rolled_back_in(lake, day):
        if files in (None, rolled_back.get("files")):
            return (
                f"{day} is left as it is until its files change: {table.path} was rolled back by "
                f"{rolled_back.get('by')}: {rolled_back.get('reason')}"
            )
    return None
