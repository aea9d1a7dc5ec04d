"""The schedule: every trading day, at a time after the close in New York, what nothing else has run yet.

An own tick over the calendar: Dagster's schedule of a partitioned job asks for Friday again on every weekend. What a
tick does is in ``scheduled_days``.
"""

import dagster as dg

from capstone_dagster.automation import switches
from capstone_dagster.automation.scheduled_days import Tick
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NEW_YORK

NAME = "trading_day_schedule"


def all_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The schedules of one deployment."""
    at = settings.schedule_time

    @dg.schedule(
        name=NAME,
        job_name="daily_pipeline",
        cron_schedule=f"{at.minute} {at.hour} * * 1-5",
        execution_timezone=NEW_YORK.key,
        default_status=switches.of_schedule(settings),
        description=f"Runs every trading day of the NYSE at {at:%H:%M} New York, unless it is done or its files are "
        "still arriving. The run of a day without files fails, and says whose are missing.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        requests, reasons = Tick(settings, context, NAME).judged()
        if not requests:
            return dg.SkipReason("; ".join(reasons))
        for reason in reasons:
            context.log.info(reason)
        return requests

    return [schedule]
