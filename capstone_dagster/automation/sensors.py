"""All sensors, one list for the code location."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from capstone_dagster.automation.alerts.failed_jobs import failed_jobs
from capstone_dagster.automation.alerts.late_days import late_days
from capstone_dagster.automation.alerts.rejected_lines import rejected_lines
from capstone_dagster.automation.changed_closes import changed_closes
from capstone_dagster.automation.new_files import new_files
from capstone_dagster.settings import Settings


def all_sensors(settings: Settings, jobs: Sequence[Any]) -> list[dg.SensorDefinition]:
    """The sensors of one deployment; ``jobs`` are the jobs that they start."""
    sensors = [
        new_files(settings, jobs),
        changed_closes(settings),
        late_days(settings),
        failed_jobs(settings),
        rejected_lines(settings),
    ]
    if settings.emr:
        from capstone_dagster.emr.reaper import reaper  # noqa: PLC0415 - takes 0.3 s, for those who have EMR

        sensors.append(reaper(settings))
    return sensors
