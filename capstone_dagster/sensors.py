"""What looks around by itself, one list for the code location."""

import dagster as dg

from capstone_dagster.settings import Settings


def all_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors of one deployment."""
    if settings.emr is None:
        return []
    from capstone_dagster.emr.reaper import reaper  # takes a second, for those who have EMR

    return [reaper(settings.emr)]
