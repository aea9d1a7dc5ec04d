"""Whether what runs by itself begins switched on (CAPSTONE_AUTOMATION); after that the switches of the UI count."""

import dagster as dg

from capstone_dagster.settings import Settings


def of_sensor(settings: Settings) -> dg.DefaultSensorStatus:
    """As a sensor begins."""
    return dg.DefaultSensorStatus.RUNNING if settings.automation else dg.DefaultSensorStatus.STOPPED


def of_schedule(settings: Settings) -> dg.DefaultScheduleStatus:
    """As a schedule begins."""
    return dg.DefaultScheduleStatus.RUNNING if settings.automation else dg.DefaultScheduleStatus.STOPPED
