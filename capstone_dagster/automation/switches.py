"""Whether sensors and the schedule are on at first (CAPSTONE_AUTOMATION); after that the switches of the UI decide."""

from typing import Any

import dagster as dg

from capstone_dagster.settings import Settings


def sensor_options(settings: Settings) -> dict[str, Any]:
    """The interval and the initial status, for ``dg.sensor``."""
    status = dg.DefaultSensorStatus
    return {
        "minimum_interval_seconds": max(1, int(settings.sensor_seconds)),
        "default_status": status.RUNNING if settings.automation else status.STOPPED,
    }


def of_schedule(settings: Settings) -> dg.DefaultScheduleStatus:
    """The initial status of a schedule."""
    return dg.DefaultScheduleStatus.RUNNING if settings.automation else dg.DefaultScheduleStatus.STOPPED
