"""What a trading day waits for that has not landed: a run, an exchange, somebody who mends what failed."""

from datetime import UTC, date, datetime

import dagster as dg

from capstone_dagster.automation.raw_scan import still_arriving
from capstone_dagster.automation.unfinished import in_words, unfinished_runs
from capstone_dagster.job_status import JobStatus, runs_of
from capstone_dagster.jobs import JOB_NAMES, covers
from capstone_dagster.run_subjects import what
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import trading_days
from spark_code.lake import Lake
from spark_code.locations import StorageError
from spark_code.raw_files import MissingDeliveryError, RawFolder, UnreadableNameError
from spark_code.schemas import CLOSES

# Of a precondition. Dagster gives a tick a minute, in which several days may have to be looked at.
_COMMAND_SECONDS = 2.0


def hindrance(settings: Settings, instance: dg.DagsterInstance, lake: Lake, day: date) -> tuple[str, str | None]:
    """Where the day hangs, and the run that tells more."""
    if run := next((run for run in unfinished_runs(instance) if covers(run, day)), None):
        return f"{what(instance, run)} is in progress ({in_words(run)})", run.run_id
    if waits_for := _missing_files(settings, day):
        return waits_for, None
    if failed := _last_failure(instance, day):
        return f"{failed.job_id} ended in {failed.status}: {failed.error}", failed.run_id
    previous = trading_days(settings.first_trading_day).previous(day)
    if previous and lake.manifest(CLOSES, previous) is None:
        return f"its report waits for the closes of {previous}", None
    return "its files are complete, and no run works on it", None


def _missing_files(settings: Settings, day: date) -> str | None:
    """What of the files has not come, is still coming, or must not be worked on yet."""
    try:
        deliveries = RawFolder(settings.raw_uri).deliveries(day)
        if arriving := still_arriving(deliveries, settings.quiet_seconds, datetime.now(UTC)):
            return f"waiting for {' and '.join(arriving)}: still arriving"
        unmet = settings.preconditions.unmet_of(deliveries, _COMMAND_SECONDS)
    except MissingDeliveryError as missing:
        return f"waiting for {' and '.join(missing.exchanges)}: {missing}"
    except (StorageError, UnreadableNameError) as error:
        return f"its files cannot be looked at: {error}"
    return f"waiting for {unmet}" if unmet else None


def _last_failure(instance: dg.DagsterInstance, day: date) -> JobStatus | None:
    """The job of the day that was the last to fail and was not mended since."""
    runs = runs_of(instance, [day])
    statuses = (runs.status(job, day) for job in JOB_NAMES)
    failed = [status for status in statuses if status and status.status != dg.DagsterRunStatus.SUCCESS.value]
    return max(failed, key=lambda status: status.updated_time, default=None)
