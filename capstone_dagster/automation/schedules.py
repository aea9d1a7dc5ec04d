"""The schedule: runs every trading day, at a time after the close in New York, unless something else has run it.

It is not Dagster's schedule of a partitioned job, which requests Friday again on weekends. A tick judges the day on
which it was due, whenever it is made, and no other. Dagster makes only the last of the ticks that a stopped daemon has
missed: ``new_files`` runs the earlier days that have files, and ``alerts.late_days`` reports those that have none.
"""

from dataclasses import replace
from datetime import UTC, date, datetime

import dagster as dg

from capstone_dagster.assets.jobs import JobName
from capstone_dagster.automation import switches
from capstone_dagster.automation.landed_days import has_landed
from capstone_dagster.automation.needed_runs import Decision, Judge
from capstone_dagster.deliveries.completeness import still_arriving
from capstone_dagster.runs.unfinished_runs import unfinished_runs
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NEW_YORK, trading_days
from spark_code.corporate_actions import CorporateActions
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError
from spark_code.raw_files import MissingDeliveryError, RawFolder, UnreadableNameError

NAME = "trading_day_schedule"

_JOB: JobName = "daily_pipeline"
# Of a precondition. Dagster gives a tick a minute.
_COMMAND_SECONDS = 2.0


def all_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The schedules of one deployment."""
    at = settings.schedule_time

    @dg.schedule(
        name=NAME,
        job_name=_JOB,
        cron_schedule=f"{at.minute} {at.hour} * * 1-5",
        execution_timezone=NEW_YORK.key,
        default_status=switches.of_schedule(settings),
        description=f"Runs every trading day of the NYSE at {at:%H:%M} New York, unless it is done or its files are "
        "still arriving. The run of a day without files fails, and says whose are missing.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = context.scheduled_execution_time.astimezone(NEW_YORK).date()
        if closed := trading_days(settings.first_trading_day).why_closed(day):
            return dg.SkipReason(f"no run of {day}: {closed}")
        decision = _judged(settings, context, day)
        if not decision.job:
            return dg.SkipReason(decision.reason)
        context.log.info(decision.reason)
        # A schedule has one job, which does all that is due. Without the closes of the day before it loads the day,
        # and then says so.
        return replace(decision, job=_JOB).request(day)

    return [schedule]


def _judged(settings: Settings, context: dg.ScheduleEvaluationContext, day: date) -> Decision:
    """What to do with the day. If that cannot be found out, the day is run, and its run says why."""
    try:
        return _needed(settings, context, day)
    except (LakeError, StorageError, UnreadableNameError) as error:
        return Decision(f"{day} is run, because it cannot be judged: {error}", _JOB, run_key=f"{day}")


def _needed(settings: Settings, context: dg.ScheduleEvaluationContext, day: date) -> Decision:
    lake = Lake(settings.lake_uri)
    is_published = has_landed(lake, day)  # asked first: an error if the lake cannot be read
    try:
        deliveries = RawFolder(settings.raw_uri).deliveries(day)
    except MissingDeliveryError as missing:
        if is_published:
            return Decision(f"{day} is published, and its raw files are gone")
        return Decision(f"{day} is run, and will fail: {missing}", _JOB, run_key=f"{day}")
    if arriving := still_arriving(deliveries, settings.quiet_seconds, datetime.now(UTC)):
        are = "is" if len(arriving) == 1 else "are"
        return Decision(
            f"{' and '.join(arriving)} {are} still arriving; the sensor new_files runs {day} when it is complete"
        )
    judge = Judge(context.instance, lake, unfinished_runs(context.instance), CorporateActions(settings.raw_uri))
    previous = trading_days(settings.first_trading_day).previous(day)
    decision = judge.files(day, previous, deliveries, on_the_way=False)
    if decision.job and (unmet := settings.preconditions.unmet_of(deliveries, _COMMAND_SECONDS)):
        # Not as a run for these files: those the sensor runs when the preconditions hold.
        return Decision(f"{day} is run, and will fail: {unmet}", _JOB, run_key=f"{day}")
    return decision
